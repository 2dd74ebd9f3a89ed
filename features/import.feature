Feature: Import a session
  What one record gave away, another takes in: whole, once, or not at all.

  Background:
    Given a session "lisbon" with this conversation
      | role      | content                 |
      | user      | Is there a window seat? |
      | assistant | Yes, 12A.               |
    And session "lisbon" has recorded turn "turn-1" with 100 input and 20 output tokens

  Scenario Outline: A round trip keeps the conversation, its digest and its usage
    Given session "lisbon" was exported as "<format>"
    When the document is imported
    Then a new session holds the same conversation as "lisbon"
    And the new session has the digest of "lisbon"
    And the new session has used 100 input and 20 output tokens

    Examples:
      | format           |
      | native           |
      | native-stream    |
      | cleveragents-1.0 |

  Scenario: A document imported twice adds nothing
    Given session "lisbon" was exported as "native"
    When the document is imported
    And the document is imported
    Then the report says that it was there already
    And the record holds 2 sessions

  Scenario: A damaged document changes nothing
    Given session "lisbon" was exported as "native"
    And somebody changed "12A" to "12B" in the document
    When somebody tries to import the document
    Then it is refused as corrupt: "checksum_mismatch"
    And the record holds 1 session

  Scenario: A document from the future changes nothing
    Given session "lisbon" was exported as "native"
    And somebody changed '"schema_version":3' to '"schema_version":4' in the document
    When somebody tries to import the document
    Then it is refused as invalid input: "schema_too_new"
    And the record holds 1 session

  Scenario: A dry run only looks
    Given session "lisbon" was exported as "native"
    When the document is imported as a dry run
    Then the report counts 4 messages
    And the record holds 1 session

  Scenario: Conversations come from elsewhere, too
    Given this document in the format "openai-chat"
      """
      {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]}
      {"messages": [{"role": "user", "content": "A refund please"}]}
      """
    When the document is imported
    Then the report names 2 new sessions
    And the record holds 3 sessions
