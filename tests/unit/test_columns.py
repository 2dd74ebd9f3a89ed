"""Keys of what is imported from foreign tables: always the same for the same."""

from __future__ import annotations

from msgspec import structs

from hansard.core.documents import DocumentSession, imported_usage
from hansard.store.foreign.columns import make_key

SESSION = DocumentSession(session_id="s1")


def test_key_is_the_one_of_before_there_were_prices() -> None:
    """What was imported then is found again, and not imported twice."""
    usage = imported_usage(7, model="m", input_tokens=3, cost_nanousd=5)
    known = "sha256:a239d4fc5a49071675a1f0f0a71cfe5c9520b70ebdfc23700b1fd2153feef51a"
    assert make_key(SESSION, usage, 2) == known


def test_other_usage_has_another_key() -> None:
    (entry,) = imported_usage(7, model="m", input_tokens=3, cost_nanousd=5)
    other = structs.replace(entry, cost_nanousd=6)
    assert make_key(SESSION, [other]) != make_key(SESSION, [entry])
