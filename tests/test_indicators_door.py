"""`tastytrade_provider.indicators` beside a user's own folder `indicators`, from the checkout and from an installed layout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
THEIRS = {
    "manager": "class IndicatorManager:\n    mine = True\n",
    "base": "class Indicator:\n    mine = True\n",
    "volume_delta": "def volume_delta():\n    return 'theirs'\n",
    "kernels": "raise RuntimeError('a stranger imported this')\n",
}
BOTH = """
import sys
first_ours = sys.argv[1] == "ours first"
def theirs():
    import indicators.manager, indicators.base, indicators.volume_delta
    assert indicators.manager.IndicatorManager.mine and indicators.base.Indicator.mine
    assert indicators.volume_delta.volume_delta() == "theirs"
    import manager
    assert manager.IndicatorManager.mine
def ours():
    from tastytrade_provider.indicators import CVD, Indicator, IndicatorManager, divergences
    from tastytrade_provider.indicators.volume_delta import VolumeDelta
    import pandas as pd, pickle
    bars = pd.DataFrame({name: [1.0, 2.0] for name in ("open", "high", "low", "close", "volume", "buy_volume")} | {"sell_volume": 0.0})
    manager = IndicatorManager(names={"cvd": {"reset": "never"}, "volume_delta": {}, "delta_divergence": {"reset": "never"}})
    assert manager.apply(bars)["cvd"].tolist() == [1.0, 3.0], manager.faults
    assert not manager.faults
    assert len(divergences(bars, reset="never")) == 0
    assert isinstance(pickle.loads(pickle.dumps(CVD())), Indicator) and issubclass(VolumeDelta, Indicator)
    assert CVD.__module__ == "tastytrade_provider.indicators.cvd"
for step in (ours, theirs) if first_ours else (theirs, ours):
    step()
print("fine")
"""
BY_THE_OTHER_NAME = """
import numpy as np, pandas as pd
from indicators.delta_divergence import DeltaDivergence
names = ("open", "high", "low", "close", "volume", "buy_volume", "sell_volume")
DeltaDivergence(reset="never").run(pd.DataFrame({name: [1.0] for name in names}))
print("fine")
"""


def run(code: str, *paths: Path, cwd: Path, args: tuple[str, ...] = ()) -> None:
    path = os.pathsep.join(map(str, paths))
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", code, *args], cwd=cwd, env=environment, capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("fine", 0), done.stdout + done.stderr


@pytest.fixture(params=["with __init__.py", "without __init__.py"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A user's program with an `indicators` folder of its own."""
    folder = tmp_path / "app" / "indicators"
    folder.mkdir(parents=True)
    for name, text in THEIRS.items():
        (folder / f"{name}.py").write_text(text)
    if request.param == "with __init__.py":
        (folder / "__init__.py").touch()
    return tmp_path / "app"


def installed(target: Path) -> Path:
    """What a wheel installs: the two folders side by side, no checkout around them. Kernels that are compiled come along: that takes long."""
    for name in ("tastytrade_provider", "indicators"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("*.pyc*", "*.tmp.*"))
    return target


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def site_with_a_kernel_cached_by_the_other_name(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = installed(tmp_path_factory.mktemp("site"))
    shutil.rmtree(target / "indicators" / "__pycache__", ignore_errors=True)
    run(BY_THE_OTHER_NAME, target, cwd=target)
    assert list((target / "indicators" / "__pycache__").glob("kernels.divergence*.nbi"))
    return target


@pytest.mark.parametrize("order", ["ours first", "theirs first"])
def test_both_work_with_the_users_folder_first_on_the_path(app: Path, order: str) -> None:
    run(BOTH, app, app / "indicators", ROOT, cwd=app, args=(order,))


def test_both_work_from_an_installed_layout(app: Path, site: Path) -> None:
    run(BOTH, app, app / "indicators", site, cwd=app, args=("theirs first",))


def test_a_kernel_cached_under_the_folders_own_name_loads_beside_a_users_folder(app: Path, site_with_a_kernel_cached_by_the_other_name: Path) -> None:
    run(BOTH, app, app / "indicators", site_with_a_kernel_cached_by_the_other_name, cwd=app, args=("theirs first",))


def test_importing_the_door_loads_neither_pandas_nor_numba(tmp_path: Path) -> None:
    code = "import sys, tastytrade_provider.indicators as door; assert not {'pandas', 'numba', 'indicators'} & set(sys.modules); print('fine')"
    run(code, ROOT, cwd=tmp_path)


def test_every_name_it_offers_is_there_and_a_wrong_one_is_told(tmp_path: Path) -> None:
    code = (
        "import tastytrade_provider.indicators as door\n"
        "for name in door.__all__:\n    assert name in dir(door) and getattr(door, name).__name__ == name\n"
        "from tastytrade_provider.indicators import cvd\nassert cvd.CVD is door.CVD\n"
        "try:\n    door.CVDD\nexcept AttributeError as error:\n    assert 'it has ' in str(error) and 'CVD' in str(error)\n    print('fine')"
    )
    run(code, ROOT, cwd=tmp_path)
