"""Which month of a product is the front, and when that changes: by TastyTrade's flag, by date, or by volume.

active  the month TastyTrade's listing flags `active-month`. It speaks of the present only.
date    a rule on the calendar, `RULES`. It speaks of any day whose months are listed.
volume  the next liquid month traded more than the front in a whole session, and again in the session after.

A month becomes the front at a session open, never inside a session, and never gives way to an earlier month.
The three need not agree: TastyTrade's own figure for equity indices is 4 business days before the last trade, the Monday of the expiry week
(`roll.business-days-offset` in the examples of developer.tastytrade.com, API guides, instruments), two sessions after the usual Thursday.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..errors import UnknownContract, UsageError
from ..model import Contract, Roll
from ..sessions import session_at, sessions_between
from .symbols import FutureSymbol, listed_future

if TYPE_CHECKING:
    import pandas as pd
    from tastytrade.instruments import Future

Method = Literal["active", "date", "volume"]
Volumes = Mapping[dt.date, Mapping[str, float]]
"""Session label -> contract symbol -> contracts traded in that whole session."""

_EQUITY = ("ES", "MES", "NQ", "MNQ", "YM", "MYM", "RTY", "M2K", "EMD")


@dataclass(frozen=True, slots=True)
class RollRule:
    """When a month stops being the front, by the calendar: `business_days` before its last trade, or before its first notice if that is earlier.

    thursday  True: on the Thursday eight days before the third Friday of the month it expires in, whatever its last trade is
    months    codes of the months that are ever the front; "" is all
    """

    reason: str
    business_days: int = 5
    first_notice: bool = True
    thursday: bool = False
    months: str = ""


DEFAULT_RULE = RollRule(
    "Five business days before the first notice, else before the last trade: what TastyTrade's listing says of energies (no notice) and "
    "agricultures (notice). The product's own figures go before it where the listing was asked: `rule_of`."
)
RULES: Mapping[str, RollRule] = {
    **dict.fromkeys(
        _EQUITY, RollRule("The trade's usual day: volume moves on the Thursday of the week before expiry. Quarterly months only.", thursday=True, months="HMUZ")
    ),
    **dict.fromkeys(("GC", "MGC"), RollRule(f"{DEFAULT_RULE.reason} V trades thinly and is passed over, as are the serial months.", months="GJMQZ")),
}  # fmt: skip
"""Products whose rule is not the default, by root."""


@dataclass(frozen=True, slots=True)
class Month:
    """One listed month of a product and the dates a roll goes by. `is_active`: TastyTrade flags it as the active month."""

    contract: Contract
    last_trade: dt.date
    first_notice: dt.date | None = None
    is_active: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """[start_ns, end_ns) in which a contract was the front. `is_certain` False: no earlier month is listed, so an expired one may have been."""

    contract: Contract
    start_ns: int
    end_ns: int
    is_certain: bool


def month_of(future: Future) -> Month:
    """A month from TastyTrade's answer. Its streamer symbol may be empty: a month that cannot be streamed is the front all the same."""
    return Month(listed_future(future), future.last_trade_date, future.first_notice_date, future.active_month)


def rule_of(future: Future) -> RollRule:
    """The rule of a product: `RULES`, else the figures and active months the listing gives with the future, else `DEFAULT_RULE`."""
    product = future.future_product
    if future.product_code in RULES or product is None:
        return RULES.get(future.product_code, DEFAULT_RULE)
    months = "".join(code.value for code in product.active_months)
    return RollRule(f"TastyTrade's listing, rule '{product.roll.name}'", product.roll.business_days_offset, product.roll.first_notice, months=months)


def volumes_of(bars: Mapping[str, pd.DataFrame | None], until: dt.date) -> dict[dt.date, dict[str, float]]:
    """`Volumes` from the bars frame of each month by contract symbol, for the sessions before the one labelled `until`, which is not over.
    None instead of a frame: the month did not trade in all of them.

    Bars of any timeframe up to a day. A session with an incomplete bar, or one without a volume, is left out: it would look like one of little trade.
    """
    volumes: dict[dt.date, dict[str, float]] = {}
    for symbol, frame in bars.items():
        if frame is None:
            continue
        labels, traded, whole = frame["session"].to_numpy().astype("M8[D]"), frame["volume"].to_numpy(np.float64), frame["complete"].to_numpy(np.bool_)
        for label in np.unique(labels):
            day, held = dt.date.fromisoformat(str(label)), labels == label
            if day < until and whole[held].all() and np.isfinite(traded[held]).all():
                volumes.setdefault(day, {})[symbol] = float(traded[held].sum())
    idle = dict.fromkeys((symbol for symbol, frame in bars.items() if frame is None), 0.0)
    return {day: traded | idle for day, traded in volumes.items()}


def roll_day(month: Month, rule: RollRule, holidays: Collection[dt.date] = ()) -> dt.date:
    """Label date of the first session in which `month` is no longer the front by the date rule. Weekdays that are no `holidays` are business days.

    >>> es = Contract("ES", "/ESU4", "/ESU24:XCME", tick_size=0.25)
    >>> str(roll_day(Month(es, dt.date(2024, 9, 20)), RULES["ES"]))
    '2024-09-12'
    """
    if rule.thursday:
        first = month.last_trade.replace(day=1)
        return first + dt.timedelta(days=(4 - first.weekday()) % 7 + 14 - 8)
    end = min(month.last_trade, month.first_notice) if rule.first_notice and month.first_notice else month.last_trade
    closed = np.array(sorted(holidays), "M8[D]")
    day = np.busday_offset(np.datetime64(end, "D"), -rule.business_days, roll="backward", holidays=closed)
    return dt.date.fromisoformat(str(day))


def front(
    months: Sequence[Month], day: dt.date, method: Method = "active", *, rule: RollRule | None = None, volumes: Volumes | None = None,
    holidays: Collection[dt.date] = (),
) -> Contract:  # fmt: skip
    """The front month of a product in the session labelled `day`. `months` in any order, of one product; `rule` None is that of the product.

    For "volume" only sessions before `day` count; two of them are enough where the nearest of `months` or the next is the front.
    UnknownContract where no month is left on that day, or none is flagged; UsageError where volumes are missing or the method is none of the three.
    """
    root = _root(months)
    rule = rule or RULES.get(root, DEFAULT_RULE)
    if method == "date":
        line = _in_order(months, rule)
        found = [month for month in line if day < roll_day(month, rule, holidays)] or line[-1:]
    elif method == "active":
        found = [month for month in months if month.is_active]
    elif method == "volume":
        if volumes is None:
            raise UsageError("front by volume needs volumes: session label -> contract symbol -> contracts")
        line = _in_order(months, rule)
        found = line[_crossed(line, day, volumes) :]
    else:
        raise UsageError(f"method {method!r} is none of active, date, volume")
    left = [month for month in found if day <= month.last_trade]
    if not left:
        what = "is flagged as active month" if method == "active" else "is listed"
        listed = ", ".join(f"{month.contract.symbol} (last trade {month.last_trade})" for month in months)
        raise UnknownContract(f"no month of {root} that still trades on {day} {what}; there are {listed}")
    return min(left, key=lambda month: month.last_trade).contract


def segments(
    months: Sequence[Month], start_ns: int, end_ns: int, method: Method = "date", *, rule: RollRule | None = None, volumes: Volumes | None = None,
    holidays: Collection[dt.date] = (),
) -> list[Segment]:  # fmt: skip
    """The front months of [start_ns, end_ns), ascending and without holes, changing at session opens: the marks for a continuous history.

    UsageError for "active", which says nothing of the past; else as `front` and `sessions_between`.
    """
    if method == "active":
        raise UsageError("TastyTrade's active flag speaks of today only; mark history by 'date' or 'volume'")
    nearest = _in_order(months, rule or RULES.get(_root(months), DEFAULT_RULE))[0].contract
    table = sessions_between(nearest.calendar, start_ns, end_ns)
    first = table.index_at(start_ns)
    marks: list[tuple[int, Contract]] = []
    for i in range(first, len(table)):
        opened = max(int(table.open_ns[i]), start_ns)
        if opened >= end_ns:
            break
        contract = front(months, table.label_date(i), method, rule=rule, volumes=volumes, holidays=holidays)
        if not marks or marks[-1][1] != contract:
            marks.append((opened, contract))
    ends = [opened for opened, _ in marks[1:]] + [end_ns]
    return [Segment(contract, opened, end, contract != nearest) for (opened, contract), end in zip(marks, ends, strict=True)]


class RollWatch:
    """Tells when the front month changes: `advance` with the time, now and then; `update` with a new listing; `add_volumes` after each session.

    What is learnt inside a session takes effect at the next open, which is the Roll's time even where `advance` comes later.

    current      the front month, None before the first `advance`
    went_back    how often a method named an earlier month than the current one, which is not followed
    """

    def __init__(self, months: Sequence[Month], method: Method = "active", *, rule: RollRule | None = None, holidays: Collection[dt.date] = ()) -> None:
        self.current: Contract | None = None
        self.went_back = 0
        self._months = {month.contract.symbol: month for month in months}
        self._method, self._rule, self._holidays = method, rule, holidays
        self._volumes: dict[dt.date, dict[str, float]] = {}
        self._seen_ns = 0  # open of the last session that was judged

    def update(self, months: Sequence[Month], now_ns: int) -> list[Roll]:
        """A new listing, in effect from the next open: the sessions up to now are judged by the one before, whose rolls are returned.

        Months that are no longer listed are remembered without their flag. Raises as `front`, of the listing before: the new one is taken all the same.
        """
        try:
            return self.advance(now_ns)
        finally:
            unflagged = {symbol: replace(month, is_active=False) for symbol, month in self._months.items()}
            self._months = unflagged | {month.contract.symbol: month for month in months}

    def add_volumes(self, label: dt.date, volumes: Mapping[str, float]) -> None:
        """Contracts traded by symbol in the session of that label, once it is over. Said again, it replaces."""
        self._volumes.setdefault(label, {}).update(volumes)

    def advance(self, now_ns: int) -> list[Roll]:
        """The rolls at the session opens since the last call, oldest first. The first call finds the front month and is no roll. Raises as `front`."""
        months = list(self._months.values())
        calendar = months[0].contract.calendar
        latest_ns = session_at(calendar, now_ns).open_ns
        if latest_ns <= self._seen_ns:
            return []
        since_ns = self._seen_ns or latest_ns - 1
        table = sessions_between(calendar, since_ns, latest_ns)
        current, went_back, rolls = self.current, 0, list[Roll]()
        for i, opened in enumerate(table.open_ns.tolist()):
            if not since_ns < opened <= latest_ns:
                continue
            new = front(months, table.label_date(i), self._method, rule=self._rule, volumes=self._volumes, holidays=self._holidays)
            if current is None:
                current = new
            elif self._months[new.symbol].last_trade > self._months[current.symbol].last_trade:
                rolls.append(Roll(current, new, opened))
                current = new
            else:
                went_back += new.symbol != current.symbol
        self.current, self.went_back, self._seen_ns = current, self.went_back + went_back, latest_ns
        return rolls


def _root(months: Sequence[Month]) -> str:
    roots = {month.contract.root for month in months}
    if len(roots) != 1:
        raise UsageError(f"a roll is between months of one product; given are {', '.join(sorted(roots)) or 'none'}")
    return roots.pop()


def _in_order(months: Sequence[Month], rule: RollRule) -> list[Month]:
    """The months that may be the front, nearest first."""
    line = [month for month in months if not rule.months or _code(month) in rule.months]
    if not line:
        listed = ", ".join(month.contract.symbol for month in months)
        raise UnknownContract(f"no month that is ever the front ({', '.join(rule.months)}) is listed; there are {listed}")
    return sorted(line, key=lambda month: month.last_trade)


def _code(month: Month) -> str:
    symbol = FutureSymbol.parse(month.contract.symbol)
    return symbol.month or "" if symbol else ""


def _crossed(line: Sequence[Month], day: dt.date, volumes: Volumes) -> int:
    """Which of `line` is the front in the session labelled `day`, by the volumes of the sessions before it.

    A session without a volume of both months says nothing: it neither confirms a crossing nor undoes one.
    """
    at = crossings = 0
    for label in sorted(label for label in volumes if label < day):
        while at + 1 < len(line) and line[at].last_trade < label:
            at, crossings = at + 1, 0
        if at + 1 == len(line):
            break
        near, far = (volumes[label].get(month.contract.symbol) for month in line[at : at + 2])
        if near is None or far is None:
            continue
        crossings = crossings + 1 if far > near else 0
        if crossings == 2:  # crossed, and confirmed by one session more
            at, crossings = at + 1, 0
    return at
