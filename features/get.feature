Feature: Get a session
  What was recorded can be read back, today and after every restart.

  Background:
    Given a session "lisbon" with this conversation
      | role      | content                 |
      | user      | Is there a window seat? |
      | assistant | Yes, 12A.               |

  Scenario: A look at a session counts its messages without loading them
    When an agent gets session "lisbon"
    Then it sees 2 messages, and that the next one will be number 2

  Scenario: The conversation is read back word for word
    Then the conversation of session "lisbon" is
      | role      | content                 |
      | user      | Is there a window seat? |
      | assistant | Yes, 12A.               |

  Scenario: The record survives a restart
    When the record is closed and opened again
    Then the conversation of session "lisbon" is
      | role      | content                 |
      | user      | Is there a window seat? |
      | assistant | Yes, 12A.               |
    And session "lisbon" verifies

  Scenario: A session that nobody made is not found
    When an agent tries to get session "atlantis"
    Then it is refused as not found: "session_not_found"

  Scenario: A window of the last messages never parts a tool call from its result
    Given session "lisbon" goes on with a tool call and its result
    When an agent asks for the last 1 message of session "lisbon"
    Then the window begins with the tool call
