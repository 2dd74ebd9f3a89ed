"""Every error raised on purpose, in one tree that is split by who must act.

HansardError
|-- InvalidInput     the caller changes the request
|-- Unauthorized     the caller brings (better) credentials
|-- NotFound         the named thing does not exist, or is not the caller's
|-- Conflict         the thing exists in a state that forbids the request
|-- LimitReached     a size, quota or budget says no
|-- UpstreamFailed   a service that we depend on answered badly
|-- Unavailable      the store could not answer; send the same request again
`-- Corrupt          stored data breaks an invariant; a person must look

``code`` is stable and machine readable; ``details`` holds JSON values and never content.
"""

from __future__ import annotations

from typing import Any, ClassVar


class HansardError(Exception):
    """Base of every error raised on purpose by this package."""

    default_code: ClassVar[str] = "internal"

    def __init__(self, message: str, *, code: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.details = details

    @property
    def notes(self) -> list[str]:
        """What the log and the command line tell beside the message, and no answer does."""
        return getattr(self, "__notes__", [])

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.code, self.details)


def _rebuild(
    kind: type[HansardError], message: str, code: str, details: dict[str, Any]
) -> HansardError:
    return kind(message, code=code, **details)


class InvalidInput(HansardError):
    """The request can never succeed as it stands; nothing was changed."""

    default_code = "invalid_input"


class Unauthorized(HansardError):
    """No valid credentials, or credentials that do not reach this far."""

    default_code = "unauthorized"


class NotFound(HansardError):
    """No such thing within the caller's reach."""

    default_code = "not_found"


class Conflict(HansardError):
    """The request is valid, but the present state forbids it; nothing was changed."""

    default_code = "conflict"


class LimitReached(HansardError):
    """A limit on size, rate or money says no; nothing was changed."""

    default_code = "limit_reached"


class UpstreamFailed(HansardError):
    """A service behind this one answered badly."""

    default_code = "upstream_failed"


class Unavailable(HansardError):
    """The store cannot answer now; the same request, with the same ids, may be sent again."""

    default_code = "unavailable"


class Corrupt(HansardError):
    """Stored or imported data breaks an invariant."""

    default_code = "corrupt"
