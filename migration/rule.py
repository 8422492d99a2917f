"""What a rule is: names to look for, how much work they are, and what becomes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, cast

Effort = Literal["Auto", "Assist", "Manual"]
"""Auto: the codemod may rewrite it. Assist: it leaves a TODO. Manual: it is only reported."""

Api = Literal["ib", "native", "pandas"]
"""`ib`: ib_async and ib_insync, which agree in every name used here. `native`: IB's own ibapi. `pandas`: traps of pandas 3, on request."""

Kind = Literal["class", "subclass", "method", "event", "attribute", "function", "override", "dynamic", "trap"]
"""How a name is met: called to make an object, extended, called on an object, used as an event, read, called, defined in a subclass of EWrapper,
reached by a computed name, or (pandas) a form of code."""

GUIDE: Final = "tastytrade-provider migrate guide"
"""What prints a section of the guide, wherever the package is installed."""
COMPUTED: Final = "(computed)"
"""In `When.values`: the argument is neither written out at the call nor a constant or a default of the same module."""


@dataclass(frozen=True, slots=True)
class When:
    """A condition on one argument of the call: its value is one of `values`. An absent argument has the value `default`."""

    argument: str
    position: int
    values: tuple[str, ...]
    default: str = COMPUTED

    def __str__(self) -> str:
        return f"with {self.argument} {' or '.join(self.values)}"


@dataclass(frozen=True, slots=True)
class Only:
    """A condition on what the call names: `argument`, by keyword, and none of `without`, by keyword or by position."""

    argument: str
    without: tuple[str, ...]

    def __str__(self) -> str:
        return f"with {self.argument} and no {' or '.join(self.without)}"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: which names it catches, how much work they are, and what they become on `compat.IB` and on `DataProvider`."""

    id: str
    effort: Effort
    api: Api
    kind: Kind
    names: tuple[str, ...]
    compat: str
    provider: str
    anchor: str
    advice: str
    when: When | Only | None = None

    @property
    def guide(self) -> str:
        """The command that prints what the guide says of it."""
        return f"{GUIDE} {self.anchor}"


def row(id: str, effort: Effort, what: str, names: str, compat: str, provider: str, anchor: str, advice: str, when: When | Only | None = None) -> Rule:
    """A rule as it is written in the table: `what` is library and kind; a name with a star stands for itself and its `Async` twin.

    >>> row("snapshot", "Auto", "ib method", "reqTickers* ticker", "", "", "", "").names
    ('reqTickers', 'reqTickersAsync', 'ticker')
    """
    api, kind = what.split()
    spelled = tuple(one for name in names.split() for one in ([name[:-1], f"{name[:-1]}Async"] if name.endswith("*") else [name]))
    return Rule(id, effort, cast(Api, api), cast(Kind, kind), spelled, compat, provider, anchor, advice, when)
