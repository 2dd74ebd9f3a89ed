Feature: Keep tenants and owners apart
  Nobody sees, changes or even detects what is not theirs.

  Background:
    Given tenant "acme" has a session "lisbon" with 2 messages

  Scenario: Another tenant finds nothing under the same id
    When tenant "globex" tries to get session "lisbon"
    Then it is refused as not found: "session_not_found"

  Scenario: Two tenants use the same id without knowing
    When tenant "globex" has a session "lisbon" with 5 messages
    Then tenant "acme" still sees 2 messages in session "lisbon"

  Scenario: In a tenant, an owner sees its own sessions only
    Given owner "alice" of tenant "acme" has a session "diary" with 1 message
    When owner "bob" of tenant "acme" tries to get session "diary"
    Then it is refused as not found: "session_not_found"
    And owner "bob" of tenant "acme" lists no session
