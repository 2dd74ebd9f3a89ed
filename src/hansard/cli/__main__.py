"""``python -m hansard.cli``."""

from hansard.cli.main import main

main()
