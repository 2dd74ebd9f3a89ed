"""Usage of a session over HTTP."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Raw, Struct

from hansard.core.money import format_usd
from hansard.core.usage import NewUsage, Pricing, SessionUsage
from hansard.server import bodies
from hansard.server.answers import Totals
from hansard.server.calls import Call, Reply, to_json

Number = Annotated[Raw, Meta(extra_json_schema={"type": "number"})]

_THOUSAND: Final = 1_000


class ModelTotals(Struct):
    """A session's totals on one model."""

    provider: str
    model: str
    usage: Totals


class ModelPricing(Struct):
    """What a thousand tokens of a model cost now, in dollars; no rate is said of no price."""

    input_per_1k: Number
    output_per_1k: Number
    cached_input_per_1k: Number
    per_request: Number


class UsageAnswer(Struct):
    """A session's totals, and the same by model.

    What follows ``models`` says the same again for clients that know it by these names;
    ``model`` is the one that was used most, and ``pricing`` what it costs now.
    """

    session_id: str
    turns: int
    usage: Totals
    models: list[ModelTotals]
    model: str | None
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    turn_count: int
    cost_usd: str
    pricing: ModelPricing | None

    @classmethod
    def of(cls, usage: SessionUsage, pricing: Pricing, at_us: int) -> UsageAnswer:
        """Write a session's usage."""
        totals = usage.totals
        most = max(usage.models, key=lambda part: part.totals.calls, default=None)
        return cls(
            session_id=usage.session_id,
            turns=usage.turns,
            usage=Totals.of(totals),
            models=[ModelTotals(m.provider, m.model, Totals.of(m.totals)) for m in usage.models],
            model=most.model if most else None,
            input_tokens=totals.input_tokens,
            output_tokens=totals.output_tokens,
            cached_tokens=totals.cached_tokens,
            turn_count=usage.turns,
            cost_usd=format_usd(totals.cost_nanousd),
            pricing=_rates(most.provider, most.model, pricing, at_us) if most else None,
        )


class UsageAdded(Struct):
    """A session's totals with the call in them; where there is none, what it added."""

    session_id: str
    usage: Totals


async def get_usage(call: Call[bodies.NoQuery, None]) -> Reply:
    """Return a session's totals, also by model."""
    record = call.record
    usage = await record.usage(call.session_id)
    return Reply(to_json(UsageAnswer.of(usage, await record.pricing(), record.clock())))


async def add_usage(call: Call[bodies.NoQuery, bodies.UsageEntryBody]) -> Reply:
    """Count one model call that belongs to no turn, or correct one, once per ``event_id``.

    The scope `budgets:write` opens corrections. Calls of a session that was deleted are
    corrected under the name that it has since, and calls of none under `~`.
    """
    body = call.body
    totals = await call.record.count_call(call.session_id, body.given(), corrects=body.corrects)
    return Reply(to_json(UsageAdded(call.session_id, Totals.of(totals))))


def _rates(provider: str, model: str, pricing: Pricing, at_us: int) -> ModelPricing | None:
    """What a thousand tokens cost by themselves; None if the model is unpriced."""

    def cost(sent: int = 0, cached: int = 0, made: int = 0) -> int | None:
        call = NewUsage(
            event_id="rate",
            provider=provider,
            model=model,
            input_tokens=sent,
            cached_tokens=cached,
            output_tokens=made,
        )
        price = pricing(call, at_us)
        return None if price is None else price[0]

    request, sent, made = cost(), cost(_THOUSAND), cost(made=_THOUSAND)
    cached = cost(_THOUSAND, _THOUSAND)
    if request is None or sent is None or cached is None or made is None:
        return None
    return ModelPricing(
        input_per_1k=_number(sent - request),
        output_per_1k=_number(made - request),
        cached_input_per_1k=_number(cached - request),
        per_request=_number(request),
    )


def _number(nanousd: int) -> Raw:
    """Write an amount as a JSON number, digit by digit."""
    return Raw(format_usd(nanousd).encode())
