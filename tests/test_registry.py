"""From a provider's name to the provider, importing only what was asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tastytrade_provider import registry
from tastytrade_provider.config import Settings
from tastytrade_provider.errors import ConfigError, MissingExtra, NotSupported, UnknownProvider, UsageError
from tastytrade_provider.registry import available, create_provider, find, register_provider

BUILT_IN = {"ab", "bus", "demo", "ib", "replay", "tastytrade"}
Module = Callable[..., ModuleType]


class Feed:
    """Stands in for a provider: keeps the settings it was made from."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings


def feed(settings: Settings) -> Any:
    return Feed(settings)


@pytest.fixture(autouse=True)
def _untouched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in list(os.environ):
        if name.startswith("TTP_") or name in ("TT_SECRET", "TT_REFRESH"):
            monkeypatch.delenv(name)
    before = dict(registry._registered)
    registry._registered.clear()
    yield
    registry._registered.clear()
    registry._registered.update(before)


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def install(**values: str) -> None:
        points = [EntryPoint(name, value, registry.GROUP) for name, value in values.items()]
        monkeypatch.setattr(registry, "entry_points", lambda group: [point for point in points if point.group == group])

    return install


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


GOOD = "class Feed:\n    def __init__(self, settings):\n        self.settings = settings\n"


def test_importing_the_registry_imports_no_provider_and_no_heavy_package() -> None:
    code = (
        "import sys, tastytrade_provider.registry as r; r.available();"
        "print([m for m in sys.modules if m.split('.')[0] in ('pandas','numpy','numba','tastytrade','ib_async')"
        " or m.startswith('tastytrade_provider.') and m.split('.')[1] in ('tastytrade','ib','replay','demo','ab','bus','provider')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1], timeout=60)
    assert done.stdout.strip() == "[]"


def test_the_built_in_names_are_known() -> None:
    assert set(available()) >= BUILT_IN


def test_a_registered_factory_gets_the_settings() -> None:
    register_provider("mine", feed)
    made: Any = create_provider({"data_provider": "mine", "symbols": ["MNQ"]})
    assert made.settings.symbols == ["MNQ"]
    assert "mine" in available()


def test_a_path_a_dict_and_settings_lead_to_the_same_provider(tmp_path: Path) -> None:
    register_provider("mine", feed)
    (tmp_path / "config.yaml").write_text("data_provider: mine")
    sources: list[Any] = [
        tmp_path / "config.yaml",
        str(tmp_path / "config.yaml"),
        {"data_provider": "mine"},
        Settings(data_provider="mine"),
    ]
    made: list[Any] = [create_provider(source) for source in sources]
    assert made[0].settings == made[1].settings == made[2].settings == made[3].settings


@pytest.mark.parametrize("name", ["mine", "ib", "plugged"])
def test_a_name_that_is_taken_is_refused_unless_replaced(name: str, plugins: Callable[..., None]) -> None:
    plugins(plugged="some.module:Feed")
    register_provider("mine", lambda settings: pytest.fail("the first one was kept"))
    with pytest.raises(UsageError, match=f"'{name}' is there already"):
        register_provider(name, feed)
    register_provider(name, feed, replace=True)
    assert isinstance(create_provider({"data_provider": name}), Feed)


@pytest.mark.parametrize("name", ["", "a.b:C"])
def test_a_name_that_could_not_be_asked_for_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="empty or holds a colon"):
        register_provider(name, feed)


def test_a_dotted_path_is_imported_when_asked_for(folder: Path) -> None:
    (folder / "house_feed.py").write_text(GOOD)
    made: Any = create_provider({"data_provider": "house_feed:Feed"})
    assert made.settings.data_provider == "house_feed:Feed"


@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("no_such_module_here:Feed", ModuleNotFoundError),
        ("house_feed:Fed", AttributeError),
        ("house_feed:", AttributeError),
        (":Feed", ValueError),
        ("house_feed:bad:Feed", AttributeError),
    ],
)
def test_a_dotted_path_that_leads_nowhere_shows_why(folder: Path, path: str, cause: type[Exception]) -> None:
    (folder / "house_feed.py").write_text(GOOD)
    with pytest.raises(UsageError, match=f"cannot be loaded from '{path}'") as caught:
        create_provider({"data_provider": path})
    assert isinstance(caught.value.__cause__, cause)


def test_a_dotted_path_to_something_that_cannot_be_called_is_refused(folder: Path) -> None:
    (folder / "house_feed.py").write_text("FEED = 5")
    with pytest.raises(UsageError, match="is a int, not a class or function that takes Settings"):
        create_provider({"data_provider": "house_feed:FEED"})


def test_an_unknown_name_is_answered_with_the_nearest_and_all_known_names() -> None:
    with pytest.raises(UnknownProvider) as caught:
        create_provider({"data_provider": "tastytrad"})
    assert str(caught.value).startswith("no provider is named 'tastytrad'; did you mean 'tastytrade'? Known: ")
    assert all(name in str(caught.value) for name in BUILT_IN)


def test_a_name_can_be_looked_up_without_making_a_provider(folder: Path) -> None:
    (folder / "house_feed.py").write_text("def make(settings):\n    raise RuntimeError('made')")
    for name in (*BUILT_IN, "house_feed:make"):
        assert callable(find(name))
    with pytest.raises(UnknownProvider, match="'ibb'; did you mean 'ib'"):
        find("ibb")


def test_a_mistake_in_the_config_comes_before_any_provider() -> None:
    with pytest.raises(ConfigError):
        create_provider({"data_provider": "mine", "symbols": []})


# --- entry points


def test_a_plugin_is_found_by_its_entry_point(folder: Path, plugins: Callable[..., None]) -> None:
    (folder / "house_feed.py").write_text(GOOD)
    plugins(house="house_feed:Feed")
    assert "house" in available()
    made: Any = create_provider({"data_provider": "house"})
    assert made.settings.data_provider == "house"


def test_a_broken_plugin_stops_nobody_else_and_shows_its_own_error_when_asked_for(folder: Path, plugins: Callable[..., None]) -> None:
    (folder / "house_feed.py").write_text(GOOD)
    (folder / "broken_feed.py").write_text("raise RuntimeError('no licence file')")
    plugins(broken="broken_feed:Feed", house="house_feed:Feed")
    assert {"broken", "house"} <= set(available())
    create_provider({"data_provider": "house"})
    with pytest.raises(UsageError, match=r"'broken' cannot be loaded .* RuntimeError: no licence file") as caught:
        create_provider({"data_provider": "broken"})
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_plugin_cannot_take_the_name_of_a_built_in_provider(plugins: Callable[..., None], caplog: pytest.LogCaptureFixture) -> None:
    plugins(ib="house_feed:Feed")
    assert available().count("ib") == 1
    assert "plugin an unnamed distribution (ib = house_feed:Feed) is ignored" in caplog.text


def test_two_plugins_of_one_name_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint("house", value, registry.GROUP) for value in ("first:Feed", "second:Feed")]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    with pytest.raises(UsageError, match=r"'house' is offered by .*first:Feed.* and by .*second:Feed"):
        create_provider({"data_provider": "house"})


# --- built-in providers


@pytest.fixture
def built_in(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Callable[[str], None]:
    def put(source: str) -> None:
        (folder / "stand_in.py").write_text(source)
        monkeypatch.setattr(registry, "_BUILT_IN", {"demo": "stand_in:create"})

    return put


def test_a_built_in_provider_is_made_by_its_create(built_in: Callable[[str], None]) -> None:
    built_in("def create(settings):\n    return settings.data_provider")
    made: Any = create_provider({"data_provider": "demo"})
    assert made == "demo"


@pytest.mark.parametrize("path", ["tastytrade_provider.not_yet_there:create", "tastytrade_provider.not_yet_there.provider:create"])
def test_a_built_in_whose_module_is_missing_is_not_supported(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(registry, "_BUILT_IN", {"demo": path})
    with pytest.raises(NotSupported, match=r"provider 'demo' is not part of this version: there is no tastytrade_provider.not_yet_there"):
        create_provider({"data_provider": "demo"})


@pytest.mark.parametrize("source", ["import ib_async", "def create(settings):\n    import ib_async.ib", "raise ImportError('too old', name='ib_async')"])
def test_a_missing_optional_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, built_in: Callable[[str], None], source: str) -> None:
    monkeypatch.setitem(sys.modules, "ib_async", None)
    built_in(source)
    with pytest.raises(MissingExtra, match=r"provider 'demo' needs ib_async: pip install 'tastytrade-provider\[ib\]'") as caught:
        create_provider({"data_provider": "demo"})
    assert isinstance(caught.value.__cause__, ImportError)


def test_an_import_that_fails_inside_a_built_in_is_not_called_missing(built_in: Callable[[str], None]) -> None:
    built_in("import tastytrade_provider.no_such_part")
    with pytest.raises(ModuleNotFoundError, match="no_such_part"):
        create_provider({"data_provider": "demo"})


def test_every_built_in_path_lies_in_this_package_and_ends_in_create() -> None:
    assert set(registry._BUILT_IN) == BUILT_IN
    assert all(path.startswith("tastytrade_provider.") and path.endswith(":create") for path in registry._BUILT_IN.values())
