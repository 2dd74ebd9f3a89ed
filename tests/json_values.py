"""Hypothesis strategies for JSON, as it may enter the record."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
floats = st.floats(allow_nan=False, allow_infinity=False)
safe_integers = st.integers(-(2**53) + 1, 2**53 - 1)


def values(numbers: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Any JSON value with these numbers in it."""
    return st.recursive(
        st.none() | st.booleans() | numbers | texts,
        lambda children: (
            st.lists(children, max_size=4) | st.dictionaries(texts, children, max_size=4)
        ),
        max_leaves=12,
    )


interoperable = values(safe_integers | floats)
"""What every JSON implementation reads alike: the domain of RFC 8785."""

anything = values(st.integers() | floats)
"""What the record takes: integers of any size too."""

objects = st.dictionaries(texts, anything, max_size=5)
