"""One strategy file runs on every provider: between the runs nothing changes but the line `data_provider` of its config.yaml."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tastytrade_provider.emulator import CLIENT_SECRET, REFRESH_TOKEN, Emulator, Market, Print, load_tape
from tastytrade_provider.emulator.tws import TwsKnobs
from tests.checks import strategy
from tests.checks.sources import LIMIT_S, a_tape

pytest.importorskip("ib_async", reason="the extra [ib] is not installed")

CONFIG = """\
data_provider: demo
tastytrade:
  client_secret: ${{TT_SECRET}}
  refresh_token: ${{TT_REFRESH}}
  api_url: {api_url}
ib: {{host: 127.0.0.1, port: {tws_port}, client_id: 7}}
replay: {{path: ESH6.csv, speed: max}}
demo: {{tape: ESH6.csv, speed: max}}
"""
MINUTE_NS = 60 * 10**9
MARKET = Market(seed=20261122, roots=("ES",), prints_per_s=0.4)
NOW_NS = MARKET.start_ns + 20 * MINUTE_NS
"""What came before is history when a strategy begins at a broker, the ten minutes after it are live."""
RSI_BARS = 14


def the_prints() -> list[Print]:
    """Half an hour of ES, every print with its side."""
    events = itertools.takewhile(lambda event: event.at_ns < MARKET.start_ns + 30 * MINUTE_NS, MARKET)
    return [event for event in events if isinstance(event, Print) and event.side]


def row(one: Print) -> str:
    return f"{one.time_ns},{one.price},{one.size:g},{one.side.name},{one.bid},{one.ask},{one.bid_size:g},{one.ask_size:g}"


def by_hand(prints: list[Print]) -> pd.DataFrame:
    """The first bars of the prints: the last price of each minute, its volume, the sum of signed sizes so far, and Wilder's RSI."""
    minutes = itertools.groupby(prints, lambda one: one.time_ns // MINUTE_NS * MINUTE_NS)
    groups = [(start_ns, list(group)) for start_ns, group in minutes][: strategy.BARS]
    frame = pd.DataFrame({
        "time": [start_ns for start_ns, _ in groups],
        "close": [group[-1].price for _, group in groups],
        "volume": [sum(one.size for one in group) for _, group in groups],
        "cvd": list(itertools.accumulate(sum(one.side * one.size for one in group) for _, group in groups)),
    })  # fmt: skip
    return frame.assign(rsi=wilder(frame["close"].tolist()))


def wilder(closes: list[float]) -> list[float]:
    """The mean of the first gains and losses, then 1/14 of each new one: J. Welles Wilder, New Concepts in Technical Trading Systems, 1978, section VI."""
    steps = [after - before for before, after in itertools.pairwise(closes)]
    up, down = (sum(max(sign * step, 0.0) for step in steps[:RSI_BARS]) / RSI_BARS for sign in (1, -1))
    found = [100 * up / (up + down)]
    for step in steps[RSI_BARS:]:
        up, down = ((mean * (RSI_BARS - 1) + max(sign * step, 0.0)) / RSI_BARS for mean, sign in ((up, 1), (down, -1)))
        found.append(100 * up / (up + down))
    return [np.nan] * RSI_BARS + found


async def run(folder: Path, clock: Path) -> tuple[str, dict[str, pd.DataFrame]]:
    """`python strategy.py` in the folder, and what it printed: who served, and the lines by the way they came."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("TTP_", "TT_"))}
    path = os.pathsep.join([str(clock), *filter(None, sys.path)])
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "strategy.py"),
        cwd=folder,
        env=mine | {"TT_SECRET": CLIENT_SECRET, "TT_REFRESH": REFRESH_TOKEN, "PYTHONPATH": path},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(3 * LIMIT_S):  # the first run of all compiles the kernels
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    told = json.loads(out)
    return told["provider"], {way: pd.DataFrame(rows) for way, rows in told["lines"].items()}


def contents(folder: Path) -> dict[str, list[str]]:
    return {file.name: file.read_text().splitlines() for file in folder.iterdir()}


async def test_one_line_of_the_configuration_moves_a_strategy_from_provider_to_provider(tmp_path: Path) -> None:
    folder, clock = tmp_path / "mine", tmp_path / "clock"
    folder.mkdir()
    clock.mkdir()
    shutil.copy(strategy.__file__, folder / "strategy.py")
    prints = the_prints()
    tape = load_tape(a_tape(folder / "ESH6.csv", "\n".join(map(row, prints)), "time_ns,price,size,side,bid,ask,bidsz,asksz"))
    # the machine's clock shows the market's time: a broker that is not played has no other
    (clock / "sitecustomize.py").write_text(f"import time_machine\ntime_machine.travel({NOW_NS / 1e9}).start()\n")
    found: dict[str, dict[str, pd.DataFrame]] = {}
    async with AsyncExitStack() as stack:
        at = {"speed": "max", "live_from_ns": NOW_NS, "truth_path": os.devnull}
        tastytrade, ib = [await stack.enter_async_context(Emulator(tape, **at, tws=tws)) for tws in (False, TwsKnobs())]  # type: ignore[arg-type]
        config = folder / "config.yaml"
        config.write_text(CONFIG.format(api_url=tastytrade.api_url, tws_port=ib.tws_port))
        before = contents(folder)
        for name in ("ib", "tastytrade", "replay", "demo"):
            config.write_text("\n".join([f"data_provider: {name}", *before["config.yaml"][1:]]))
            served_by, found[name] = await run(folder, clock)
            assert served_by == name
            assert contents(folder) == before | {"config.yaml": [f"data_provider: {name}", *before["config.yaml"][1:]]}

    expected = by_hand(prints)
    assert expected["cvd"].iloc[-1] == sum(one.side * one.size for one in prints if one.time_ns < MARKET.start_ns + strategy.BARS * MINUTE_NS) != 0
    for name, told in found.items():
        for way, bars in told.items():
            said = f"{name}, {way}"
            for column in ("time", "close", "volume"):
                np.testing.assert_array_equal(bars[column], expected[column], f"{said}: {column}")
            np.testing.assert_allclose(bars["rsi"], expected["rsi"], rtol=1e-9, err_msg=said)
            np.testing.assert_array_equal(bars["rsi"], found["demo"][way]["rsi"], said)
            if name == "ib":  # its bars have no split: unknown, and labelled so, never zero
                assert bars["cvd"].isna().all()
                assert set(bars["delta_source"]) == {"none"}
            else:
                np.testing.assert_array_equal(bars["cvd"], expected["cvd"], said)
                assert set(bars["delta_source"]) <= {"time_and_sale", "candle"}
        if name != "ib":
            assert told["heard"]["delta_source"].iloc[-1] == "time_and_sale"  # from live trades, where what was asked for may be candles
