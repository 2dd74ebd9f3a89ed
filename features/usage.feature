Feature: Count tokens and money
  The ledger is exact: every model call once, and never a cent too much.

  Background:
    Given an empty session "lisbon"

  Scenario: The calls of a turn add up, by model
    When an agent records a turn in session "lisbon" with these model calls
      | model       | input_tokens | output_tokens |
      | gpt-4o      | 1000         | 50            |
      | gpt-4o      | 1200         | 70            |
      | gpt-4o-mini | 300          | 10            |
    Then session "lisbon" has used 2500 input and 130 output tokens
    And of these model "gpt-4o" used 2200 input and 120 output tokens
    And of these model "gpt-4o-mini" used 300 input and 10 output tokens

  Scenario: Tokens are added to what was counted before
    Given session "lisbon" has recorded turn "turn-1" with 100 input and 20 output tokens
    When a model call "call-2" of 50 input and 5 output tokens is counted in session "lisbon"
    Then session "lisbon" has used 150 input and 25 output tokens

  Scenario: A call that is reported twice counts once
    When a model call "call-1" of 50 input and 5 output tokens is counted in session "lisbon"
    And a model call "call-1" of 50 input and 5 output tokens is counted in session "lisbon"
    Then session "lisbon" has used 50 input and 5 output tokens

  Scenario: Fifty helpers report at once, and not one token is lost
    When 50 helpers each report 100 input and 20 output tokens in session "lisbon" at the same time
    Then session "lisbon" has used 5000 input and 1000 output tokens

  Scenario: Ten dimes are a dollar
    When 10 model calls of 0.1 dollars each are counted in session "lisbon"
    Then session "lisbon" has cost exactly 1 dollar

  Scenario Outline: Counts that cannot be are refused
    When somebody tries to count <tokens> input tokens in session "lisbon"
    Then it is refused as invalid input: "invalid_usage"
    And session "lisbon" has used 0 input and 0 output tokens

    Examples:
      | tokens |
      | -1     |
      | 1.5    |
      | 1e300  |
