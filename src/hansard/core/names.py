"""Names that come from outside, kept few: each one is a time series for whoever watches."""

from __future__ import annotations

from typing import Final

UNKNOWN: Final = "unknown"
OTHER: Final = "other"
NAME_LENGTH_MAX: Final = 128


class Names:
    """Lets the first names through; all that come later are ``other``.

    >>> names = Names(1)
    >>> names.of("gpt-5"), names.of("gpt-4"), names.of("gpt-5"), names.of("")
    ('gpt-5', 'other', 'gpt-5', 'unknown')
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def of(self, name: str) -> str:
        """Return a name, or what stands for it; none at all is ``unknown``."""
        if name in self._known:
            return name
        if not name:
            return UNKNOWN
        is_fit = len(name) <= NAME_LENGTH_MAX and name.isprintable()
        if not is_fit or len(self._known) >= self._most:
            return OTHER
        self._known.add(name)
        return name
