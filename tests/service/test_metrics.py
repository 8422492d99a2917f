from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import orjson
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tastytrade_provider.service import Runtime
from tastytrade_provider.service.counts import Histogram
from tests.checks.builders import ES
from tests.service.stage import Handed, running, some_trades

DASHBOARD = Path(__file__).parents[2] / "docs" / "grafana-dashboard.json"


def exposed(live: Runtime) -> str:
    registry = CollectorRegistry()
    live.register_metrics(registry)
    return generate_latest(registry).decode()


async def test_what_was_counted_is_exposed() -> None:
    async with running(symbols=("ES",)) as (live, provider, _):
        provider.put(some_trades((0, 6000.0, 3, 1), (1, 6000.0, 3, 0), (5, 6000.0, 3, 1)))
        found = {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(exposed(live))
            for sample in family.samples
        }
    name = "tastytrade_provider_"
    assert found[f"{name}trades_total", "/ESZ6"] == 3
    assert found[f"{name}sided_trades_total", "/ESZ6", "exchange"] == 2
    assert found[f"{name}sided_trades_total", "/ESZ6", "none"] == 1
    assert found[f"{name}closed_bars_total", "/ESZ6", "5s"] == 1
    assert found[f"{name}feed_ready",] == 1
    assert found[f"{name}feed_lag_seconds_bucket", "/ESZ6", "0.0025"] == 3  # 2 ms each
    assert found[f"{name}feed_lag_seconds_bucket", "/ESZ6", "0.001"] == 0
    assert found[f"{name}feed_lag_seconds_sum", "/ESZ6"] == pytest.approx(0.006)


async def test_a_contract_that_is_watched_under_two_names_is_exposed_once() -> None:
    async with running(symbols=("ES", "ESZ6")) as (live, provider, _):
        provider.put(some_trades((0, 6000.0, 3, 1)))
        lines = [line.rpartition(" ")[0] for line in exposed(live).splitlines() if not line.startswith("#")]
    assert len(lines) == len(set(lines)) > 15


def test_a_clock_that_is_behind_the_exchanges_lets_no_sum_fall() -> None:
    lags = Histogram()
    sums = []
    for lag_s in (0.01, -0.5, -0.02, 0.03):
        lags.observe(lag_s)
        sums.append(lags.sum_s)
    assert sums == pytest.approx([0.01, 0.01, 0.01, 0.04])  # a sum that falls is a restart to Prometheus
    assert (lags.count, lags.cumulative()[0]) == (4, 2)


async def test_names_follow_the_conventions_of_prometheus() -> None:
    async with running() as (live, provider, _):
        provider.put(some_trades((0, 6000.0, 3, 1)))
        families = list(text_string_to_metric_families(exposed(live)))
    assert len(families) > 15
    for family in families:
        assert re.fullmatch(r"tastytrade_provider_[a-z_]+", family.name)
        assert family.documentation.endswith(".")
        assert family.type in ("counter", "gauge", "histogram")
        assert not re.search(r"_(ms|milliseconds|ns|minutes|total|count|sum|bucket)$", family.name)
        if family.type == "histogram":
            assert family.name.endswith("_seconds")


async def test_promtool_finds_nothing_to_say() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool (Debian package prometheus) is not installed")
    async with running() as (live, provider, _):
        provider.put(some_trades((0, 6000.0, 3, 1)))
        text = exposed(live)
    done = subprocess.run([promtool, "check", "metrics"], input=text, text=True, capture_output=True, timeout=60)  # noqa: ASYNC221
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_metrics_are_there_before_the_feed_is() -> None:
    assert "tastytrade_provider_feed_connected 0.0" in exposed(Runtime(Handed(ES), ("ES",)))


async def test_every_metric_of_the_dashboard_exists() -> None:
    async with running() as (live, provider, _):
        provider.put(some_trades((0, 6000.0, 3, 1)))
        names = {sample.name for family in text_string_to_metric_families(exposed(live)) for sample in family.samples}
    names |= {"tastytrade_provider_journal_records_total", "tastytrade_provider_journal_lost_messages_total"}
    panels = orjson.loads(DASHBOARD.read_bytes())["panels"]
    used = {name for panel in panels for target in panel.get("targets", ()) for name in re.findall(r"tastytrade_provider_\w+", target["expr"])}
    assert used <= names
    assert len(used) > 12
