Feature: Talk to an agent that lives in a server
  A thread goes on whoever listens, and what its agent holds can be saved as a session.

  Scenario: A thread is saved as a session, and saved again when it has gone on
    Given a thread of an agent that repeats what it hears
    When the user says "Which train goes to Vienna?"
    And the thread is saved as session "nightly"
    Then session "nightly" has 2 messages
    When the user says "And when?"
    And the thread is saved as session "nightly"
    Then session "nightly" has 4 messages
    And session "nightly" verifies

  Scenario: A session goes on as a thread, and stays what it was
    Given an empty session "lisbon"
    And session "lisbon" goes on with 6 messages
    When session "lisbon" goes on as a thread
    And the user says "Where were we?"
    Then the thread has 8 messages
    And session "lisbon" has 6 messages

  Scenario: What was undone does not come back
    Given a thread of an agent that repeats what it hears
    When the user says "Remember 1234."
    And the user says "Forget it."
    And the last 2 turns are undone
    And the user says "What do you know?"
    Then the thread has 2 messages
    And nobody said "1234" in it

  Scenario: Nobody says nothing
    Given a thread of an agent that repeats what it hears
    When the user tries to say " "
    Then the server refuses it: "blank_prompt"
    And the thread has 0 messages
