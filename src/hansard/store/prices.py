"""Imported prices in SQL."""

from __future__ import annotations

from hansard.core.errors import Conflict
from hansard.core.price_tables import PriceVersion
from hansard.store.database import Tx, one

VERSIONS_MAX = 1_000  # listed for one tenant

Heads = tuple[int, int]
"""Numbers of the prices in force: of a tenant, and of every tenant; 0 is none."""


def insert(
    tx: Tx,
    tenant_id: str,
    document: str,
    *,
    version: str,
    source: str,
    sha256: str,
    imported_at_us: int,
) -> PriceVersion:
    """Put a document in force.

    Raises:
        Conflict: ``prices_changed``, if somebody else did at the same time.
    """
    found = tx.rows(
        "price_version_insert",
        tenant_id=tenant_id,
        version=version,
        source=source,
        document_hash=sha256,
        document=document,
        imported_at_us=imported_at_us,
    )
    if not found:
        raise Conflict("other prices came between", code="prices_changed")
    return PriceVersion(tenant_id, found[0][0], version, source, sha256, imported_at_us)


def find_heads(tx: Tx, tenant_id: str) -> Heads:
    """Return which prices are in force for a tenant."""
    own = one(tx, "price_version_newest", tenant_id=tenant_id) if tenant_id else None
    common = one(tx, "price_version_newest", tenant_id="")
    return own[0] if own else 0, common[0] if common else 0


def get_document(tx: Tx, tenant_id: str, number: int) -> str:
    """Return a document that is known to be there."""
    row = one(tx, "price_version_document", tenant_id=tenant_id, number=number)
    assert row is not None  # nothing removes one
    return str(row[0])


def list_versions(tx: Tx, tenant_id: str) -> list[PriceVersion]:
    """Return what was imported for a tenant, the newest first, at most ``VERSIONS_MAX``."""
    rows = tx.rows("price_version_list", tenant_id=tenant_id, limit=VERSIONS_MAX)
    return [PriceVersion(*row) for row in rows]
