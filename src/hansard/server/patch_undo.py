"""Undoing turns for clients that expect files to go back too: none are kept here."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from hansard.server.bodies import NoQuery
from hansard.server.calls import Call, Reply, to_json
from hansard.server.endpoint import Body, Endpoint
from hansard.server.thread_saves import UndoBody
from hansard.server.thread_shapes import ThreadAnswer
from hansard.server.threads import threads_of

NO_FILES: Final = "no files are kept here; the conversation alone went back"


class PatchResult(Struct, kw_only=True):
    """What became of files."""

    files_restored: bool
    summary: str
    snapshot_label: str | None


class PatchUndone(Struct, kw_only=True):
    """A thread without the turns that were undone; files are as they were."""

    patch_result: PatchResult
    thread: ThreadAnswer
    original_user_text: str | None


async def undo_patch(call: Call[NoQuery, UndoBody]) -> Reply:
    """Make a thread without the last turns of this one, and say that no files went back."""
    thread, asked = await threads_of(call).undo(call.params["thread_id"], call.body.depth)
    answer = PatchUndone(
        patch_result=PatchResult(files_restored=False, summary=NO_FILES, snapshot_label=None),
        thread=ThreadAnswer.of(thread),
        original_user_text=asked,
    )
    return Reply(to_json(answer))


ENDPOINTS: Final = (
    Endpoint(
        method="POST",
        path="/v1/threads/{thread_id}/patch-undo",
        name="undo_patch",
        summary="Make a thread without the last turns of this one; files stay as they are.",
        handler=undo_patch,
        body=Body(shape=UndoBody, required=False),
        answer=PatchUndone,
        status=201,
        errors=(400, 404, 409),
    ),
)
