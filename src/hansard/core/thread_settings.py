"""Settings of threads: how an agent is to work in one, and what it may do unasked.

    what the thread says  <- what is asked for one turn  -> what is in force for that

``full_access`` needs no approvals; in mode ``plan`` whatever needs one is denied at once. The
rest is for the agent to heed: the core reads nothing into a workspace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from hansard.core.errors import Corrupt, InvalidInput
from hansard.core.sessions import NAME_LENGTH_MAX
from hansard.core.strict_json import check_text, dumps

MODES: Final = ("agent", "plan", "operate")
POSTURES: Final = ("ask", "auto_review", "full_access")
WORKSPACE_LENGTH_MAX: Final = 4_096  # of a path on Linux
TOOLS_MAX: Final = 64  # more than a model chooses among with any sense
TOOL_NAME_LENGTH_MAX: Final = 64  # of OpenAI's API
ENVIRONMENTS_MAX: Final = 16
LIST_BYTES_MAX: Final = 64 * 1024  # of either list: it goes along with each turn

_MODE_OF: Final = {
    **dict.fromkeys(("agent", "act", "work", "auto", "normal", "1"), "agent"),
    **dict.fromkeys(("plan", "2"), "plan"),
    **dict.fromkeys(("operate", "ops", "operation", "3"), "operate"),
    **dict.fromkeys(("yolo", "bypass", "4"), "agent"),
}
_ALLOWING: Final = frozenset({"yolo", "bypass", "4"})
_LENGTHS: Final = {
    "workspace": WORKSPACE_LENGTH_MAX,
    "task_id": NAME_LENGTH_MAX,
    "environment_id": NAME_LENGTH_MAX,
}


class DynamicTool(Struct, frozen=True, forbid_unknown_fields=True):
    """A tool that the client runs; ``input_schema`` is a JSON schema of its arguments."""

    name: str
    description: str = ""
    input_schema: dict[str, Any] = {}

    def __post_init__(self) -> None:
        if not (self.name.isascii() and self.name.replace("-", "_").isidentifier()):
            raise ValueError("a name has letters, digits, _ and -")
        if len(self.name) > TOOL_NAME_LENGTH_MAX:
            raise ValueError(f"a name has up to {TOOL_NAME_LENGTH_MAX} characters")
        if self.input_schema.get("type", "object") != "object":
            raise ValueError("the arguments are an object")


class ThreadSettings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an agent is to work in a thread.

    Attributes:
        workspace: The folder that it is about, as the client names it.
        mode: One of ``MODES``.
        permission_posture: One of ``POSTURES``.
        allow_shell: Whether the agent may run commands; the agent heeds it.
        trust_mode: Whether what lies in the workspace is to be believed, likewise.
        task_id: What the client calls the work.
        dynamic_tools: Tools that the client runs.
        environments: Where the client can run things, as it describes them.
        environment_id: The one of them that a turn is about.
    """

    workspace: str | None = None
    mode: str = "agent"
    permission_posture: str = "ask"
    allow_shell: bool = False
    trust_mode: bool = False
    task_id: str | None = None
    dynamic_tools: tuple[DynamicTool, ...] = ()
    environments: tuple[dict[str, Any], ...] = ()
    environment_id: str | None = None

    @property
    def allows_all(self) -> bool:
        """Whether tools need no approvals."""
        return self.permission_posture == "full_access" and not self.denies_all

    @property
    def denies_all(self) -> bool:
        """Whether no tool that needs an approval gets one."""
        return self.mode == "plan"


def change_settings(settings: ThreadSettings, asked: Mapping[str, Any]) -> ThreadSettings:
    """Return settings with what is asked for; None leaves a part as it is, "" clears a text.

    ``auto_approve`` is another way to ask for ``full_access`` or, if false, to give it back.

    >>> change_settings(ThreadSettings(), {"mode": "yolo"}).permission_posture
    'full_access'

    Raises:
        InvalidInput: ``invalid_mode``, ``invalid_posture``, ``invalid_tools``,
            ``invalid_environments`` or ``invalid_field``.
    """
    given = {name: value for name, value in asked.items() if value is not None}
    for name in _LENGTHS.keys() & given.keys():
        given[name] = check_text(given[name], name, length_max=_LENGTHS[name]) or None
    allows_all = given.pop("auto_approve", None)
    if "mode" in given:
        name = _plain(given["mode"])
        given["mode"] = _one_of(_MODE_OF, name, "mode")
        allows_all = name in _ALLOWING or allows_all
    if "permission_posture" in given:
        posture = _plain(given["permission_posture"])
        given["permission_posture"] = _one_of({each: each for each in POSTURES}, posture, "posture")
    elif allows_all:
        given["permission_posture"] = "full_access"
    elif allows_all is not None and settings.permission_posture == "full_access":
        given["permission_posture"] = "ask"
    if "dynamic_tools" in given:
        given["dynamic_tools"] = _read_tools(given["dynamic_tools"])
    if "environments" in given:
        given["environments"] = _read_list(
            given["environments"], dict[str, Any], "environments", ENVIRONMENTS_MAX
        )
    return replace(settings, **given)


def write_settings(settings: ThreadSettings) -> str:
    """Write settings as the record holds them."""
    return msgspec.json.encode(settings).decode()


def read_settings(text: str) -> ThreadSettings:
    """Read what ``write_settings`` wrote.

    Raises:
        Corrupt: ``invalid_settings``, if it did not.
    """
    try:
        return msgspec.json.decode(text, type=ThreadSettings)
    except msgspec.MsgspecError as exc:
        raise Corrupt("the settings of a thread cannot be read", code="invalid_settings") from exc


def _plain(value: str) -> str:
    return value.strip().lower().replace("-", "_")


def _one_of(known: Mapping[str, str], name: str, what: str) -> str:
    if name not in known:
        names = ", ".join(dict.fromkeys(known.values()))
        raise InvalidInput(f"the {what} must be one of {names}", code=f"invalid_{what}")
    return known[name]


def _read_tools(given: Sequence[Any]) -> tuple[DynamicTool, ...]:
    tools: tuple[DynamicTool, ...] = _read_list(given, DynamicTool, "tools", TOOLS_MAX)
    if len({tool.name for tool in tools}) < len(tools):
        raise InvalidInput("two tools have one name", code="invalid_tools")
    return tools


def _read_list(given: Sequence[Any], kind: Any, what: str, most: int) -> tuple[Any, ...]:
    if len(given) > most or len(dumps(given).encode()) > LIST_BYTES_MAX:
        raise InvalidInput(
            f"there may be {most} {what}, of {LIST_BYTES_MAX:,} bytes", code=f"invalid_{what}"
        )
    try:
        return tuple(msgspec.convert(given, list[kind]))
    except msgspec.ValidationError as exc:
        raise InvalidInput(f"the {what} do not fit: {exc}", code=f"invalid_{what}") from exc
