"""Commands, their options and their exit codes, as the command line itself describes them."""

from __future__ import annotations

from hansard.cli import reference


def render() -> str:
    """Write everything below the title."""
    return reference.render().partition("\n")[2]
