"""Every setting, as ``hansard.settings`` declares it."""

from __future__ import annotations

from hansard import settings


def render() -> str:
    """Write one table for each section."""
    return settings.describe()
