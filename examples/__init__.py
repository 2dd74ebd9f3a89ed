"""Programs that use Hansard as its users do."""
