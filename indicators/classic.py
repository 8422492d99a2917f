"""TA-Lib's functions as indicators, each by its name in lower case: a history through the function, live bars through its stream object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from tastytrade_provider.errors import MissingExtra, NotSupported, UsageError

from . import kernels as k
from .base import Indicator
from .columns import Columns, Floats
from .params import Param, checked, whole

_FUNCTIONS = """
    ac accbands acos ad add adosc adr adx adxr ao apo aroon aroonosc asin atan atr avgdev avgprice bbands beta bop cci cdl2crows cdl3blackcrows
    cdl3inside cdl3linestrike cdl3outside cdl3starsinsouth cdl3whitesoldiers cdlabandonedbaby cdladvanceblock cdlbelthold cdlbreakaway
    cdlclosingmarubozu cdlconcealbabyswall cdlcounterattack cdldarkcloudcover cdldoji cdldojistar cdldragonflydoji cdlengulfing cdleveningdojistar
    cdleveningstar cdlgapsidesidewhite cdlgravestonedoji cdlhammer cdlhangingman cdlharami cdlharamicross cdlhighwave cdlhikkake cdlhikkakemod
    cdlhomingpigeon cdlidentical3crows cdlinneck cdlinvertedhammer cdlkicking cdlkickingbylength cdlladderbottom cdllongleggeddoji cdllongline
    cdlmarubozu cdlmatchinglow cdlmathold cdlmorningdojistar cdlmorningstar cdlonneck cdlpiercing cdlrickshawman cdlrisefall3methods
    cdlseparatinglines cdlshootingstar cdlshortline cdlspinningtop cdlstalledpattern cdlsticksandwich cdltakuri cdltasukigap cdlthrusting cdltristar
    cdlunique3river cdlupsidegap2crows cdlxsidegap3methods ceil cmf cmo cmou coppock correl cos cosh cumsum cvi dema div donchian dpo dx efi ema er
    eri exp floor fosc fractal ha hma ht_dcperiod ht_dcphase ht_phasor ht_sine ht_trendline ht_trendmode imi kama kc kdj linearreg linearreg_angle
    linearreg_intercept linearreg_slope ln log10 ma macd macdext macdfix mama marketfi massi mavp max maxindex medprice mfi midpoint midprice min
    minindex minmax minmaxindex minus_di minus_dm mom mult natr nvi obv percentile percentrank plus_di plus_dm ppo pvi pvo pvt qstick rma roc rocp
    rocr rocr100 rsi rvi rvol sar sarext sin sinh sma smi sqrt stddev stoch stochf stochrsi sub sum supertrend t3 tan tanh tema trange trima trix
    tsf tsi typprice ultosc var vhf vortex vwap vwma wad wclprice willr wma zlema
    """
NAMES = tuple(_FUNCTIONS.split())
"""The functions of TA-Lib 0.8, known without loading it."""

_INSTALL = "pip install 'tastytrade-provider[talib]'"
_CLASH = {"vwap": "vwap_talib"}  # bars have a vwap of their own, of trades; TA-Lib's is of typical prices


class Classic(Indicator):
    """A function of TA-Lib 0.8 or newer; `classic("rsi")` is its class, `IndicatorManager().create("rsi")` an instance.

    Parameters  the function's own (timeperiod, nbdevup, matype ...), and for an input that may be any column the column: price="vwap"
    Output      TA-Lib's names; the only one of a function has the function's. NaN before the first value, where TA-Lib may write 0
    Unknowns    a bar with an unknown input yields NaN and counts for nothing: TA-Lib itself does not define what comes after one
    Pickles     until the first value; then the state lies inside TA-Lib, and pickling raises NotSupported. Copies are always possible

    >>> bars = pd.DataFrame({"close": [1.0, 2.0, 3.0, 5.0]})
    >>> classic("sma")(timeperiod=2).run(bars)["sma"].tolist()
    [nan, 1.5, 2.5, 4.0]
    """

    function: ClassVar[str]
    batch: ClassVar[Callable[..., Any]]
    """The function itself: arrays in, one array or several out."""
    columns: ClassVar[tuple[tuple[str | None, str], ...]]
    """Inputs in order: the parameter that may name another column, and the column."""
    kinds: ClassVar[Mapping[str, type]]
    """TA-Lib's own parameters and their types."""
    labels: ClassVar[pd.Index[str]]

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self.inputs = tuple(column if name is None else self.params[name] for name, column in self.columns)
        self._options = {name: kind(self.params[name]) for name, kind in self.kinds.items()}
        self._warmup = _lookback(self.function, **self._options)
        if self._warmup < 0:
            raise UsageError(f"{self.name}: TA-Lib does not accept {', '.join(f'{name}={value}' for name, value in self._options.items())} together")

    @property
    def warmup(self) -> int:
        """Bars before the first value: what TA-Lib calls the lookback."""
        return self._warmup

    def run(self, data: pd.DataFrame) -> pd.DataFrame:
        """The outputs over a frame of closed bars, oldest first, on the same index, by one call of the function. Raises MissingColumns."""
        bars = Columns(data)
        bars.require(self.name, self.inputs)
        series = [_column(data, name) for name in self.inputs]
        if not all(k.all_finite(column) for column in series):
            return super().run(data)
        found = self._outputs(self.batch(*series, **self._options))
        for column in found:
            column[: self._warmup] = np.nan
        if len(found) == 1:  # the quickest way there is to make a frame: 20 us where a dict costs 70
            return pd.DataFrame(found[0][:, None], index=data.index, columns=self.labels, copy=False)
        return pd.DataFrame(dict(zip(self.outputs, found, strict=True)), index=data.index, copy=False)

    def _state(self) -> _Live:
        return _Live(len(self.columns))

    def _kernel(self, state: _Live, bars: Columns, out: Floats) -> None:
        series = np.array([bars.floats(name) for name in self.inputs])
        rows = np.flatnonzero(np.isfinite(series).all(axis=0))
        series = np.ascontiguousarray(series[:, rows])
        if state.stream is None:
            waiting = state.kept.shape[1]
            state.kept = series = np.concatenate([state.kept, series], axis=1)
            if series.shape[1] <= self._warmup:
                return
            state.stream, found = self._open(series)
            if state.stream is None:
                return
            state.kept = state.kept[:, :0].copy()
            out[rows] = np.column_stack(self._outputs(found))[waiting:]
            out[rows[: max(self._warmup - waiting, 0)]] = np.nan
            return
        for row, values in zip(rows.tolist(), series.T.tolist(), strict=True):
            out[row] = state.stream.update(*values)

    def _open(self, series: Floats) -> tuple[Any, Any]:
        """A stream over the bars so far and its values on them; None where the function wants more bars to begin with."""
        talib = _talib()
        try:
            opened: tuple[Any, Any] = getattr(talib.stream, self.function).open_and_fill(*series, **self._options)
        except talib.InsufficientHistory:
            return None, None
        return opened

    def _outputs(self, found: Any) -> list[Floats]:
        return [column.astype(np.float64, copy=False) for column in (found if isinstance(found, tuple) else (found,))]


class _Live:
    """A stream of TA-Lib, or, until it has enough bars to open, the inputs of those so far (inputs x bars)."""

    def __init__(self, inputs: int) -> None:
        self.stream: Any = None
        self.kept: Floats = np.empty((inputs, 0))

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self.stream is not None:
            raise NotSupported("a live indicator of TA-Lib cannot be pickled: its state lies inside the library. Keep the bars, and `extend` a new one")
        return super().__reduce_ex__(protocol)

    def __deepcopy__(self, memo: Any) -> _Live:
        again = _Live(len(self.kept))
        again.stream, again.kept = self.stream and self.stream.copy(), self.kept.copy()
        return again


@cache
def classic(name: str) -> type[Classic]:
    """The indicator class of a TA-Lib function, "sma" for SMA. MissingExtra without TA-Lib 0.8, UsageError for what is none of its functions."""
    if name not in NAMES:
        raise UsageError(f"TA-Lib has no function {name!r}; it has {', '.join(NAMES)}")
    function = name.upper()
    if not hasattr(_talib().abstract, function):
        raise MissingExtra(f"the TA-Lib installed has no {function}; a newer one has: {_INSTALL}")
    about = _about(function)
    columns: list[tuple[str | None, str]] = []
    for series, column in about.input_names.items():
        columns += [(series, column)] if isinstance(column, str) else [(None, each) for each in column]
    defaults = dict(about.parameters)
    free = [checked(series, column, "the name of a column", lambda value: isinstance(value, str), "column to read") for series, column in columns if series]
    outputs = [_CLASH.get(name, name)] if len(about.output_names) == 1 else list(about.output_names)
    made = {
        "__doc__": f"{about.info['display_name']} (TA-Lib {function}, {about.info['group'].lower()}).",
        "__module__": __name__,
        "__qualname__": function,
        "name": name,
        "function": function,
        "batch": staticmethod(about.func_object),
        "columns": tuple(columns),
        "inputs": tuple(column for _, column in columns),
        "outputs": tuple(outputs),
        "labels": pd.Index(outputs),
        "kinds": {option: type(default) for option, default in defaults.items()},
        "accepts": (*(_param(function, at, option, defaults) for at, option in enumerate(defaults)), *free),
    }
    return type(function, (Classic,), made)


def __getattr__(name: str) -> Any:
    """The classes by their function's name: where pickles look for them."""
    if name.isupper() and name.lower() in NAMES:
        return classic(name.lower())
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def _talib() -> Any:
    try:
        import talib
        import talib.abstract
        import talib.stream
    except ImportError as error:
        raise MissingExtra(f"TA-Lib's functions need the extra 'talib': {_INSTALL}") from error
    if not hasattr(talib, "InsufficientHistory"):
        raise MissingExtra(f"TA-Lib {talib.__version__} has no stream objects; 0.8 has: {_INSTALL}")
    return talib


@cache
def _about(function: str) -> Any:
    """What TA-Lib says of a function; its `parameters` are a thread's own."""
    return _talib().abstract.Function(function)


@lru_cache(maxsize=1_024)  # 10 us to ask the library
def _lookback(function: str, **options: Any) -> int:
    """Bars before the first value; -1 for options the function does not take."""
    about = _about(function)
    about.parameters = options
    return int(about.lookback)


def _column(data: pd.DataFrame, name: str) -> Floats:
    """A column as float64, shared where it is that already: TA-Lib only reads it."""
    found = data[name]
    return found.to_numpy() if found.dtype == np.float64 else Columns(data).floats(name)


def _param(function: str, at: int, name: str, defaults: Mapping[str, Any]) -> Param:
    """One of the function's own parameters. The library is asked what it accepts: the range named is the one that holds."""
    talib, default = _talib(), defaults[name]
    meaning = talib._ta_lib._ta_getOptInputParameterInfo(function.encode(), at)["help"].rstrip(".")

    def is_accepted(value: float) -> bool:
        return _lookback(function, **{**defaults, name: value}) >= 0

    if name.endswith("matype"):
        words = {number: word for word, number in vars(type(talib.MA_Type)).items() if isinstance(number, int) and is_accepted(number)}
        accepts = " | ".join(f"{number} ({word})" for number, word in sorted(words.items()))
        return checked(name, default, accepts, lambda value: isinstance(value, int) and value in words, meaning)
    if isinstance(default, int):
        least, most = (int(_edge(is_accepted, default, far)) for far in (-(2**31) + 1, 2**31 - 1))
        return whole(name, default, least, most, meaning)
    low, high = (_edge(is_accepted, default, far) for far in (-3e37, 3e37))
    accepts = "a number" if high - low > 1e37 else f"a number from {low:g} to {high:g}"
    return checked(name, default, accepts, lambda value: isinstance(value, Real) and not isinstance(value, bool) and low <= float(value) <= high, meaning)


def _edge(is_accepted: Callable[[float], bool], inside: float, far: float) -> float:
    """The last value on the way from one that is accepted to `far` that is accepted too: exact among whole numbers, else to six digits."""
    if is_accepted(far):
        return far
    while abs(far - inside) > (1 if isinstance(inside, int) else 1e-9):
        middle = (inside + far) // 2 if isinstance(inside, int) else (inside + far) / 2
        inside, far = (middle, far) if is_accepted(middle) else (inside, middle)
    return inside if isinstance(inside, int) else float(f"{inside:.6g}")
