"""Errors on the command line: one exit code for each kind, a message on standard error."""

from __future__ import annotations

import errno
from typing import Any, Final

import click

from hansard.cli.texts import json_line
from hansard.core.errors import (
    Conflict,
    Corrupt,
    HansardError,
    InvalidInput,
    NotFound,
    Unauthorized,
)

EXIT_ERROR: Final = 1
EXIT_INTEGRITY: Final = 6
EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells count

EXIT_CODES: Final[dict[type[HansardError], int]] = {
    InvalidInput: 2,
    NotFound: 3,
    Unauthorized: 4,
    Conflict: 5,
    Corrupt: EXIT_INTEGRITY,
}

EXIT_CODES_BY_CODE: Final = {"budget_exceeded": 5, "unpriced_model": 5}

EXPLAINED: Final = {
    0: "done",
    1: "failed, or the record could not be reached",
    2: "wrong usage, setting or input; or a question that nobody was there to answer",
    3: "no such session, key, budget or hold",
    4: "not allowed",
    5: "conflict with what is recorded, or refused by a budget",
    6: "integrity: a digest, a checksum or the database is broken",
}
"""Every exit code and what it says."""


class RecordCommand(click.Command):
    """A command whose errors become messages and exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HansardError as exc:
            report(exc, as_json=bool(ctx.params.get("as_json")))
            ctx.exit(exit_code(exc))
        except OSError as exc:  # a full disk, a file of somebody else's
            if exc.errno == errno.EPIPE:
                raise  # the reader has seen enough; click ends quietly
            error = HansardError(str(exc), code="system_error")
            report(error, as_json=bool(ctx.params.get("as_json")))
            ctx.exit(EXIT_ERROR)
        except KeyboardInterrupt:
            ctx.exit(EXIT_INTERRUPTED)


def exit_code(error: HansardError) -> int:
    """The exit code of an error."""
    return EXIT_CODES_BY_CODE.get(error.code) or EXIT_CODES.get(type(error), EXIT_ERROR)


def report(error: HansardError, *, as_json: bool) -> None:
    """Write an error to standard error: for people, or as the HTTP API writes it."""
    if as_json:
        body = {"code": error.code, "message": error.message, "details": error.details}
        click.echo(json_line({"error": body}), err=True)
    else:
        request_id = error.details.get("request_id")
        request = f", request {request_id}" if request_id else ""
        click.echo(f"error: {error.message} ({error.code}{request})", err=True)
        for note in error.notes:
            click.echo(note, err=True)
