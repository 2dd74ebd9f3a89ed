Feature: Delete a session
  What must be forgotten is forgotten whole.

  Background:
    Given a session "lisbon" with this conversation
      | role      | content                 |
      | user      | Is there a window seat? |
      | assistant | Yes, 12A.               |

  Scenario: A deleted session is gone with all that hung on it
    Given session "lisbon" has recorded turn "turn-1" with 100 input and 20 output tokens
    When session "lisbon" is deleted
    Then session "lisbon" does not exist
    And no table holds a row of session "lisbon"

  Scenario: Deleting leaves the neighbours alone
    Given a session "porto" with this conversation
      | role | content         |
      | user | A refund please |
    When session "lisbon" is deleted
    Then session "porto" has 1 message

  Scenario: Nothing can be deleted twice
    When session "lisbon" is deleted
    And somebody tries to delete session "lisbon"
    Then it is refused as not found: "session_not_found"

  Scenario: A deleted id begins anew
    When session "lisbon" is deleted
    And an agent creates session "lisbon" with this conversation
      | role | content |
      | user | Hello?  |
    Then session "lisbon" has 1 message
    And session "lisbon" verifies
