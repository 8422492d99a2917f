"""What an expression may stand for, as far as reading a module can tell: IB's objects, the module's own classes and functions, or nothing known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

import libcst as cst

ThingKind = Literal["ib", "native", "wrapper", "ticker", "bars", "contract", "details"]


@dataclass(frozen=True, slots=True)
class Library:
    """A name inside one of IB's libraries: the package itself (path empty), a module, a class, or a function of `util`."""

    api: Literal["ib", "native"]
    path: str = ""

    def member(self, name: str) -> Library:
        """What `name` is inside this one. Only `util` matters as a module; every class is known by its own name."""
        return Library(self.api, f"util.{name}" if self.path == "util" else name)

    @property
    def is_module(self) -> bool:
        """A package or module rather than a class or function."""
        return not self.path or (self.path[0].islower() and "." not in self.path)


@dataclass(frozen=True, slots=True)
class Thing:
    """An object of IB's: a connection of ib_async (`ib`) or of ibapi (`native`, `wrapper`), or what its calls return."""

    kind: ThingKind


@dataclass(frozen=True, slots=True)
class Const:
    """A text, number or truth value, as text."""

    text: str


@dataclass(frozen=True, slots=True)
class Many:
    """A container or iterator of values of one kind."""

    item: Value


@dataclass(eq=False, slots=True)
class Function:
    """A function of the module: what its parameters were seen to hold, and what it returns."""

    node: cst.FunctionDef | cst.Lambda
    owner: UserClass | None = None
    params: dict[str, Value] = field(default_factory=dict)
    hints: dict[str, Value] = field(default_factory=dict)
    varied: set[str] = field(default_factory=set)
    returns: Value = None
    is_property: bool = False
    is_static: bool = False


@dataclass(eq=False, slots=True)
class UserClass:
    """A class of the module, with what its attributes were seen to hold."""

    name: str
    bases: list[Value] = field(default_factory=list)
    attributes: dict[str, Value] = field(default_factory=dict)
    methods: dict[str, Function] = field(default_factory=dict)

    def lineage(self) -> list[UserClass]:
        """The class and those of its bases that stand in the same program, nearest first."""
        found: list[UserClass] = []
        waiting = [self]
        while waiting:
            one = waiting.pop(0)
            if one not in found:
                found.append(one)
                waiting += [base for base in one.bases if isinstance(base, UserClass)]
        return found

    @property
    def family(self) -> Thing | None:
        """The object of IB's that an instance is, by inheritance."""
        kinds = {(base.api, base.path) for one in self.lineage() for base in one.bases if isinstance(base, Library)}
        if ("ib", "IB") in kinds:
            return Thing("ib")
        if ("native", "EClient") in kinds:
            return Thing("native")
        return Thing("wrapper") if ("native", "EWrapper") in kinds else None


@dataclass(frozen=True, slots=True)
class Instance:
    """An object of one of the program's own classes."""

    of: UserClass


@dataclass(frozen=True, slots=True)
class Method:
    """A method of IB's, not called yet. `owner` None: only its name says so."""

    api: Literal["ib", "native"] | None
    name: str
    token: cst.CSTNode


@dataclass(frozen=True, slots=True)
class Foreign:
    """Known to be nothing of IB's (`opaque`: of a type this module does not show, so that only an unmistakable name counts)."""

    opaque: bool = False


FOREIGN: Final = Foreign()
OPAQUE: Final = Foreign(opaque=True)

Value = Library | Thing | Const | Many | Function | UserClass | Instance | Method | Foreign | None

_RETURNS: Final[dict[str, Value]] = {
    "connect": Thing("ib"),
    "connectAsync": Thing("ib"),
    "reqMktData": Thing("ticker"),
    "reqTickByTickData": Thing("ticker"),
    "reqMktDepth": Thing("ticker"),
    "ticker": Thing("ticker"),
    "tickers": Many(Thing("ticker")),
    "reqTickers": Many(Thing("ticker")),
    "reqTickersAsync": Many(Thing("ticker")),
    "reqHistoricalData": Thing("bars"),
    "reqHistoricalDataAsync": Thing("bars"),
    "reqRealTimeBars": Thing("bars"),
    "reqContractDetails": Many(Thing("details")),
    "reqContractDetailsAsync": Many(Thing("details")),
    "qualifyContracts": Many(Thing("contract")),
    "qualifyContractsAsync": Many(Thing("contract")),
}
_OBJECTS: Final[dict[str, ThingKind]] = {"IB": "ib", "Ticker": "ticker", "BarDataList": "bars", "RealTimeBarList": "bars", "ContractDetails": "details"}


def returned(method: Method) -> Value:
    """What a call of IB's method gives, where that matters here."""
    return _RETURNS.get(method.name) if method.api == "ib" else None


def made(of: Library) -> Value:
    """An object of a class of IB's libraries."""
    if of.api == "native":
        return {"EClient": Thing("native"), "EWrapper": Thing("wrapper"), "ContractDetails": Thing("details")}.get(of.path, FOREIGN)
    if of.path in _OBJECTS:
        return Thing(_OBJECTS[of.path])
    return FOREIGN


def matters(value: Value) -> bool:
    """It is, holds or leads to something of IB's, or to a class of the program."""
    if isinstance(value, Many):
        return matters(value.item)
    return isinstance(value, Library | Thing | Instance | UserClass | Function | Method)


def either(one: Value, other: Value) -> Value:
    """What a name may hold where two ways meet: what matters wins, two different constants are no constant."""
    if one == other or other is None:
        return one
    if matters(one):
        return other if not is_ib(one) and is_ib(other) else one
    if isinstance(one, Const) and isinstance(other, Const):
        return FOREIGN
    return other if matters(other) or one is None else one


def is_ib(value: Value) -> bool:
    """A thing of IB's rather than one of the program's own."""
    return isinstance(value, Thing | Library | Method) or (isinstance(value, Many) and is_ib(value.item))
