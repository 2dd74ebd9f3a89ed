"""Reports that would have more lines than anybody reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest

from hansard.core.errors import LimitReached
from hansard.core.reports import BUCKETS_MAX, HOUR_US, UsageReport, check_report, make_report
from hansard.core.usage import NO_USAGE, UsageTotals, add_totals

OWNERS = [f"made-up-{number}" for number in range(BUCKETS_MAX)]


def cost(nanousd: int, tokens: int = 0) -> UsageTotals:
    return NO_USAGE._replace(calls=1, output_tokens=tokens, cost_nanousd=nanousd)


def report(groups: Iterable[str], *rows: tuple[tuple[str, ...], UsageTotals]) -> UsageReport:
    """A report whose buckets sum to its totals."""
    made = make_report(check_report(group_by=[*groups]), "t", rows)
    summed: dict[str, UsageTotals] = {}
    for bucket in made.buckets:
        add_totals(summed, "", bucket.totals)
    assert summed[""] == made.totals
    assert len(made.buckets) <= BUCKETS_MAX
    return made


def test_names_that_are_too_many_are_summed_up_but_for_the_dearest() -> None:
    made_up = [((name,), cost(0)) for name in OWNERS]
    told = report(["model"], *made_up, (("dear",), cost(9)), (("free",), cost(0, tokens=9)))
    buckets = {bucket.key: bucket.totals for bucket in told.buckets}
    assert len(buckets) == BUCKETS_MAX
    assert (buckets["dear",], buckets["free",]) == (cost(9), cost(0, tokens=9))
    assert buckets["other",].calls == 3


def test_name_is_told_at_all_times_or_at_none() -> None:
    """A bucket is never a part of what it is said to be."""
    days = [str(day * 24 * HOUR_US) for day in range(2)]
    made_up = [((day, name), cost(1)) for day in days for name in OWNERS]
    dear = [((days[0], "dear"), cost(9)), ((days[1], "dear"), cost(0))]
    told = report(["month", "model"], *made_up, *dear)
    assert told.buckets[0].key == ("1970-01", "dear")
    assert told.buckets[0].totals == cost(9)._replace(calls=2)
    told = report(["day", "model"], *made_up, *dear)
    names = Counter(bucket.key[1] for bucket in told.buckets)
    assert set(names.values()) == {2}
    assert {"dear", "other"} < names.keys()


def test_what_is_no_name_is_never_summed_up() -> None:
    names = [(("", name), cost(1)) for name in [*OWNERS, "one more"]]
    assert {bucket.key[0] for bucket in report(["tenant", "owner"], *names).buckets} == {"t"}


@pytest.mark.parametrize("groups", [["hour"], ["hour", "model"], ["hour", "sku"]])
def test_times_that_are_too_many_are_refused(groups: list[str]) -> None:
    rows = [((str(number), "m"), cost(1)) for number in range(BUCKETS_MAX + 1)]
    with pytest.raises(LimitReached) as caught:
        make_report(check_report(group_by=groups), "t", rows)
    assert caught.value.code == "too_many_buckets"
