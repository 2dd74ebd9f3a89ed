"""The settings themselves, by sections: each with its type, its default and what it is for.

A field's name is the setting's name everywhere, so no two sections share one.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from hansard.core.actors import DEFAULT_TENANT
from hansard.core.errors import InvalidInput
from hansard.core.paging import LIMIT_MAX

_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
"""An origin as browsers write it; no pattern, and no `null`, which any page can be."""


@dataclass(frozen=True, slots=True)
class About:
    """What a setting is for, and which values it takes.

    Attributes:
        least: Smallest number allowed; ``most`` is the largest.
        secret: Never shown, and not settable by a flag.
    """

    text: str
    least: float | None = None
    most: float | None = None
    secret: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSettings:
    """Where the record is, and how to reach it."""

    database: Annotated[
        str,
        About(
            "Where the record lives: `sqlite:///path`, `sqlite://` (in memory), "
            "`postgresql://…`, `https://…` (a Hansard server) or `null://`."
        ),
    ] = "sqlite:///hansard.db"
    tenant: Annotated[
        str, About("Tenant to act in on a database; a server takes it from the token.")
    ] = DEFAULT_TENANT
    token: Annotated[str | None, About("Bearer token for a Hansard server.", secret=True)] = field(
        default=None, repr=False
    )
    retry_deadline_s: Annotated[
        float,
        About(
            "How long a call that may be sent again is sent again, before it fails.",
            least=0,
            most=3_600,
        ),
    ] = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How the service listens, logs and stops."""

    host: Annotated[str, About("Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, About("Port to listen on; 0 takes a free one.", least=0, most=65_535)] = (
        8080
    )
    public_url: Annotated[
        str | None,
        About("Where other servers of the same record reach this one; by its address, if not set."),
    ] = None
    lease_s: Annotated[
        float,
        About(
            "After how long without a word from this server others take its threads over.",
            least=1,
            most=3_600,
        ),
    ] = 15.0
    max_connections: Annotated[
        int,
        About(
            "Connections open at once, if the system allows as many; one more is answered 503.",
            least=1,
            most=1_000_000,
        ),
    ] = 4_096
    max_streams: Annotated[
        int,
        About(
            "Event streams open at once, half of them for one tenant; one more is answered 429.",
            least=1,
            most=100_000,
        ),
    ] = 1_000
    drain_s: Annotated[
        float,
        About("After SIGTERM, how long requests under way may take.", least=0, most=3_600),
    ] = 30.0
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], About("Least severe event to log.")
    ] = "info"
    log_format: Annotated[
        Literal["json", "text"], About("How an event is written to standard error.")
    ] = "json"

    def __post_init__(self) -> None:
        if self.public_url is not None and not _is_base_url(self.public_url):
            raise refuse("public_url", "must be like http://host:port or https://host/path")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessSettings:
    """Who may call the service."""

    auth: Annotated[
        Literal["none", "key", "oidc"],
        About("Who is let in: everybody, API keys, or tokens of an OpenID issuer and API keys."),
    ] = "none"
    insecure: Annotated[
        bool, About("Allow `auth = none` on an address that other machines reach.")
    ] = False
    oidc_issuer: Annotated[
        str | None, About("Issuer whose tokens are accepted (claim `iss`), an `https://` URL.")
    ] = None
    oidc_audience: Annotated[str | None, About("Audience that tokens must name (`aud`).")] = None
    oidc_tenant_claim: Annotated[str, About("Claim of a token that names the tenant.")] = "tenant"
    oidc_jwks_url: Annotated[
        str | None, About("Where the issuer's keys are; found by discovery if not given.")
    ] = None
    key_pepper: Annotated[
        str | None,
        About("Secret that API keys are hashed with.", secret=True),
    ] = field(default=None, repr=False)
    cors_origins: Annotated[
        str | None,
        About(
            "Origins whose pages may read the answers in a browser, parted by commas, such as "
            "`https://desk.example`; none, if not given."
        ),
    ] = None

    @property
    def origins(self) -> frozenset[str]:
        """Whose pages may read the answers."""
        return frozenset(origin.strip() for origin in (self.cors_origins or "").split(",")) - {""}

    def __post_init__(self) -> None:
        for origin in self.origins:
            if not _ORIGIN.fullmatch(origin):
                raise refuse("cors_origins", "must be like https://host or http://host:port")
        if self.auth == "oidc":
            for name in ("oidc_issuer", "oidc_audience"):
                if getattr(self, name) is None:
                    raise refuse(name, "is needed with auth = oidc")


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """How much one request to the service may bring or take."""

    body_limit_bytes: Annotated[
        int, About("Largest body of an ordinary request.", least=1_024, most=2**30)
    ] = 2**20
    history_limit_bytes: Annotated[
        int,
        About("Largest body of a whole history (`PUT`), trace or import.", least=1_024, most=2**40),
    ] = 2**26
    page_limit: Annotated[
        int, About("Largest page that a list gives.", least=1, most=LIMIT_MAX)
    ] = LIMIT_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatSettings:
    """What answers at `/v1/chat/completions`, and what becomes of the answers."""

    upstream: Annotated[
        str | None,
        About("OpenAI-compatible endpoint that answers, such as `https://api.openai.com/v1`."),
    ] = None
    upstream_key: Annotated[str | None, About("API key for the upstream.", secret=True)] = field(
        default=None, repr=False
    )
    provider: Annotated[
        str | None, About("The upstream's name in the price table; found by its URL if not given.")
    ] = None
    agent: Annotated[
        str | None, About("A pydantic-ai agent that answers, as `module:attribute`.")
    ] = None
    agents: Annotated[
        dict[str, str] | None,
        About(
            "Agents of pydantic-ai for threads: a table in the file, or `name=module:attribute` "
            "parted by commas. The first answers chat requests if nothing else does."
        ),
    ] = None
    script: Annotated[
        str | None,
        About("File of lines that answer, one after another, or `echo`: for demonstrations."),
    ] = None
    output_bound_tokens: Annotated[
        int,
        About(
            "The most that a call may bring whose request sets no limit; where a budget "
            "applies, it becomes the limit.",
            least=1,
            most=10**9,
        ),
    ] = 16_384
    budget_fit: Annotated[
        Literal["refuse", "clamp"],
        About("Refuse a call that may cost more than is left, or lower its output limit."),
    ] = "refuse"
    require_record: Annotated[
        bool, About("Answer 503 instead of calling a model where that cannot be recorded.")
    ] = False
    spool: Annotated[
        str | None,
        About(
            "Folder for turns that the record does not take yet; beside a SQLite file, or "
            "`hansard-spool`, if not given."
        ),
    ] = None
    max_turns: Annotated[
        int,
        About(
            "Turns under way at once, half of them for one tenant; one more is answered 429.",
            least=1,
            most=100_000,
        ),
    ] = 1_000
    max_turns_bytes: Annotated[
        int,
        About(
            "Size of their requests, of the histories put before those and of the answers so "
            "far, half of it for one tenant; a request that is more is answered 429 (413 if it "
            "is too large by itself), an answer ends there.",
            least=2**20,
            most=2**40,
        ),
    ] = 2**29
    turn_deadline_s: Annotated[
        float, About("How long one turn may take, its model calls together.", least=1, most=86_400)
    ] = 600.0
    upstream_idle_s: Annotated[
        float | None,
        About(
            "How long an upstream may say nothing, before its answer and in it; models that "
            "reason are silent for minutes. `turn_deadline_s` if not given.",
            least=1,
            most=86_400,
        ),
    ] = None
    session_queue: Annotated[
        int,
        About(
            "Turns that may wait for one session; one more is answered 409.", least=0, most=1_000
        ),
    ] = 16
    session_wait_s: Annotated[
        float,
        About("How long a turn may wait for earlier ones of its session.", least=0, most=3_600),
    ] = 30.0
    record_wait_s: Annotated[
        float,
        About("How long an answer waits for the record before it goes on.", least=0.01, most=60),
    ] = 2.0
    left_s: Annotated[
        float,
        About("How long a turn goes on whose client has left.", least=0, most=3_600),
    ] = 60.0

    def __post_init__(self) -> None:
        given = [name for name in ("upstream", "agent", "script") if getattr(self, name)]
        if len(given) > 1:
            raise refuse(given[1], f"and {given[0]} exclude each other")
        if self.upstream and not _is_base_url(self.upstream):
            raise refuse("upstream", "must be http(s)://host/path, without query or credentials")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSettings:
    """Who is told that a budget is nearly spent, beside the log."""

    budget_webhook: Annotated[
        str | None,
        About(
            "URL that every crossing of a budget's threshold is posted to: `https://…`, or "
            "`http://…` on this machine."
        ),
    ] = None
    budget_webhook_secret: Annotated[
        str | None, About("Secret that posts to the webhook are signed with.", secret=True)
    ] = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.budget_webhook is None:
            return
        if not _may_be_posted_to(self.budget_webhook):
            raise refuse("budget_webhook", "must be https://…, or http://… on this machine")
        if self.budget_webhook_secret is None:
            raise refuse("budget_webhook_secret", "is needed with budget_webhook")


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceSettings:
    """What model calls cost."""

    prices: Annotated[
        str | None,
        About(
            "A `prices.toml` that counts over the prices that come with the program, below "
            "those in the database."
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySettings:
    """What is told of the service to those who watch it."""

    metrics_tenant_label: Annotated[
        bool,
        About("Tell tenants apart in the metrics of tokens and money; all who scrape see them."),
    ] = False
    otel: Annotated[
        bool,
        About(
            "Send traces and metrics of chat turns to an OpenTelemetry collector; where that is, "
            "its own variables say (`OTEL_EXPORTER_OTLP_ENDPOINT`, …)."
        ),
    ] = False
    otel_content: Annotated[
        bool, About("Put what was said into the traces: whoever reads them reads it.")
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, checked."""

    record: RecordSettings = field(default_factory=RecordSettings)
    server: ServerSettings = field(default_factory=ServerSettings)
    access: AccessSettings = field(default_factory=AccessSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    chat: ChatSettings = field(default_factory=ChatSettings)
    alerts: AlertSettings = field(default_factory=AlertSettings)
    prices: PriceSettings = field(default_factory=PriceSettings)
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)


def refuse(name: str, reason: str) -> InvalidInput:
    """Make the error that names a setting."""
    return InvalidInput(f"setting {name}: {reason}", code="invalid_setting", setting=name)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address or name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_base_url(url: str) -> bool:
    """Tell whether paths may be put after it."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # of a number that a port can have
    except ValueError:
        return False
    return (
        parts.scheme in {"http", "https"}
        and bool(parts.hostname)
        and parts.username is None
        and not (parts.query or parts.fragment)
    )


def _may_be_posted_to(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    if not host or parts.username is not None:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
