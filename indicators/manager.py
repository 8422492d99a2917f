"""Indicators by name: register, look up, calculate, apply to bars, keep live."""

from __future__ import annotations

import difflib
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import pandas as pd

from tastytrade_provider.errors import MarketDataError, MissingColumns, UsageError
from tastytrade_provider.model import Contract, Timeframe, TradeBatch

from .base import Indicator, column_names
from .classic import NAMES as TA_LIB
from .classic import classic
from .cvd import CVD
from .delta_detail import CVDBySize, DeltaDetail
from .delta_divergence import DeltaDivergence
from .delta_quality import DeltaQuality
from .delta_signals import DeltaSignals
from .footprint import FootprintIndicator
from .footprint_bars import FootprintBars, FootprintLevels
from .live import LiveSet
from .stream import LiveStream, SharedSet, TradeSource
from .tape_speed import TapeSpeed
from .volume_delta import VolumeDelta

ENTRY_POINTS = "tastytrade_provider.indicators"
BUILT_IN: tuple[type[Indicator], ...] = (
    VolumeDelta, CVD, DeltaDivergence, DeltaSignals, DeltaQuality,
    FootprintIndicator, FootprintBars, FootprintLevels, DeltaDetail, CVDBySize, TapeSpeed,
)  # fmt: skip

_PARTS = ("name", "input", "outputs", "params", "warmup", "describe", "run", "update", "preview", "reset")

Factory = Callable[..., Indicator]
Names = Iterable[str] | Mapping[str, Mapping[str, Any]]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Fault:
    """How often an indicator or plugin failed where its fault was kept from the caller, and how the last time."""

    count: int
    last: str


class IndicatorManager:
    """The indicators a program may ask for by name.

    names    what `apply` and `stream` use where none are given: names, or labels with parameters: {"rth": {"name": "cvd", "reset": "rth_open"}}
    faults   label -> Fault: what went wrong inside `apply`, a live set or a plugin, each time also logged
    plugins  entry points `tastytrade_provider.indicators`, loaded when first asked for by name

    >>> bars = pd.DataFrame({"buy_volume": [5, 1], "sell_volume": [2, 4]})
    >>> manager = IndicatorManager()
    >>> manager.calculate(bars, "cvd", reset="never")["cvd"].tolist()
    [3.0, 0.0]
    >>> manager.apply(bars, ["volume_delta"]).columns.tolist()
    ['buy_volume', 'sell_volume', 'delta', 'delta_pct', 'min_delta', 'max_delta']
    """

    def __init__(self, names: Names = ("volume_delta", "cvd", "delta_divergence")) -> None:
        self.faults: dict[str, Fault] = {}
        self._names = names
        self._known: dict[str, Factory] = {indicator.name: indicator for indicator in BUILT_IN}
        self._plugins: dict[str, metadata.EntryPoint] | None = None
        self._shared: list[SharedSet] = []

    # -- by name

    def register(self, name: Any, indicator: Any = None, *, replace: bool = False) -> Any:
        """Make an indicator known: a class, a factory taking parameters, or an instance, whose parameters become the defaults.

        `register("name", MyIndicator)`, `register(MyIndicator)` under its own name, or as a decorator: `@register("name")`, `@register`.
        A name that is taken raises UsageError unless `replace=True`; a plugin of that name gives way. Returns what was registered.
        """
        if not isinstance(name, str):
            name, indicator = getattr(name, "name", None), name
            if not isinstance(name, str):
                raise UsageError(f"{indicator!r} has no name of its own; give one: register(name, indicator)")
        if indicator is None:
            return lambda found: self.register(name, found, replace=replace)
        if not replace and (name in self._known or name in TA_LIB):
            whose = "" if name in self._known else ": it is TA-Lib's"
            raise UsageError(f"an indicator {name!r} is registered already{whose}; replace=True puts another in its place")
        self._known[name] = _factory(name, indicator)
        return indicator

    add = add_indicator = register

    def list_indicators(self) -> list[str]:
        """All names in order, those of plugins and of TA-Lib's functions included."""
        return sorted({*self._known, *self._found_plugins(), *TA_LIB})

    def __contains__(self, name: object) -> bool:
        return name in self._known or name in TA_LIB or name in self._found_plugins()

    def get_indicator(self, name: str) -> Factory:
        """What makes the indicator: call it with parameters. UsageError with the nearest guess where there is none of that name.

        One of TA-Lib's functions raises MissingExtra where TA-Lib is not installed.
        """
        if name not in self._known:
            if name in TA_LIB:
                self._known[name] = classic(name)
            elif name in self._found_plugins():
                self._known[name] = _factory(name, self._load(self._found_plugins()[name]))
            else:
                own = sorted({*self._known, *self._found_plugins()} - {*TA_LIB})
                near = difflib.get_close_matches(str(name), own, n=1) or difflib.get_close_matches(str(name), TA_LIB, n=1)
                guess = f"; did you mean {near[0]!r}?" if near else ";"
                raise UsageError(f"no indicator {name!r}{guess} known are {', '.join(own)}, and TA-Lib's functions in lower case (sma, rsi, macd ...)")
        return self._known[name]

    def describe(self, name: str) -> dict[str, Any]:
        """Summary, inputs, outputs, warm-up and accepted parameters, ready for JSON."""
        indicator = self.create(name)
        return {**indicator.describe(), "name": name, "warmup": indicator.warmup}

    def create(self, name: str, **params: Any) -> Indicator:
        """A new indicator. UsageError for an unknown name, parameter or value, listing what is accepted."""
        indicator = self.get_indicator(name)(**params)
        lacking = [part for part in _PARTS if not hasattr(indicator, part)]
        if lacking:
            raise UsageError(f"indicator {name!r} made a {type(indicator).__name__}, which lacks {', '.join(lacking)}")
        return indicator

    # -- at work

    def calculate(self, data: pd.DataFrame | TradeBatch, name: str, **params: Any) -> pd.DataFrame:
        """The indicator's columns over `data`, on its index; `data` is left as it is. Raises what the indicator raises."""
        return self.create(name, **params).run(data)  # type: ignore[arg-type]  # only a trades indicator takes a batch, and says so

    def apply(self, bars: pd.DataFrame, names: Names | None = None) -> pd.DataFrame:
        """The bars with the columns of several indicators; None: the configured ones that read bars. A column of the same name gives way.

        Columns are called as the outputs are; those of an indicator under a label that is not its own name, `label_output`, or `label` if it has one.
        An indicator that fails yields NaN and is counted in `faults`. Raises UsageError for an unknown name, MissingColumns for one that reads trades.
        """
        columns: dict[str, Any] = {}
        for label, indicator in self._chosen(names).items():
            if indicator.input != "bars":
                if names is None:
                    continue
                raise MissingColumns(f"{label} reads trades, and its rows are not bars: calculate(trades, '{label}')")
            outputs = column_names(label, indicator)
            taken = [name for name in outputs if name in columns]
            if taken:
                raise UsageError(f"{label} and another indicator both return {taken[0]!r}; give one a label: {{'mine': {{'name': '{indicator.name}'}}}}")
            try:
                columns |= dict(zip(outputs, (column for _, column in indicator.run(bars).items()), strict=True))
            except Exception as error:  # an indicator's fault must not reach a strategy
                self._fault(label, error)
                columns |= dict.fromkeys(outputs, float("nan"))
        return bars.assign(**columns)

    def stream(
        self,
        provider: TradeSource,
        contract: Contract,
        timeframe: str | Timeframe = "1m",
        names: Names | None = None,
        *,
        clock: Callable[[], int] | None = time.monotonic_ns,
    ) -> LiveStream:
        """A live set over the provider's trades: `async for bar, values in live`, `live.forming`, `live.footprint(bar)`, `live.cancel()`.

        Strategies that ask for the same contract and timeframe share one subscription and BarBuilder, and for the same indicator that indicator.
        clock  closes bars when nobody trades; None where a tape's own time is the clock. See LiveStream.
        """
        frame = Timeframe.parse(timeframe)
        chosen = {label: indicator for label, indicator in self._chosen(names).items() if indicator.input == "bars"}
        wanted = {label: ((type(one), one.name, *_told(one)), one) for label, one in chosen.items()}
        shared = next((each for each in self._shared if each.serves(provider, contract, frame, clock)), None)
        if shared is None:
            shared = SharedSet(provider, contract, frame, clock, on_fault=self._fault, on_end=self._ended)
            self._shared.append(shared)
        return shared.join(wanted)

    def live(self, contract: Contract, timeframe: str | Timeframe = "1m", names: Names | None = None) -> LiveSet:
        """A live set without a provider: you `add` the trades and `advance` the clock."""
        chosen = {label: indicator for label, indicator in self._chosen(names).items() if indicator.input == "bars"}
        return LiveSet(contract, timeframe, chosen, on_fault=self._fault)

    def _chosen(self, names: Names | None) -> dict[str, Indicator]:
        """New indicators by label."""
        wanted = self._names if names is None else names
        if isinstance(wanted, str):
            wanted = [wanted]
        if not isinstance(wanted, Mapping):
            wanted = {name: {} for name in wanted}
        return {label: self.create(**{"name": label, **params}) for label, params in wanted.items()}

    def _ended(self, shared: SharedSet) -> None:
        if shared in self._shared:
            self._shared.remove(shared)

    # -- faults and plugins

    def _fault(self, label: str, error: Exception) -> None:
        count = self.faults[label].count + 1 if label in self.faults else 1
        self.faults[label] = Fault(count, f"{type(error).__name__}: {error}")
        # a mistake explains itself; anything else needs its traceback. Once, not on every bar.
        log.log(logging.WARNING if count == 1 else logging.DEBUG, "indicator %s failed: %s", label, error, exc_info=_trace(error))

    def _found_plugins(self) -> dict[str, metadata.EntryPoint]:
        """Entry points by name; what is registered already keeps its name."""
        if self._plugins is None:
            self._plugins = {}
            for plugin in metadata.entry_points(group=ENTRY_POINTS):
                if plugin.name in self._known or plugin.name in TA_LIB or plugin.name in self._plugins:
                    self._fault(plugin.name, UsageError(f"plugin {plugin.value} wants a name that is taken"))
                else:
                    self._plugins[plugin.name] = plugin
        return self._plugins

    def _load(self, plugin: metadata.EntryPoint) -> Any:
        try:
            return plugin.load()
        except Exception as error:
            self._fault(plugin.name, error)
            raise UsageError(f"plugin {plugin.name!r} ({plugin.value}) could not be loaded: {type(error).__name__}: {error}") from error


def _factory(name: str, indicator: Any) -> Factory:
    if callable(indicator):
        made: Factory = indicator
        return made
    if not isinstance(getattr(indicator, "params", None), Mapping):
        raise UsageError(f"{indicator!r} cannot be registered as {name!r}; a class, a factory or an instance with params can")
    return lambda **params: type(indicator)(**{**indicator.params, **params})


def _told(indicator: Indicator) -> list[tuple[str, str]]:
    """Parameters in a form that can be compared."""
    return sorted((name, repr(value)) for name, value in indicator.params.items())


def _trace(error: Exception) -> Exception | None:
    return None if isinstance(error, MarketDataError) else error
