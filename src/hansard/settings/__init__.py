"""Settings: what an operator may choose, declared once; the only reader of the environment.

    flags  >  environment HANSARD_*  >  [hansard] table of hansard.toml  >  defaults

A setting has one name everywhere: ``oidc_issuer`` is ``--oidc-issuer``,
``HANSARD_OIDC_ISSUER`` and ``oidc_issuer = ...``. A value that cannot be used, or a name
that nobody knows, is refused by name instead of being ignored. Secrets have no flag, since
every user of a machine can read the arguments of a process.
"""

from __future__ import annotations

from hansard.settings.reading import Declared, declared, describe, load
from hansard.settings.sections import (
    About,
    AccessSettings,
    AlertSettings,
    ChatSettings,
    LimitSettings,
    PriceSettings,
    RecordSettings,
    ServerSettings,
    Settings,
    TelemetrySettings,
    is_loopback,
    refuse,
)

__all__ = [
    "About",
    "AccessSettings",
    "AlertSettings",
    "ChatSettings",
    "Declared",
    "LimitSettings",
    "PriceSettings",
    "RecordSettings",
    "ServerSettings",
    "Settings",
    "TelemetrySettings",
    "declared",
    "describe",
    "is_loopback",
    "load",
    "refuse",
]
