"""`config check`, and how every command reads its configuration: what only this machine can tell is a mistake like any other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from ..config import load
from ..config_file import Key
from ..errors import MarketDataError, UsageError
from ..indicators import IndicatorManager
from ..registry import find
from ..settings import Settings

_PROVIDERS: tuple[Key, ...] = (("data_provider",), ("delta_provider",), ("ab", "primary"), ("ab", "shadow"))
_PATHS: dict[str, Key] = {"demo": ("demo", "tape"), "replay": ("replay", "path")}
"""Provider -> what it plays."""


def run(path: str | None, config_path: str | None, as_json: bool) -> None:
    """Run it; see `config check --help`."""
    if path and config_path:
        raise UsageError("two files are named; `config check` reads one")
    source = Path(path or config_path or "config.yaml")
    settings = load(source, look=lambda values: {**dict(_missing(values)), **dict(_mistakes(values))})
    if as_json:
        click.echo(settings.model_dump_json())
    else:
        enabled = "with TastyTrade delta" if settings.tastytrade.enabled else "without a TastyTrade login"
        click.echo(f"{source}: good. data_provider {settings.data_provider}, {', '.join(settings.symbols)}, {settings.timeframe}, {enabled}.")


def read(source: str | Path | None) -> Settings:
    """The settings of a file, or without one of the environment. ConfigError names every mistake: providers and indicators that nobody offers, and
    tapes and journals that are not there, too."""
    return load(source, look=lambda values: dict(_mistakes(values)))


def _mistakes(values: Mapping[Key, Any]) -> Iterator[tuple[Key, str]]:
    for key in _PROVIDERS:
        if values.get(key):
            yield from _refused(key, find, str(values[key]))
    names = values.get(("indicators",), ())
    manager = IndicatorManager()
    for at, name in enumerate(names.split(",") if isinstance(names, str) else names):
        yield from _refused(("indicators", at), manager.create, name.strip())
    used = _used(values)
    for provider, key in _PATHS.items():
        path = values.get(key)
        if provider in used and path and not Path(path).exists():
            yield key, f"'{path}' is not there; a path that is, or nothing"


def _missing(values: Mapping[Key, Any]) -> Iterator[tuple[Key, str]]:
    """What a provider cannot do without. Not of `read`: `replay PATH` brings its own."""
    key = _PATHS["replay"]
    if "replay" in _used(values) and not values.get(key, "with a mistake of its own"):
        yield key, "missing, but replay is in use; a journal's folder, a session file or a tape is accepted"


def _used(values: Mapping[Key, Any]) -> set[Any]:
    return {values.get(key) for key in (_PROVIDERS if values.get(("data_provider",)) == "ab" else _PROVIDERS[:2])}


def _refused(key: Key, ask: Callable[[str], object], name: str) -> Iterator[tuple[Key, str]]:
    try:
        ask(name)
    except MarketDataError as error:
        yield key, str(error)
