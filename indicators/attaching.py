"""Our indicators inside another program's indicator manager, entered the way that manager's own signature asks for."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import pandas as pd

from tastytrade_provider.errors import MarketDataError, UsageError
from tastytrade_provider.model import Bar, TradeBatch

from .base import Indicator
from .manager import IndicatorManager

Returns = Literal["frame", "dict", "series"]
Enter = Callable[[str, Any], Any]

VERBS = ("register_indicator_class", "register", "register_indicator", "add_indicator", "add")
"""Methods that are tried, in this order."""

_SHELVES = ("indicators", "_indicators", "registry", "_registry")
_MEANT = {
    **dict.fromkeys(("name", "indicator_name", "key", "label", "id", "identifier", "indicator_id"), "name"),
    **dict.fromkeys(("indicator", "ind", "instance", "obj", "study", "indicator_instance", "indicator_obj"), "indicator"),
    **dict.fromkeys(("cls", "klass", "class_", "indicator_class", "indicator_cls", "indicator_type"), "class"),
    **dict.fromkeys(("func", "fn", "function", "callback", "calculator", "calc", "compute", "indicator_func"), "function"),
}
_RETURNS: Mapping[str, Callable[[pd.DataFrame], Any]] = {
    "frame": lambda found: found,
    "dict": lambda found: {str(name): column for name, column in found.items()},
    "series": lambda found: found.iloc[:, 0],
}

log = logging.getLogger(__name__)


class Attached:
    """One of our indicators in the shape that home-grown managers call.

    name, params, enabled   as they have them; `enabled` is only kept for the manager to read
    calculate(frame)        the outputs on the frame's index, as a frame, a dict of columns, or the main column; also `compute`, or the object called
    update(bar)             values of one closed bar, state carried on                           reset()   forget all bars
    faults                  how often a calculation failed: it then returns NaN, because a fault must not reach a strategy, and is logged
    """

    def __init__(self, name: str, make: Callable[..., Indicator], returns: Returns = "frame", **params: Any) -> None:
        self.name, self.enabled, self.faults = name, True, 0
        self.indicator = make(**params)
        self.params = dict(self.indicator.params)
        self._returns = _RETURNS[returns]

    def calculate(self, data: pd.DataFrame | TradeBatch) -> Any:
        """The outputs over closed bars, oldest first; `data` is left as it is."""
        try:
            found = self.indicator.run(data)  # type: ignore[arg-type]  # only a trades indicator takes a batch, and says so
        except Exception as error:
            self._failed(error)
            index = data.index if isinstance(data, pd.DataFrame) else pd.RangeIndex(0)
            found = pd.DataFrame(float("nan"), index=index, columns=list(self.indicator.outputs))
        return self._returns(found)

    compute = __call__ = calculate

    def update(self, bar: Bar | Mapping[str, Any]) -> dict[str, float]:
        """Commit one closed bar and return its values."""
        try:
            return self.indicator.update(bar)
        except Exception as error:
            self._failed(error)
            return dict.fromkeys(self.indicator.outputs, float("nan"))

    def reset(self) -> None:
        """Forget all bars."""
        self.indicator.reset()

    def _failed(self, error: Exception) -> None:
        self.faults += 1
        known = isinstance(error, MarketDataError)  # a mistake explains itself; anything else needs its traceback
        log.log(logging.WARNING if self.faults == 1 else logging.DEBUG, "indicator %s failed: %s", self.name, error, exc_info=None if known else error)


def attach(
    manager: Any,
    only: Iterable[str] | None = None,
    *,
    method: str | Enter | None = None,
    wrap: Callable[[Attached], Any] | None = None,
    returns: Returns = "frame",
) -> list[str]:
    """Enter our indicators in a manager that is not ours, and return their names.

    only     names to enter; None: volume_delta, cvd and delta_divergence. Any that IndicatorManager knows will do, TA-Lib's included
    method   the manager's method to use, or a function `(name, indicator)` that enters one itself, for managers that want to know more:
             `attach(theirs, method=lambda name, indicator: theirs.add_indicator("1m", indicator))`
    wrap     what makes the manager's own kind of indicator of ours; without it the manager gets an `Attached` (or its class)
    returns  what `calculate` gives back: a "frame" of all outputs, a "dict" of them, or the main one as "series"

    Raises UsageError, with nothing entered, where the manager has a name already or cannot be entered: the message says what it asks for.

    >>> class Theirs:
    ...     def __init__(self): self.known = {}
    ...     def register(self, name, indicator): self.known[name] = indicator
    >>> theirs = Theirs()
    >>> attach(theirs, only=["cvd"])
    ['cvd']
    >>> theirs.known["cvd"].calculate(pd.DataFrame({"buy_volume": [5], "sell_volume": [2], "session": [pd.Timestamp("2026-11-23")]}))["cvd"].tolist()
    [3.0]
    """
    if returns not in _RETURNS:
        raise UsageError(f"returns={returns!r} is not accepted; {', '.join(_RETURNS)} are")
    if isinstance(manager, IndicatorManager):
        raise UsageError("an IndicatorManager has our indicators already")
    ours = IndicatorManager()
    names = ["volume_delta", "cvd", "delta_divergence"] if only is None else list(only)
    made = {name: _made(ours, name, returns) for name in names}
    taken = _names_in(manager)
    clash = [name for name in names if name in taken]
    if clash:
        raise UsageError(f"{_called(manager)} has an indicator {clash[0]!r} already; only=[...] enters the others")
    enter = method if callable(method) else _way_in(manager, method)
    for name, kind in made.items():
        one = kind()
        try:
            enter(name, wrap(one) if wrap else one)
        except Exception as error:
            raise UsageError(
                f"{_called(manager)} refused {name}: {type(error).__name__}: {error}; wrap=... can make its own kind of indicator of ours"
            ) from error
    lost = [name for name in names if hasattr(manager, "list_indicators") and name not in _names_in(manager)]
    if lost:
        raise UsageError(f"{_called(manager)} took {lost[0]!r} but does not list it; say with method=... how to enter it")
    return names


def _made(ours: IndicatorManager, name: str, returns: Returns) -> Callable[..., Attached]:
    """The class of one of ours, for managers that make the instances themselves."""
    make = ours.get_indicator(name)

    class One(Attached):
        __doc__ = make.__doc__

        def __init__(self, **params: Any) -> None:
            super().__init__(name, make, returns, **params)

    One.__name__ = One.__qualname__ = "".join(part.capitalize() for part in name.split("_"))
    One.name = name  # managers of classes read it there
    return One


def _way_in(manager: Any, method: str | None) -> Enter:
    """A method whose parameters can be filled, or a dict or list of indicators. UsageError saying what was found instead."""
    found = []
    for verb in VERBS if method is None else (method,):
        call = getattr(manager, verb, None)
        if callable(call):
            enter, why = _fitted(verb, call)
            if enter is not None:
                return enter
            found.append(why)
    shelf = _shelf(manager) if method is None else None
    if shelf is not None:
        return shelf
    tried = "; ".join(found) or f"it has none of {', '.join(VERBS) if method is None else method}, and no dict or list of indicators"
    raise UsageError(
        f"cannot attach to {_called(manager)}: {tried}. Say how with method=lambda name, indicator: ...; "
        "where indicators are fixed in the code, delta_columns: true in config.yaml puts the columns into the bars it reads"
    )


def _fitted(verb: str, call: Callable[..., Any]) -> tuple[Enter | None, str]:
    """How to call a method with a name and an indicator; or why not."""
    try:
        signature = inspect.signature(call)
    except (ValueError, TypeError):
        return None, f"{verb} does not tell its parameters"
    if inspect.iscoroutinefunction(call):
        return None, f"{verb}{signature} must be awaited"
    roles: dict[str, str] = {}
    for parameter in signature.parameters.values():
        role = _MEANT.get(parameter.name)
        if role == "indicator" and str(parameter.annotation).lower().startswith(("type[", "typing.type[", "<class 'type")):
            role = "class"
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if role is None and parameter.default is parameter.empty:
            return None, f"{verb}{signature} asks for {parameter.name!r}"
        if role is not None:
            roles[parameter.name] = role
    if not {"indicator", "class", "function"} & set(roles.values()):
        return None, f"{verb}{signature} takes no indicator"

    def enter(name: str, one: Any) -> None:
        what = {"name": name, "indicator": one, "class": type(one), "function": one.calculate if isinstance(one, Attached) else one}
        positional = [what[roles[p.name]] for p in signature.parameters.values() if p.name in roles and p.kind is p.POSITIONAL_ONLY]
        call(*positional, **{p.name: what[roles[p.name]] for p in signature.parameters.values() if p.name in roles and p.kind is not p.POSITIONAL_ONLY})

    return enter, ""


def _shelf(manager: Any) -> Enter | None:
    """A dict or list that evidently holds the manager's indicators: an empty one may as well be for results."""
    for attribute in _SHELVES:
        held = getattr(manager, attribute, None)
        values = list(held.values()) if isinstance(held, dict) else held if isinstance(held, list) else []
        if not values or not all(hasattr(one, "calculate") or callable(one) for one in values):
            continue
        wants_class = all(isinstance(one, type) for one in values)
        if isinstance(held, dict):
            shelf = held
            return lambda name, one: shelf.__setitem__(name, type(one) if wants_class else one)
        return lambda name, one: values.append(type(one) if wants_class else one)
    return None


def _names_in(manager: Any) -> set[str]:
    """Names the manager has, as far as it tells."""
    told = getattr(manager, "list_indicators", None)
    try:
        listed = told() if callable(told) else ()
    except TypeError:  # it asks for a symbol or a timeframe first
        listed = ()
    names = {str(getattr(one, "name", one)) for one in listed or ()}
    for attribute in _SHELVES:
        held = getattr(manager, attribute, None)
        if isinstance(held, dict):
            names |= {str(key) for key in held}
        elif isinstance(held, list):
            names |= {str(getattr(one, "name", "")) for one in held}
    return names


def _called(manager: Any) -> str:
    kind = type(manager)
    return f"{kind.__module__}.{kind.__qualname__}"
