"""Reading of settings: from flags, the environment and a file, into the checked sections."""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import Field, dataclass, fields
from pathlib import Path
from types import NoneType
from typing import Any, Final, Literal, cast, get_args, get_origin, get_type_hints

from hansard.core.errors import InvalidInput
from hansard.settings.sections import About, Settings, refuse

PREFIX: Final = "HANSARD_"
CONFIG_VARIABLE: Final = "HANSARD_CONFIG"
CONFIG_FILE: Final = "hansard.toml"
TABLE: Final = "hansard"

# Names with our prefix that are not ours: of the test suite, and those that Kubernetes sets
# in every pod beside a service called "hansard" (HANSARD_PORT=tcp://10.0.0.1:8080, ...).
_FOREIGN = re.compile(r"TEST_.*|SERVICE_(HOST|PORT.*)|PORT_\d+_(TCP|UDP).*")
_FOREIGN_PORT = re.compile(r"(tcp|udp)://.*")
_BOOLEANS: Final = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
_INTEGER = re.compile(r"-?\d{1,18}", re.ASCII)
_DECIMAL = re.compile(r"-?\d{1,18}(\.\d{1,18})?", re.ASCII)
_NOUNS: Final = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "names with values",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """One setting as declared: its names, its type and its default.

    Attributes:
        section: Field of ``Settings`` that it belongs to.
        kind: ``str``, ``int``, ``float``, ``bool``, or ``dict``: texts by their names.
        choices: The values allowed, if they are listed.
    """

    name: str
    section: str
    kind: type
    choices: tuple[str, ...]
    default: Any
    about: About

    @property
    def flag(self) -> str | None:
        """Name on the command line; None for a secret."""
        return None if self.about.secret else "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """Name in the environment."""
        return PREFIX + self.name.upper()


def declared() -> tuple[Declared, ...]:
    """Every setting, in the order of declaration."""
    return tuple(
        _declared(section.name, item, hint)
        for section in fields(Settings)
        for kind in [_section_type(section.name)]
        for hints in [get_type_hints(kind, include_extras=True)]
        for item in fields(kind)
        for hint in [hints[item.name]]
    )


def load(
    flags: Mapping[str, object] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Settings:
    """Read the settings; a flag of None was not given.

    Args:
        flags: Values from the command line, by the names of the settings.
        environment: In place of the process's own.
        folder: Where ``hansard.toml`` is looked for, in place of the present one.

    Raises:
        InvalidInput: With code ``invalid_setting`` and the setting's name.
    """
    if environment is None:
        environment = os.environ  # noqa: TID251 - this is the one place
    known = {item.name: item for item in declared()}
    given: dict[str, object] = {}
    for source, values in (
        _file_values(environment, folder or Path()),
        ("the environment", _environment_values(environment)),
        ("the command line", {k: v for k, v in (flags or {}).items() if v is not None}),
    ):
        for name, value in values.items():
            if name not in known:
                raise _unknown(name, known, source)
            given[name] = _convert(known[name], value, source)
    return Settings(
        **{
            section.name: _section_type(section.name)(
                **{n: v for n, v in given.items() if known[n].section == section.name}
            )
            for section in fields(Settings)
        }
    )


def describe() -> str:
    """Write every setting as Markdown tables, one for each section."""
    return "\n".join(line for section in fields(Settings) for line in _describe(section.name))


def _section_type(name: str) -> type[Any]:
    kind: type[Any] = get_type_hints(Settings)[name]
    return kind


def _declared(section: str, item: Field[Any], hint: Any) -> Declared:
    wanted, about = get_args(hint)
    kinds = [kind for kind in get_args(wanted) or (wanted,) if kind is not NoneType]
    listed = get_origin(wanted) is Literal
    return Declared(
        name=item.name,
        section=section,
        kind=str if listed else get_origin(kinds[0]) or kinds[0],
        choices=tuple(kinds) if listed else (),
        default=item.default,
        about=about,
    )


def _file_values(environment: Mapping[str, str], folder: Path) -> tuple[str, dict[str, object]]:
    named = environment.get(CONFIG_VARIABLE)
    path = Path(named) if named else folder / CONFIG_FILE
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        if named:
            raise refuse(CONFIG_VARIABLE, f"there is no file {path}") from exc
        content = {}
    except OSError as exc:
        raise refuse(CONFIG_VARIABLE, f"{path} cannot be read: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise refuse(CONFIG_VARIABLE, f"{path} is not TOML: {exc}") from exc
    values = content.pop(TABLE, {})
    if content or not isinstance(values, dict):
        name = next(iter(content), TABLE)
        raise refuse(name, f"{path} may hold one table, [{TABLE}], and nothing beside it")
    return str(path), values


def _environment_values(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environment.items()
        if value and name.startswith(PREFIX) and name != CONFIG_VARIABLE
        if not _FOREIGN.fullmatch(name.removeprefix(PREFIX))
        if not (name == PREFIX + "PORT" and _FOREIGN_PORT.fullmatch(value))
    }


def _unknown(name: str, known: Mapping[str, Declared], source: str) -> InvalidInput:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; is {close[0]} meant?" if close else ""
    return refuse(name, f"there is no such setting (in {source}){hint}")


def _convert(item: Declared, value: object, source: str) -> object:
    typed = _from_text(item.kind, value) if isinstance(value, str) else value
    if item.kind is float and type(typed) is int:
        typed = float(typed)
    if type(typed) is not item.kind:
        raise refuse(item.name, f"must be {_NOUNS[item.kind]} (in {source})")
    for text in _texts(typed):
        if not (isinstance(text, str) and text and text.isprintable()):
            raise refuse(item.name, f"must be text in one line (in {source})")
    if item.choices and typed not in item.choices:
        raise refuse(item.name, f"must be one of {', '.join(item.choices)} (in {source})")
    least, most = item.about.least, item.about.most
    if least is not None and most is not None and not least <= cast("float", typed) <= most:
        raise refuse(item.name, f"must be from {least:,} to {most:,} (in {source})")
    return typed


def _texts(value: object) -> Iterable[object]:
    """The texts that a value consists of."""
    if isinstance(value, dict):
        return (*value, *value.values())
    return (value,) if isinstance(value, str) else ()


def _from_text(kind: type, text: str) -> object:
    """Read a value that was written as text; None if it cannot be."""
    if kind is dict:
        pairs = [pair.strip().partition("=") for pair in text.split(",")]
        return {name: value for name, _, value in pairs}
    if kind is bool:
        return _BOOLEANS.get(text.lower())
    if kind is int:
        return int(text) if _INTEGER.fullmatch(text) else None
    if kind is float:
        return float(text) if _DECIMAL.fullmatch(text) else None
    return text


def _describe(section: str) -> Iterator[str]:
    kind = _section_type(section)
    yield f"## {section.capitalize()}\n\n{(kind.__doc__ or '').splitlines()[0]}\n"
    yield "| setting | flag | environment | type | default | what for |"
    yield "|---|---|---|---|---|---|"
    for item in declared():
        if item.section == section:
            flag = f"`{item.flag}`" if item.flag else "none (secret)"
            values = " \\| ".join(f"`{choice}`" for choice in item.choices)
            default = "" if item.default is None else f"`{json.dumps(item.default)}`"
            yield (
                f"| `{item.name}` | {flag} | `{item.variable}` | {values or _NOUNS[item.kind]} "
                f"| {default} | {item.about.text} |"
            )
    yield ""
