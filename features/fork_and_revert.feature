Feature: Fork and revert a session
  A conversation can take another way, and the first way stays on record.

  Background:
    Given an empty session "lisbon"
    And session "lisbon" goes on with 6 messages

  Scenario: A fork shares the beginning and goes its own way
    When session "lisbon" is forked after 4 messages
    And the fork goes on with 1 message
    Then the fork has 5 messages and names "lisbon" as its parent
    And session "lisbon" has 6 messages
    And the fork verifies

  Scenario: A revert cuts the conversation and keeps the bill
    Given session "lisbon" has recorded turn "turn-1" with 100 input and 20 output tokens
    When session "lisbon" is reverted to 2 messages
    Then session "lisbon" has 2 messages
    And session "lisbon" has used 100 input and 20 output tokens
    And session "lisbon" verifies

  Scenario: Nobody forks at a message that was never said
    When somebody tries to fork session "lisbon" after 7 messages
    Then it is refused as invalid input: "index_out_of_range"
