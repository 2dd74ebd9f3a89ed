"""What a call was refused with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from behave import then

from hansard import Conflict, Corrupt, HansardError, InvalidInput, NotFound

if TYPE_CHECKING:
    from behave.runner import Context

KINDS: dict[str, type[HansardError]] = {
    "a conflict": Conflict,
    "corrupt": Corrupt,
    "invalid input": InvalidInput,
    "not found": NotFound,
}


@then('it is refused as {kind}: "{code}"')
def refused(context: Context, kind: str, code: str) -> None:
    assert isinstance(context.error, KINDS[kind]), repr(context.error)
    assert context.error.code == code, context.error.code


@then("the refusal says that the next message is number {number:d}")
def names_the_next(context: Context, number: int) -> None:
    assert context.error.details["next_seq"] == number
