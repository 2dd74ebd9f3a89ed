Feature: List sessions
  Operators find a conversation among thousands, page by page.

  Scenario: The newest session comes first
    Given sessions were made one after another: "monday", "tuesday", "wednesday"
    When somebody lists the sessions
    Then the list is "wednesday", "tuesday", "monday"

  Scenario: Paging shows everything once
    Given 25 sessions
    When somebody pages through the sessions 10 at a time
    Then the pages have 10, 10 and 5 sessions
    And all 25 sessions were seen, each once

  Scenario: A session made while somebody pages does not disturb the pages
    Given 15 sessions
    When somebody pages through the sessions 10 at a time, and another session is made meanwhile
    Then all 15 sessions were seen, each once

  Scenario: Sessions of one agent
    Given session "lisbon" of agent "local/airline-agent"
    And session "invoice" of agent "local/billing-agent"
    When somebody lists the sessions of agent "local/billing-agent"
    Then the list is "invoice"

  Scenario: Sessions by a word of their title
    Given session "lisbon" with title "Rebooking to Lisbon"
    And session "porto" with title "Refund for Porto"
    When somebody searches the sessions for "REFUND"
    Then the list is "porto"

  Scenario: Archived sessions step aside
    Given sessions were made one after another: "old", "new"
    And session "old" is archived
    When somebody lists the sessions that are not archived
    Then the list is "new"

  Scenario Outline: A page of an impossible size is refused
    When somebody tries to list <limit> sessions
    Then it is refused as invalid input: "invalid_limit"

    Examples:
      | limit  |
      | 0      |
      | -1     |
      | 100000 |
