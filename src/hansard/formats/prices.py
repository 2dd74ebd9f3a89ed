"""Price tables on disk: the one that comes with the program, and ``prices.toml``.

The first is JSON, one model per line, so that a change of prices reads as one in a review.
``prices/convert.py`` makes it of ``genai-prices``; it is read when it is first needed.

The second is what people write. Prices stand in quotes, in US dollars, so that none goes
through a float; whatever could be misread is refused.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache
from hashlib import sha256
from importlib import resources
from itertools import combinations
from typing import Any, Final

import msgspec
from msgspec import Struct

from hansard.core.errors import InvalidInput, LimitReached
from hansard.core.price_tables import (
    BEGINNING_US,
    END_US,
    Clause,
    PriceOverride,
    PriceOverrides,
    PriceProvider,
    PriceSheet,
    PriceTable,
    Rates,
    missing_wholes,
)
from hansard.core.prices import PriceBook, tier_of
from hansard.core.times import parse_us

BUILTIN: Final = resources.files("hansard.formats") / "prices.json"
DOCUMENT_BYTES_MAX: Final = 2**20
ENTRIES_MAX: Final = 5_000  # of a document: a new name is looked for in all of them

VERSION_DIGITS: Final = 12  # of a SHA-256, which says enough to tell documents apart
PICO_PER_USD: Final = 10**12
MILLION: Final = 10**6
_USD: Final = re.compile(r"\d{1,6}(\.\d{1,12})?", re.ASCII)


class BuiltinPrices(Struct, frozen=True, forbid_unknown_fields=True):
    """The file that comes with the program: whose prices, and the day they were taken."""

    source: str
    taken_on: str
    providers: tuple[PriceProvider, ...]


# Made at import: msgspec crashes where two threads meet a nested class for the first time.
_BUILTIN_DECODER: Final = msgspec.json.Decoder(BuiltinPrices)


@cache
def load_builtin() -> PriceBook:
    """The book of the prices that come with the program."""
    document = BUILTIN.read_bytes()
    prices = read_builtin(document)
    version = f"builtin-{prices.taken_on}-{_digest(document)}"
    return PriceBook(PriceTable(version, prices.providers))


def read_builtin(document: bytes) -> BuiltinPrices:
    """Read what ``write_builtin`` wrote."""
    return _BUILTIN_DECODER.decode(document)


def write_builtin(prices: BuiltinPrices) -> bytes:
    """Write JSON, one model per line."""
    head = msgspec.json.encode(msgspec.structs.replace(prices, providers=()))
    providers = b",\n".join(map(_write_provider, prices.providers))
    return head.replace(b'"providers":[]', b'"providers":[\n' + providers + b"\n]") + b"\n"


def _write_provider(provider: PriceProvider) -> bytes:
    head = msgspec.json.encode(msgspec.structs.replace(provider, models=()))
    models = b",\n".join(map(msgspec.json.encode, provider.models))
    return head.replace(b'"models":[]', b'"models":[\n' + models + b"\n]")


class _Match(Struct, frozen=True, forbid_unknown_fields=True):
    """Models by a part of their names; regular expressions could take forever."""

    starts_with: str | None = None
    ends_with: str | None = None
    contains: str | None = None


class _Rates(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """US dollars for a million tokens, by bucket."""

    input_per_million: str | None = None
    cached_per_million: str | None = None
    cache_write_per_million: str | None = None
    cache_write_1h_per_million: str | None = None
    input_audio_per_million: str | None = None
    cached_audio_per_million: str | None = None
    output_per_million: str | None = None
    reasoning_per_million: str | None = None
    output_audio_per_million: str | None = None


class _Above(_Rates, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What calls of more than so many input tokens cost, in whole, instead."""

    input_tokens: int


class _Entry(_Rates, frozen=True, kw_only=True, forbid_unknown_fields=True):
    provider: str = ""
    model: str | None = None
    match: _Match | None = None
    service_tier: str = ""
    valid_from: Any = None
    valid_to: Any = None
    per_request: str | None = None
    per_web_search: str | None = None
    above: tuple[_Above, ...] = ()


class _Document(Struct, frozen=True, forbid_unknown_fields=True):
    price: tuple[_Entry, ...] = ()


def read_toml(document: bytes) -> PriceOverrides:
    """Read a ``prices.toml``; its version names its bytes. None at all is a document too.

    Raises:
        InvalidInput: ``invalid_prices``, saying which entry and why: not TOML, an unknown
            key, a number without quotes, a price without its whole, two prices at once.
        LimitReached: ``too_many_prices``, if it is too large.
    """
    if len(document) > DOCUMENT_BYTES_MAX:
        raise LimitReached(f"more than {DOCUMENT_BYTES_MAX:,} bytes", code="too_many_prices")
    try:
        content = tomllib.loads(document.decode())
        entries = msgspec.convert(content, _Document).price
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise _refuse(f"not TOML: {exc}") from exc
    except msgspec.ValidationError as exc:
        raise _refuse(f'{exc}; a price is written in quotes, such as "3.00"') from exc
    if len(entries) > ENTRIES_MAX:
        raise LimitReached(f"more than {ENTRIES_MAX:,} prices", code="too_many_prices")
    overrides = tuple(_override(entry, number) for number, entry in enumerate(entries, 1))
    _check_overlaps(overrides)
    return PriceOverrides(f"prices.toml-{_digest(document)}", overrides)


def _override(entry: _Entry, number: int) -> PriceOverride:
    where = f"price {number}"
    from_us = _moment(entry.valid_from, f"{where}: valid_from")
    until_us = _moment(entry.valid_to, f"{where}: valid_to")
    if from_us is not None and until_us is not None and from_us >= until_us:
        raise _refuse(f"{where}: valid_to is not after valid_from")
    sheet = PriceSheet(
        rates=_rates(entry, where),
        tier=tier_of(entry.service_tier),
        from_us=from_us,
        until_us=until_us,
    )
    return PriceOverride(entry.provider.lower().strip(), _clause(entry, where), sheet)


def _clause(entry: _Entry, where: str) -> Clause:
    if (entry.model is None) == (entry.match is None):
        raise _refuse(f"{where}: give either model or match")
    match = entry.match or _Match()
    texts = (entry.model, match.starts_with, match.ends_with, match.contains)
    equals, starts_with, ends_with, contains = (text and text.lower() for text in texts)
    if not any(texts) or "" in texts:
        raise _refuse(f"{where}: match takes starts_with, ends_with, contains; none is empty")
    return Clause(equals, starts_with, ends_with, contains)


def _rates(entry: _Entry, where: str) -> Rates:
    steps = {bucket: [(0, rate)] for bucket, rate in _token_rates(entry, where)}
    if not steps.keys() >= {"input", "output"} and (steps or entry.per_request is None):
        raise _refuse(f'{where}: give input_per_million and output_per_million; free is "0"')
    least = 0
    for above in entry.above:
        if above.input_tokens <= least:
            raise _refuse(f"{where}: above.input_tokens must be above 0, and go up")
        least = above.input_tokens
        for bucket, rate in _token_rates(above, f"{where}: above {least}"):
            if bucket not in steps:
                raise _refuse(f"{where}: above {least}: {bucket} has no price below")
            steps[bucket].append((least, rate))
    for bucket, text in (("request", entry.per_request), ("web_search", entry.per_web_search)):
        if text is not None:
            steps[bucket] = [(0, _pico(text, 1, f"{where}: per_{bucket}"))]
    rates = {bucket: tuple(each) for bucket, each in steps.items()}
    for bucket, whole in missing_wholes(rates):
        raise _refuse(f"{where}: a price for {bucket} needs one for {whole}")
    return rates


def _token_rates(entry: _Rates, where: str) -> Iterator[tuple[str, int]]:
    for name in _Rates.__struct_fields__:
        text = getattr(entry, name)
        if text is not None:
            yield name.removesuffix("_per_million"), _pico(text, MILLION, f"{where}: {name}")


def _pico(text: str, per: int, where: str) -> int:
    """Dollars for so many units as pico-dollars for one."""
    if not _USD.fullmatch(text):
        raise _refuse(f'{where} must be US dollars, such as "3.00", and less than a million')
    rate = Decimal(text) * PICO_PER_USD / per
    if rate != int(rate):
        raise _refuse(f"{where} is finer than a pico-dollar for one unit")
    return int(rate)


def _moment(value: object, where: str) -> int | None:
    """A TOML date (midnight UTC) or time with its zone, also as text, in microseconds."""
    match value:
        case None:
            return None
        case datetime(tzinfo=None):
            raise _refuse(f"{where} lacks its zone; write 2026-01-31T12:00:00Z")
        case datetime():
            return parse_us(value.isoformat())
        case date():
            return parse_us(datetime.combine(value, time(), UTC).isoformat())
        case str():
            try:
                return parse_us(value)
            except InvalidInput as exc:
                raise _refuse(f"{where}: {exc.message}") from exc
        case _:
            raise _refuse(f"{where} must be a date or a time")


def _check_overlaps(overrides: tuple[PriceOverride, ...]) -> None:
    alike: dict[object, list[tuple[int, PriceSheet]]] = {}
    for number, entry in enumerate(overrides, 1):
        key = (entry.provider, entry.match, entry.sheet.tier)
        alike.setdefault(key, []).append((number, entry.sheet))
    for entries in alike.values():
        for (first, one), (second, other) in combinations(entries, 2):
            if _begin(one) < _end(other) and _begin(other) < _end(one):
                raise _refuse(f"prices {first} and {second} hold for the same calls")


def _begin(sheet: PriceSheet) -> int:
    return BEGINNING_US if sheet.from_us is None else sheet.from_us


def _end(sheet: PriceSheet) -> int:
    return END_US if sheet.until_us is None else sheet.until_us


def _digest(document: bytes) -> str:
    return sha256(document).hexdigest()[:VERSION_DIGITS]


def _refuse(reason: str) -> InvalidInput:
    return InvalidInput(f"prices: {reason}", code="invalid_prices")
