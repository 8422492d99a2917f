"""TA-Lib's functions by name: TA-Lib itself is the judge of histories, and histories of what is live."""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tastytrade_provider.bars import build_bars
from tastytrade_provider.errors import MissingColumns, MissingExtra, NotSupported, UsageError
from tastytrade_provider.indicators import Indicator, IndicatorManager, LiveSet
from tastytrade_provider.indicators import classic as module
from tastytrade_provider.indicators.classic import NAMES, classic
from tastytrade_provider.model import TradeBatch
from tests.checks import indicators as checks
from tests.checks.builders import ES, a_batch, bars, frame, opening, random_bars, random_trades

talib = pytest.importorskip("talib", minversion="0.8", reason="TA-Lib 0.8 (extra talib) is not installed")
abstract = pytest.importorskip("talib.abstract")

MANAGER = IndicatorManager()
REPRESENTATIVE: list[tuple[str, dict[str, Any]]] = [
    ("sma", {"timeperiod": 5}),  # a window
    ("ema", {"timeperiod": 9, "price": "vwap"}),  # a recurrence, on another column
    ("rsi", {}),  # one with an unstable period
    ("macd", {}),  # three outputs, another seed
    ("atr", {}),  # several inputs
    ("bbands", {"nbdevup": 1, "matype": 1}),
    ("obv", {}),  # a sum over everything
    ("sar", {}),  # depends on the path
    ("maxindex", {"timeperiod": 7}),  # counts bars, in whole numbers
    ("cdldoji", {}),  # a pattern
]
CONFORMANCE = [
    check for check in checks.CHECKS if check not in (checks.it_pickles_in_mid_stream, checks.memory_does_not_grow)
]  # those two through pickles, which a stream inside TA-Lib has none of: see below


def one_column_each(n: int = 250) -> pd.DataFrame:
    """Bars, with a column for the one function that wants its periods as a series."""
    found = frame(random_bars(20261122, n))
    found["periods"] = np.resize([5.0, 9.0, 14.0, 2.0], n)
    return found


def bits(values: Any) -> list[Any]:
    return np.ascontiguousarray(values, np.float64).view(np.int64).tolist()


@pytest.fixture(scope="module")
def history() -> pd.DataFrame:
    return one_column_each()


@pytest.mark.parametrize("check", CONFORMANCE, ids=lambda check: check.__name__)
@pytest.mark.parametrize(("name", "params"), REPRESENTATIVE, ids=lambda value: value if isinstance(value, str) else "")
def test_a_representative_set_conforms(name: str, params: dict[str, Any], check: Callable[[Callable[[], Indicator]], None]) -> None:
    check(partial(MANAGER.create, name, **params))


def test_every_function_of_the_installed_library_has_a_name() -> None:
    assert set(NAMES) <= set(MANAGER.list_indicators())
    assert {name.lower() for name in talib.get_functions()} <= set(NAMES), "TA-Lib has functions that NAMES lacks"


def test_every_function_is_ta_libs_own_over_a_history_and_live_bit_for_bit(history: pd.DataFrame) -> None:
    rows = [dict(zip(history.columns, row, strict=True)) for row in history.itertuples(index=False)]
    with np.errstate(all="ignore"):
        for name in NAMES:
            made = MANAGER.create(name)
            ours = made.run(history).to_numpy()
            theirs = np.column_stack([np.asarray(column, np.float64) for column in _columns(abstract.Function(name.upper())(history))])
            assert np.isnan(ours[: made.warmup]).all(), name
            assert bits(ours[made.warmup :] + 0.0) == bits(theirs[made.warmup :] + 0.0), name
            live = MANAGER.create(name)
            assert bits([list(live.update(row).values()) for row in rows]) == bits(ours), name


def _columns(found: Any) -> list[Any]:
    return [found] if isinstance(found, pd.Series) else [found[name] for name in found]


def test_the_warm_up_is_the_lookback_with_the_parameters_in_force() -> None:
    assert [MANAGER.create(name).warmup for name in ("sma", "rsi", "macd", "bbands")] == [29, 14, 33, 19]
    assert MANAGER.create("sma", timeperiod=5).warmup == 4
    assert MANAGER.describe("atr")["warmup"] == 14


def test_rsi_by_hand() -> None:
    # three gains of 1 and one loss of 1 in the first four changes: 100 * 3 / 4; then a gain of 1: averages (3/4*3+1)/4 and (1/4*3)/4, 100 * 13 / 16
    closes = pd.DataFrame({"close": [10.0, 11, 12, 11, 12, 13]})
    assert MANAGER.calculate(closes, "rsi", timeperiod=4)["rsi"].tolist()[4:] == [75.0, 81.25]


def test_sma_and_cvd_are_asked_for_the_same_way() -> None:
    out = MANAGER.apply(bars(monday=[(5, 2), (1, 4)], tuesday=[(7, 6)]), {"cvd": {}, "fast": {"name": "sma", "timeperiod": 2, "price": "buy_volume"}})
    assert out["fast"].tolist()[1:] == [3.0, 4.0]
    assert out["cvd"].tolist() == [3, 0, 1]


def test_describe_names_the_range_that_the_library_accepts() -> None:
    told = MANAGER.describe("rsi")
    assert told["summary"] == "Relative Strength Index (TA-Lib RSI, momentum indicators)."
    assert told["params"][0] == {"name": "timeperiod", "default": 14, "accepts": "a whole number from 2 to 100000", "meaning": "Time period"}
    assert MANAGER.describe("bbands")["outputs"] == ["upperband", "middleband", "lowerband"]
    assert MANAGER.describe("bbands")["params"][3]["accepts"].startswith("0 (SMA) | 1 (EMA) | 2 (WMA)")
    assert MANAGER.describe("mama")["params"][0]["accepts"] == "a number from 0.01 to 0.99"


@pytest.mark.parametrize(
    ("name", "params", "told"),
    [
        ("sma", {"timeperiod": 0}, "sma: timeperiod=0 is not accepted; a whole number from 1 to 100000 is"),
        ("rsi", {"timeperiod": 2.5}, "rsi: timeperiod=2.5 is not accepted; a whole number from 2 to 100000 is"),
        ("bbands", {"nbdevup": float("nan")}, "bbands: nbdevup=nan is not accepted; a number is"),
        ("ma", {"matype": 99}, "ma: matype=99 is not accepted; 0 \\(SMA\\) | 1"),
        ("rsi", {"length": 9}, "rsi has no parameter 'length'; it accepts timeperiod, price"),
    ],
)
def test_a_wrong_parameter_is_told_with_what_is_accepted(name: str, params: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=f"^{told}"):
        MANAGER.create(name, **params)


def test_numbers_of_numpy_are_numbers() -> None:
    assert MANAGER.create("sma", timeperiod=np.int64(5)).warmup == 4
    assert MANAGER.create("bbands", nbdevup=np.float64(1.5), nbdevdn=1).params["nbdevup"] == 1.5


def test_a_column_that_is_not_there_is_named_also_where_a_parameter_chose_it(history: pd.DataFrame) -> None:
    with pytest.raises(MissingColumns, match=r"^sma needs hlc3; hlc3 missing"):
        MANAGER.calculate(history, "sma", price="hlc3")
    with pytest.raises(MissingColumns, match=r"^mavp needs close and periods; periods missing"):
        MANAGER.calculate(history.drop(columns="periods"), "mavp")


@pytest.mark.parametrize("name", ["rsi", "sma", "atr", "obv", "ema"])
def test_a_bar_with_an_unknown_input_yields_nan_and_counts_for_nothing(name: str, history: pd.DataFrame) -> None:
    holes = history.copy()
    holes.loc[holes.index[[0, 7, 60, 61, 200]], ["close", "volume"]] = np.nan
    known = holes["close"].notna()
    out, live = MANAGER.calculate(holes, name), MANAGER.create(name)
    assert bits(out[known]) == bits(MANAGER.calculate(holes[known], name))
    assert out[~known].isna().all().all()
    assert bits([list(live.update(dict(zip(holes.columns, row, strict=True))).values()) for row in holes.itertuples(index=False)]) == bits(out)


def test_the_vwap_of_trades_is_not_overwritten_by_ta_libs_of_typical_prices(history: pd.DataFrame) -> None:
    out = MANAGER.apply(history, ["vwap"])
    assert out["vwap"].equals(history["vwap"])
    assert "vwap_talib" in out


def test_it_pickles_until_its_state_lies_inside_the_library_and_says_so_then(history: pd.DataFrame) -> None:
    live = MANAGER.create("rsi", timeperiod=20)
    live.extend(history.iloc[:20])
    again = pickle.loads(pickle.dumps(live))
    assert bits(again.extend(history.iloc[20:])) == bits(MANAGER.create("rsi", timeperiod=20).run(history).iloc[20:])
    with pytest.raises(NotSupported, match=r"its state lies inside the library. Keep the bars, and `extend` a new one"):
        pickle.dumps(again)


def test_a_copy_goes_its_own_way(history: pd.DataFrame) -> None:
    live = MANAGER.create("ema", timeperiod=3)
    live.extend(history.iloc[:50])
    fork = copy.deepcopy(live)
    live.extend(history.iloc[50:60])
    assert bits(fork.extend(history.iloc[50:])) == bits(MANAGER.create("ema", timeperiod=3).run(history).iloc[50:])


def test_bars_are_kept_only_until_the_first_value(history: pd.DataFrame) -> None:
    live = MANAGER.create("sma", timeperiod=50)
    sizes = []
    for i in range(60):
        live.extend(history.iloc[i : i + 1])
        sizes.append(live._carried.kept.shape[1])
    assert sizes == [*range(1, 50), *[0] * 11]


def test_live_over_late_trades_ends_in_the_values_of_the_history() -> None:
    trades = random_trades(11, 1_500)
    late = a_batch(time_ns=[opening() + 200 * 10**9], size=9.0, side=1, price=6100.0)  # in a bar closed long ago
    live = MANAGER.live(ES, "1m", {"sma": {"timeperiod": 3}, "rsi": {"timeperiod": 5}})
    assert isinstance(live, LiveSet)
    live.add(trades)
    live.add(late)
    forming = live.forming
    assert forming is not None
    whole = MANAGER.apply(build_bars(TradeBatch.concat([trades, late]), "1m", ES), {"sma": {"timeperiod": 3}, "rsi": {"timeperiod": 5}})
    assert bits(list(forming.values.values())) == bits(whole[["sma", "rsi"]].iloc[-1])  # noqa: PD011 - a field of Update


@pytest.fixture
def without_ta_lib(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if the extra were not installed."""
    for cached in (module.classic, module._about, module._talib):
        cached.cache_clear()
    for name in ("talib", "talib.abstract", "talib.stream"):
        monkeypatch.setitem(sys.modules, name, None)
    yield
    for cached in (module.classic, module._about, module._talib):
        cached.cache_clear()


@pytest.mark.usefixtures("without_ta_lib")
def test_without_ta_lib_the_extra_is_named_and_the_rest_works() -> None:
    manager = IndicatorManager()
    with pytest.raises(MissingExtra, match=r"TA-Lib's functions need the extra 'talib': pip install 'tastytrade-provider\[talib\]'"):
        manager.create("rsi")
    assert "rsi" in manager.list_indicators()
    assert manager.calculate(bars(monday=[(5, 2)]), "cvd")["cvd"].tolist() == [3]


def test_a_ta_lib_without_stream_objects_is_told_by_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(talib, "InsufficientHistory")
    monkeypatch.setattr(talib, "__version__", "0.6.8")
    module._talib.cache_clear()
    with pytest.raises(MissingExtra, match=r"TA-Lib 0\.6\.8 has no stream objects; 0\.8 has"):
        module._talib()


def test_what_is_no_function_of_ta_lib_is_told() -> None:
    with pytest.raises(UsageError, match="TA-Lib has no function 'smma'"):
        classic("smma")
