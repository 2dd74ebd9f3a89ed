"""The digest chain."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from hansard.core.digest import GENESIS, advance, chain

histories = st.lists(st.binary(max_size=20), max_size=8)


def test_chain_is_what_its_definition_says() -> None:
    first = hashlib.sha256(bytes(32) + b"one").digest()
    assert chain(GENESIS, [b"one", b"two"]) == [first, hashlib.sha256(first + b"two").digest()]


@given(histories)
def test_chain_advances_message_by_message(history: list[bytes]) -> None:
    digest = GENESIS
    for canonical, expected in zip(history, chain(GENESIS, history), strict=True):
        digest = advance(digest, canonical)
        assert digest == expected


@given(histories, histories)
def test_chain_continues_where_it_stopped(before: list[bytes], after: list[bytes]) -> None:
    head = [GENESIS, *chain(GENESIS, before)][-1]
    assert chain(GENESIS, before) + chain(head, after) == chain(GENESIS, before + after)


@given(histories.filter(bool), st.data())
def test_changed_message_changes_every_later_digest(
    history: list[bytes], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(history) - 1))
    changed = [*history[:index], history[index] + b"!", *history[index + 1 :]]
    for seq, (old, new) in enumerate(
        zip(chain(GENESIS, history), chain(GENESIS, changed), strict=True)
    ):
        assert (old == new) == (seq < index)
