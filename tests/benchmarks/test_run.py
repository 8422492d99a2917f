"""The benchmark tool works: its smallest run ends with a table, a file and the same results for every candidate."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks import shadow, shadow_client
from tests.benchmarks.report import Ratio

RUN = Path(__file__).with_name("run.py")


def bench(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(RUN), *arguments], cwd=folder, capture_output=True, text=True, timeout=100)


def test_a_quick_run_prints_a_table_and_writes_every_value(tmp_path: Path) -> None:
    pytest.importorskip("polars", reason="the peers are in the extra [bench]")
    pytest.importorskip("duckdb", reason="the peers are in the extra [bench]")
    done = bench("--quick", "--no-gate", "batch", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1380 bars" in done.stdout  # 100,000 trades fill one session of 23 hours
    (part,) = json.loads((tmp_path / "bench.json").read_text())["parts"]
    assert len(part["measured"]["ours, one thread seconds"]) == 2
    assert [ratio["target"] for ratio in part["ratios"]] == [2.5, None, None]


def test_a_part_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = bench("speed", folder=tmp_path)
    assert done.returncode == 2
    assert "'speed' is none of decode, live, transport, batch" in done.stderr


def test_a_ratio_on_the_wrong_side_of_its_target_is_a_miss_and_one_without_a_target_never_is() -> None:
    assert [Ratio("a", 2.4, 2.5).is_met, Ratio("b", 2.5, 2.5).is_met, Ratio("c", 0.1).is_met] == [False, True, True]
    assert [Ratio("d", 1.21, 1.2, at_most=True).is_met, Ratio("e", 1.2, 1.2, at_most=True).is_met] == [False, True]
    assert str(Ratio("p50 beside it", 1.21, 1.2, at_most=True)) == "MISS  p50 beside it: 1.21x, target at most 1.2x"


def test_latencies_beside_a_shadow_are_judged_by_their_medians_over_the_rounds() -> None:
    def a_round(beside: float) -> dict[str, dict[str, float]]:
        return {case: {"p50_us": 100.0 if case == "alone" else beside, "p99_us": 1000.0} for case in shadow_client.CASES}

    [part] = shadow.parts([a_round(110), a_round(115), a_round(900)])
    ratios = {ratio.name: (round(ratio.value, 3), ratio.target, ratio.is_met) for ratio in part.ratios}
    assert ratios["shadow killed, p50 beside the primary alone"] == (1.15, 1.2, True)
    assert ratios["shadow healthy, p50 beside the primary alone"] == (1.15, None, True)
    assert len(part.rows) == len(shadow_client.CASES)
