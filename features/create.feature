Feature: Create a session
  Before anybody says anything, the conversation gets a place in the record.

  Scenario: Every session gets an id of its own
    When an agent creates 3 sessions
    Then the 3 sessions have different ids that sort in the order of their making

  Scenario: A session keeps what it was given
    When an agent creates a session with
      | field         | value                       |
      | session_id    | lisbon                      |
      | agent         | local/airline-agent         |
      | title         | Rebooking to Lisbon         |
      | model         | gpt-4o                      |
      | system_prompt | You help travellers kindly. |
    Then session "lisbon" has agent "local/airline-agent"
    And session "lisbon" has title "Rebooking to Lisbon"
    And session "lisbon" has model "gpt-4o"
    And session "lisbon" has system_prompt "You help travellers kindly."

  Scenario: A session can begin with a conversation that happened elsewhere
    When an agent creates session "lisbon" with this conversation
      | role      | content                |
      | user      | Is there a window seat? |
      | assistant | Yes, 12A.              |
    Then session "lisbon" has 2 messages

  Scenario: An id is given away once
    Given an empty session "lisbon"
    When an agent tries to create session "lisbon"
    Then it is refused as a conflict: "session_exists"

  Scenario Outline: An id that would be trouble in a URL or a file name is refused
    When an agent tries to create session <id>
    Then it is refused as invalid input: "invalid_id"
    And the record holds no session

    Examples:
      | id             |
      | "two words"    |
      | "a/b"          |
      | "caf\u00e9"    |
      | "line\nbreak"  |
      | ""             |
