"""What a client may know of a server before it has credentials: what it is, and what it can."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from hansard import __version__
from hansard.server.bodies import NoQuery
from hansard.server.calls import Call, Reply, to_json
from hansard.server.endpoint import Endpoint

API_VERSION: Final = "1.0"
WITH_AGENT: Final = (
    "threads",
    "goals",
    "approvals",
    "user_input",
    "dynamic_tools",
    "compaction",
    "stream",
)
"""What can be done where an agent answers."""


class RuntimeInfo(Struct, kw_only=True):
    """A server; nothing of it is secret."""

    service: str
    version: str
    runtime_api_version: str
    auth_required: bool
    transports: list[str]
    capabilities: dict[str, bool]


async def get_runtime_info(call: Call[NoQuery, None]) -> Reply:
    """Say what this server is, and what it can."""
    context = call.context
    info = RuntimeInfo(
        service="hansard",
        version=__version__,
        runtime_api_version=API_VERSION,
        auth_required=context.settings.access.auth != "none",
        transports=["http", "sse"],
        capabilities={
            **dict.fromkeys(WITH_AGENT, context.runtime is not None),
            "sessions": True,
            "usage": True,
            "file_snapshots": False,
        },
    )
    return Reply(to_json(info))


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/runtime/info",
        name="get_runtime_info",
        summary="Ask what this server is, and what it can.",
        handler=get_runtime_info,
        answer=RuntimeInfo,
        open=True,
    ),
)
