Feature: Export a session
  A conversation can leave the record and still prove that it is complete.

  Background:
    Given a session "lisbon" with this conversation
      | role      | content                 |
      | user      | Is there a window seat? |
      | assistant | Yes, 12A.               |

  Scenario: An export can be checked without the record
    When session "lisbon" is exported as "native"
    Then anybody can recompute the checksum that the document names

  Scenario: A long export can be checked line by line
    When session "lisbon" is exported as "native-stream"
    Then its first line is the header and its last the trailer
    And anybody can recompute the running hash that the trailer names

  Scenario Outline: The same words in every format
    When session "lisbon" is exported as "<format>"
    Then the document holds "Is there a window seat?"
    And the document holds "Yes, 12A."

    Examples:
      | format           |
      | native           |
      | native-stream    |
      | cleveragents-1.0 |
      | openai-chat      |
      | markdown         |

  Scenario: A legacy export carries the checksum that its readers expect
    When session "lisbon" is exported as "cleveragents-1.0"
    Then its checksum is the SHA-256 of the document as Python dumps it with sorted keys

  Scenario: A format that nobody knows is refused
    When somebody tries to export session "lisbon" as "pdf"
    Then it is refused as invalid input: "unknown_format"
