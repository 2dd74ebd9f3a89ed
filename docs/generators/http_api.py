"""Every call of the HTTP API, as the endpoint table declares it."""

from __future__ import annotations

import hansard
from hansard.server.docs import to_markdown
from hansard.server.endpoints import ENDPOINTS
from hansard.server.openapi import document


def render() -> str:
    """Write everything below the title, for a service that asks for credentials."""
    api = document(ENDPOINTS, version=hansard.__version__, secured=True)
    return to_markdown(api).partition("\n")[2]
