"""The name of a provider becomes a provider; nothing is imported before it is asked for.

Names come from four places, the first that knows one wins: `register_provider`, the table below, entry points of the group
`tastytrade_provider.providers`, and `package.module:Class` written out. Each leads to a factory: a callable that takes Settings and
returns a DataProvider.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .config import Settings, load
from .errors import MissingExtra, NotSupported, UnknownProvider, UsageError

if TYPE_CHECKING:
    from .provider import DataProvider

Factory = Callable[[Settings], "DataProvider"]

GROUP: Final = "tastytrade_provider.providers"
_BUILT_IN: Final = {
    "ab": "tastytrade_provider.ab:create",
    "bus": "tastytrade_provider.bus:create",
    "demo": "tastytrade_provider.demo:create",
    "ib": "tastytrade_provider.ib.provider:create",
    "replay": "tastytrade_provider.replay:create",
    "tastytrade": "tastytrade_provider.tastytrade.provider:create",
}
_EXTRAS: Final = {  # package -> the extra that brings it
    "distributed": "cluster",
    "fastapi": "service",
    "ib_async": "ib",
    "libcst": "migrate",
    "matplotlib": "plot",
    "nats": "bus",
    "prometheus_client": "service",
    "pyarrow": "store",
    "starlette": "service",
    "talib": "talib",
    "uvicorn": "service",
}
_registered: Final[dict[str, Factory]] = {}
_log = logging.getLogger(__name__)


def register_provider(name: str, factory: Factory, replace: bool = False) -> None:
    """Make `data_provider: name` mean `factory(settings)`.

    Raises UsageError where the name is taken, unless `replace`, and where it holds a colon, which marks a dotted path.

    >>> register_provider("tape-of-mine", lambda settings: MyProvider(settings.symbols))
    >>> "tape-of-mine" in available()
    True
    """
    if not name or ":" in name:
        raise UsageError(f"provider name {name!r} is empty or holds a colon; a colon marks package.module:Class")
    if not replace and name in available():
        raise UsageError(f"a provider named {name!r} is there already; choose another name, or pass replace=True")
    _registered[name] = factory


def available() -> list[str]:
    """All known names, sorted. Nothing is imported: a provider may still say NotSupported or MissingExtra when it is asked for."""
    return sorted({*_registered, *_BUILT_IN, *_plugins()})


def create_provider(config: str | Path | Mapping[str, Any] | Settings | None = None) -> DataProvider:
    """The provider that `data_provider` names, not yet connected. `config` is a path, a dict or Settings (see `config.load`).

    With `delta_columns` or `delta_provider` its bars carry the configured indicators, and delta comes from the second provider (see `enrich`).
    Raises ConfigError; UnknownProvider; MissingExtra where an optional package is not installed; NotSupported where this version has no
    such provider; UsageError, with the cause, where a plugin cannot be loaded.
    """
    settings = load(config)
    provider = find(settings.data_provider)(settings)
    if settings.delta_columns or settings.delta_provider:
        wrapped: DataProvider = attrgetter("enriched")(import_module("tastytrade_provider.enrich"))(provider, settings)
        return wrapped
    return provider


def find(name: str) -> Factory:
    """What makes the provider of that name from Settings; of this package's own nothing is imported yet.

    Raises UnknownProvider with the nearest guess; UsageError, with the cause, where a plugin cannot be loaded.
    """
    if name in _registered:
        return _registered[name]
    if name in _BUILT_IN:
        return partial(_built_in, name)
    if ":" in name:
        return _loaded(name, name)
    points = _plugins().get(name, [])
    if len(points) > 1:
        raise UsageError(f"provider {name!r} is offered by {' and by '.join(map(_offer, points))}; uninstall one, or write the one you mean")
    if not points:
        near = get_close_matches(name, available(), 1)
        guess = f"did you mean {near[0]!r}? " if near else ""
        raise UnknownProvider(f"no provider is named {name!r}; {guess}Known: {', '.join(available())}, or package.module:Class")
    return _loaded(name, points[0].value)


def _plugins() -> dict[str, list[EntryPoint]]:
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        if point.name in _BUILT_IN:
            _log.warning("plugin %s is ignored: the name belongs to a provider of this package", _offer(point))
        elif point not in found.setdefault(point.name, []):
            found[point.name].append(point)
    return found


def _offer(point: EntryPoint) -> str:
    return f"{point.dist.name if point.dist else 'an unnamed distribution'} ({point.name} = {point.value})"


def _loaded(name: str, path: str) -> Factory:
    module, _, attribute = path.partition(":")
    try:
        factory = attrgetter(attribute)(import_module(module))
    except Exception as error:  # a plugin may fail in any way it likes; what it said is the cause
        raise UsageError(f"provider {name!r} cannot be loaded from {path!r}: {type(error).__name__}: {error}") from error
    if not callable(factory):
        raise UsageError(f"provider {name!r}: {path!r} is a {type(factory).__name__}, not a class or function that takes Settings")
    made: Factory = factory
    return made


def _built_in(name: str, settings: Settings) -> DataProvider:
    module, _, attribute = _BUILT_IN[name].partition(":")
    try:
        made: DataProvider = getattr(import_module(module), attribute)(settings)
    except ImportError as error:
        missing = error.name or ""
        if isinstance(error, ModuleNotFoundError) and missing in (module, module.rpartition(".")[0]):
            raise NotSupported(f"provider {name!r} is not part of this version: there is no {module}") from error
        package = missing.partition(".")[0]
        if package in _EXTRAS:
            raise MissingExtra(f"provider {name!r} needs {package}: pip install 'tastytrade-provider[{_EXTRAS[package]}]'") from error
        raise
    return made
