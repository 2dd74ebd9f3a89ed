Feature: Append to a session, in order
  A turn is recorded whole, once, and in its place, whoever else is writing.

  Background:
    Given an empty session "lisbon"

  Scenario: The messages of a turn appear together
    When an agent records turn "turn-1" in session "lisbon"
      | role      | content                 |
      | user      | Is there a window seat? |
      | assistant | Yes, 12A.               |
    Then the turn has messages 0 to 1
    And session "lisbon" has 1 turn

  Scenario: A turn sent again is recorded once
    Given session "lisbon" has recorded turn "turn-1" with 100 input and 20 output tokens
    When the same turn is sent again, since its answer was lost
    Then the answer is the first one, marked as replayed
    And session "lisbon" has 1 turn
    And session "lisbon" has used 100 input and 20 output tokens

  Scenario: Another turn cannot take the name of a recorded one
    Given session "lisbon" has recorded turn "turn-1" with 100 input and 20 output tokens
    When an agent tries to record turn "turn-1" in session "lisbon" with other words
    Then it is refused as a conflict: "turn_conflict"
    And session "lisbon" has 1 turn

  Scenario Outline: What cannot be recorded whole leaves no trace
    When an agent tries to record a turn whose second message <has a flaw>
    Then it is refused as invalid input: "<code>"
    And session "lisbon" has 0 messages

    Examples:
      | has a flaw                | code         |
      | has an unknown role       | invalid_role |
      | holds half an emoji       | invalid_json |
      | holds a number that is no number | invalid_json |

  Scenario: Forty agents write at once, and nobody loses a word
    When 40 agents each append 5 messages to session "lisbon" at the same time
    Then session "lisbon" has 200 messages
    And they are numbered from 0 without gaps
    And the messages of each agent stand in the order in which it sent them
    And session "lisbon" verifies

  Scenario: Who wants to be next is told when somebody else was
    Given session "lisbon" goes on with 4 messages
    When an agent tries to append to session "lisbon" as message number 2
    Then it is refused as a conflict: "seq_conflict"
    And the refusal says that the next message is number 4

  Scenario: Saving a whole conversation writes only what is new
    Given session "lisbon" goes on with 4 messages
    When an agent saves the whole conversation of session "lisbon" with 2 messages more
    Then 2 messages were appended and 0 replaced

  Scenario: A message keeps whatever its sender put in it
    When an agent appends this message to session "lisbon"
      """
      {"role": "assistant", "content": [{"type": "thinking", "signature": "9f/+=="}], "z": 1, "a": 1.50}
      """
    Then the last message of session "lisbon" is the same, key for key
