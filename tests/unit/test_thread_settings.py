"""Settings of threads: what is asked for, and what is in force then."""

from __future__ import annotations

from typing import Any

import pytest

from hansard.core.errors import Corrupt, InvalidInput
from hansard.core.thread_settings import (
    ENVIRONMENTS_MAX,
    LIST_BYTES_MAX,
    TOOLS_MAX,
    DynamicTool,
    ThreadSettings,
    change_settings,
    read_settings,
    write_settings,
)

FULL = ThreadSettings(permission_posture="full_access")


@pytest.mark.parametrize(
    ("asked", "mode", "posture"),
    [
        ({}, "agent", "ask"),
        ({"mode": None, "permission_posture": None}, "agent", "ask"),
        *[({"mode": name}, "agent", "ask") for name in ("act", "work", "auto", "1", " Normal ")],
        ({"mode": "2"}, "plan", "ask"),
        *[({"mode": name}, "operate", "ask") for name in ("ops", "operation", "3")],
        *[({"mode": name}, "agent", "full_access") for name in ("yolo", "bypass", "4")],
        ({"permission_posture": "auto-review"}, "agent", "auto_review"),
        ({"auto_approve": True}, "agent", "full_access"),
        ({"auto_approve": False}, "agent", "ask"),
        ({"mode": "yolo", "auto_approve": True, "permission_posture": "ask"}, "agent", "ask"),
        ({"mode": "yolo", "auto_approve": False}, "agent", "full_access"),
    ],
)
def test_names_of_modes_and_postures_are_those_of_clients(
    asked: dict[str, Any], mode: str, posture: str
) -> None:
    settings = change_settings(ThreadSettings(), asked)
    assert (settings.mode, settings.permission_posture) == (mode, posture)


def test_full_access_is_given_back_and_nothing_else_is() -> None:
    assert change_settings(FULL, {"auto_approve": False}) == ThreadSettings()
    reviewed = ThreadSettings(permission_posture="auto_review")
    assert change_settings(reviewed, {"auto_approve": False}) == reviewed
    assert change_settings(FULL, {"mode": "operate"}).permission_posture == "full_access"


def test_plan_needs_no_leave_because_it_gets_none() -> None:
    planned = change_settings(FULL, {"mode": "plan"})
    assert (planned.allows_all, planned.denies_all) == (False, True)
    assert (FULL.allows_all, FULL.denies_all) == (True, False)
    assert not ThreadSettings(permission_posture="auto_review").allows_all


def test_empty_text_clears_what_was_said() -> None:
    asked = {"workspace": "/srv/shop", "task_id": "T-1"}
    settings = change_settings(ThreadSettings(), asked)
    assert (settings.workspace, settings.task_id) == ("/srv/shop", "T-1")
    assert change_settings(settings, {"workspace": "", "task_id": ""}) == ThreadSettings()


TOOL = {"name": "look-up", "description": "Looks.", "input_schema": {"properties": {}}}


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"mode": "owner"}, "invalid_mode"),
        ({"permission_posture": "owner"}, "invalid_posture"),
        ({"workspace": "w" * 4_097}, "invalid_field"),
        ({"dynamic_tools": [{"name": ""}]}, "invalid_tools"),
        ({"dynamic_tools": [{"name": "two words"}]}, "invalid_tools"),
        ({"dynamic_tools": [{"name": "n" * 65}]}, "invalid_tools"),
        ({"dynamic_tools": [{"description": "no name"}]}, "invalid_tools"),
        ({"dynamic_tools": [TOOL | {"more": 1}]}, "invalid_tools"),
        ({"dynamic_tools": [TOOL | {"input_schema": "text"}]}, "invalid_tools"),
        ({"dynamic_tools": [TOOL | {"input_schema": {"type": "array"}}]}, "invalid_tools"),
        ({"dynamic_tools": [TOOL, TOOL]}, "invalid_tools"),
        ({"dynamic_tools": [{"name": f"t{n}"} for n in range(TOOLS_MAX + 1)]}, "invalid_tools"),
        ({"dynamic_tools": [TOOL | {"description": "é" * LIST_BYTES_MAX}]}, "invalid_tools"),
        ({"environments": [{}] * (ENVIRONMENTS_MAX + 1)}, "invalid_environments"),
        ({"environments": ["here"]}, "invalid_environments"),
    ],
)
def test_what_nobody_can_mean_is_refused(asked: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        change_settings(ThreadSettings(), asked)
    assert refused.value.code == code


def test_settings_are_read_as_they_were_written() -> None:
    settings = change_settings(
        ThreadSettings(),
        {"mode": "ops", "dynamic_tools": [TOOL], "environments": [{"id": "e1"}]},
    )
    assert settings.dynamic_tools == (DynamicTool("look-up", "Looks.", {"properties": {}}),)
    assert read_settings(write_settings(settings)) == settings
    assert write_settings(ThreadSettings()) == "{}"
    with pytest.raises(Corrupt):
        read_settings('{"mode":1}')
