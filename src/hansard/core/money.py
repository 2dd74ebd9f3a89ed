"""Money: ``int`` nano-dollars (1e-9 USD) inside, a decimal string outside; never a float."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal

from hansard.core.errors import InvalidInput

NANO = 1_000_000_000
PICO = 1_000_000_000_000
FREE = "0"
COST_MAX_NANOUSD = 10**15  # of one call: a million dollars, of which 64 bits hold thousands
SUM_MAX_NANOUSD = 2**127  # of a report's: more than a column of a database holds
_DECIMAL = re.compile(r"-?\d{1,40}(\.\d{1,40})?([eE][-+]?\d{1,6})?", re.ASCII)


def format_usd(cost_nanousd: int) -> str:
    """Write nano-dollars as a decimal string of dollars, without trailing zeros.

    >>> format_usd(9_420_000), format_usd(-1_500_000_000), format_usd(0)
    ('0.00942', '-1.5', '0')
    """
    if not cost_nanousd:
        return FREE
    whole, nanos = divmod(abs(cost_nanousd), NANO)
    text = f"{whole}.{nanos:09d}".rstrip("0").rstrip(".")
    return f"-{text}" if cost_nanousd < 0 else text


def format_pico(pico_usd: int) -> str:
    """Write pico-dollars, in which rates are counted, as a decimal string of dollars.

    >>> format_pico(83_333_000_000), format_pico(3 * 10**12)
    ('0.083333', '3')
    """
    whole, picos = divmod(pico_usd, PICO)
    return f"{whole}.{picos:012d}".rstrip("0").rstrip(".")


def parse_usd(text: object, *, most_nanousd: int = COST_MAX_NANOUSD) -> int:
    """Read dollars as nano-dollars, rounding half up past the ninth decimal.

    Raises:
        InvalidInput: If it is not a decimal number, or more than ``most_nanousd``.

    >>> parse_usd("0.00942"), parse_usd("1e-9")
    (9420000, 1)
    """
    if text == FREE:
        return 0
    if not isinstance(text, str) or not _DECIMAL.fullmatch(text):
        raise InvalidInput("cost must be a decimal string", code="invalid_cost")
    amount = Decimal(text)
    if abs(amount) > Decimal(most_nanousd) / NANO:
        raise InvalidInput("cost is out of range", code="invalid_cost")
    return int((amount * NANO).to_integral_value(rounding=ROUND_HALF_UP))
