"""Settings: three sources in one order, and every wrong name or value is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hansard import settings
from hansard.core.errors import InvalidInput
from hansard.settings import Declared, Settings

DECLARED = settings.declared()
SAMPLES = {str: "sample", float: "2.5", bool: "true", dict: "name=value"}


def sample(item: Declared) -> str:
    if item.kind is int:
        assert item.about.least is not None
        return str(int(item.about.least) + 1)
    if item.name in {"budget_webhook", "cors_origins", "public_url", "upstream"}:
        return "https://receiver"
    return item.choices[-1] if item.choices else SAMPLES[item.kind]


def read(loaded: Settings, item: Declared) -> object:
    return getattr(getattr(loaded, item.section), item.name)


def refused(**sources: object) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        settings.load(**sources)  # type: ignore[arg-type]  # the wrong value is the point
    assert caught.value.code == "invalid_setting"
    return caught.value


def write(folder: Path, text: str) -> Path:
    path = folder / "hansard.toml"
    path.write_text(text)
    return path


def test_nothing_given_takes_the_defaults(tmp_path: Path) -> None:
    assert settings.load(environment={}, folder=tmp_path) == Settings()


def test_names_are_unique() -> None:
    assert len({item.name for item in DECLARED}) == len(DECLARED)


@pytest.mark.parametrize("item", DECLARED, ids=lambda item: item.name)
def test_every_setting_is_read_from_environment_and_file(item: Declared, tmp_path: Path) -> None:
    needed = {
        "HANSARD_OIDC_ISSUER": "https://issuer",
        "HANSARD_OIDC_AUDIENCE": "hansard",
        "HANSARD_BUDGET_WEBHOOK_SECRET": "secret",
    }
    text = sample(item)
    from_environment = settings.load(environment={**needed, item.variable: text}, folder=tmp_path)
    literal = text if item.kind in (int, float, bool) else json.dumps(text)
    write(tmp_path, f"[hansard]\n{item.name} = {literal}\n")
    remaining = {name: value for name, value in needed.items() if name != item.variable}
    from_file = settings.load(environment=remaining, folder=tmp_path)
    assert read(from_environment, item) == read(from_file, item)
    expected = {"name": "value"} if item.kind is dict else text
    assert str(read(from_file, item)).lower() == str(expected)


def test_names_with_values_are_a_table_or_text(tmp_path: Path) -> None:
    write(tmp_path, '[hansard.agents]\nairline = "shop:airline"\nbilling = "shop:billing"\n')
    from_file = settings.load(environment={}, folder=tmp_path).chat.agents
    assert from_file == {"airline": "shop:airline", "billing": "shop:billing"}
    flag = {"agents": "airline=shop:airline, billing=shop:billing"}
    assert settings.load(flag, environment={}, folder=tmp_path / "none").chat.agents == from_file


@pytest.mark.parametrize("text", ["airline", "=shop:airline", "airline=", "a=b,", ","])
def test_name_without_a_value_is_refused(text: str, tmp_path: Path) -> None:
    error = refused(flags={"agents": text}, environment={}, folder=tmp_path)
    assert error.details == {"setting": "agents"}


@pytest.mark.parametrize("item", DECLARED, ids=lambda item: item.name)
def test_every_default_is_allowed(item: Declared, tmp_path: Path) -> None:
    if item.default is not None:
        loaded = settings.load({item.name: item.default}, environment={}, folder=tmp_path)
        assert read(loaded, item) == item.default


def test_flags_win_over_environment_and_environment_over_file(tmp_path: Path) -> None:
    write(tmp_path, '[hansard]\nhost = "file"\nport = 1\nlog_level = "error"\n')
    environment = {"HANSARD_HOST": "environment", "HANSARD_PORT": "2"}
    loaded = settings.load({"host": "flag", "port": None}, environment=environment, folder=tmp_path)
    assert (loaded.server.host, loaded.server.port) == ("flag", 2)
    assert loaded.server.log_level == "error"


def test_named_file_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, "[hansard]\nport = 9\n")
    loaded = settings.load(environment={"HANSARD_CONFIG": str(path)}, folder=tmp_path / "none")
    assert loaded.server.port == 9


def test_named_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    error = refused(environment={"HANSARD_CONFIG": str(tmp_path / "absent.toml")})
    assert error.details == {"setting": "HANSARD_CONFIG"}


def test_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    error = refused(environment={"HANSARD_CONFIG": str(tmp_path)})
    assert "cannot be read" in error.message


@pytest.mark.parametrize("text", ["[hansard", "\xff", "port = 1", "hansard = 3", "[other]\na = 1"])
def test_file_of_another_shape_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "hansard.toml").write_bytes(text.encode("latin-1"))
    refused(environment={}, folder=tmp_path)


def test_whole_number_will_do_for_a_number(tmp_path: Path) -> None:
    write(tmp_path, "[hansard]\nretry_deadline_s = 5\n")
    loaded = settings.load(environment={}, folder=tmp_path)
    assert repr(loaded.record.retry_deadline_s) == "5.0"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "http"),
        ("port", "1.0"),
        ("port", "65536"),
        ("port", "-1"),
        ("port", "9" * 30),
        ("retry_deadline_s", "inf"),
        ("retry_deadline_s", "-1"),
        ("retry_deadline_s", "soon"),
        ("insecure", "maybe"),
        ("auth", "ldap"),
        ("token", "two\nlines"),
    ],
)
def test_wrong_value_is_named_and_not_shown(name: str, value: str, tmp_path: Path) -> None:
    variable = f"HANSARD_{name.upper()}"
    error = refused(environment={variable: value}, folder=tmp_path)
    assert error.details == {"setting": name}
    assert name in error.message
    assert value not in error.message.split()


@pytest.mark.parametrize(
    "line",
    [
        "port = true",
        "port = 8080.0",
        "insecure = 1",
        "host = 1",
        'host = ""',
        "agents = {airline = 1}",
        "retry_deadline_s = nan",
    ],
)
def test_wrong_type_in_the_file_is_refused(line: str, tmp_path: Path) -> None:
    write(tmp_path, f"[hansard]\n{line}\n")
    error = refused(environment={}, folder=tmp_path)
    assert error.details == {"setting": line.split()[0]}


def test_unknown_name_is_refused_with_a_guess(tmp_path: Path) -> None:
    error = refused(environment={"HANSARD_DATABSE": "x"}, folder=tmp_path)
    assert error.details == {"setting": "databse"}
    assert "is database meant?" in error.message


def test_unknown_name_without_likeness_has_no_guess(tmp_path: Path) -> None:
    write(tmp_path, "[hansard]\nzzz = 1\n")
    assert "meant" not in refused(environment={}, folder=tmp_path).message


def test_names_of_kubernetes_and_of_tests_are_not_ours(tmp_path: Path) -> None:
    environment = {
        "HANSARD_PORT": "tcp://10.0.0.1:8080",
        "HANSARD_PORT_8080_TCP_ADDR": "10.0.0.1",
        "HANSARD_SERVICE_HOST": "10.0.0.1",
        "HANSARD_SERVICE_PORT_HTTP": "8080",
        "HANSARD_TEST_DATA": "/somewhere",
        "HANSARD_TOKEN": "",
    }
    assert settings.load(environment=environment, folder=tmp_path) == Settings()


def test_oidc_needs_issuer_and_audience(tmp_path: Path) -> None:
    environment = {"HANSARD_AUTH": "oidc", "HANSARD_OIDC_ISSUER": "https://issuer"}
    assert refused(environment=environment, folder=tmp_path).details == {"setting": "oidc_audience"}


def test_secrets_have_no_flag_and_are_not_printed(tmp_path: Path) -> None:
    secrets = [item for item in DECLARED if item.about.secret]
    assert [item.name for item in secrets] == [
        "token",
        "key_pepper",
        "upstream_key",
        "budget_webhook_secret",
    ]
    assert not any(item.flag for item in secrets)
    environment = {item.variable: "hush-hush" for item in secrets}
    assert "hush-hush" not in repr(settings.load(environment=environment, folder=tmp_path))


def test_description_names_every_setting() -> None:
    text = settings.describe()
    for item in DECLARED:
        assert f"| `{item.name}` | " in text
        assert f"`{item.variable}`" in text


def test_one_agent_answers_at_most(tmp_path: Path) -> None:
    write(tmp_path, 'script = "echo"')
    flags = {"upstream": "http://127.0.0.1:1/v1"}
    assert refused(flags=flags, environment={}, folder=tmp_path).details == {"setting": "script"}


@pytest.mark.parametrize("name", ["public_url", "upstream"])
@pytest.mark.parametrize(
    "url",
    [
        "api.openai.com/v1",
        "ftp://host",
        "http://",
        "https://u:p@host",
        "http://h/?a=b",
        "http://h:x",
        "http://[::1",
    ],
)
def test_server_is_reached_at_a_url_that_paths_can_follow(
    tmp_path: Path, name: str, url: str
) -> None:
    error = refused(flags={name: url}, environment={}, folder=tmp_path)
    assert error.details == {"setting": name}
