"""config.yaml, secret files and the environment become `Settings`; every mistake is named where it stands.

What wins, first to last: the environment `TTP_*` (`__` nests: `TTP_IB__PORT`), with `TT_SECRET` and `TT_REFRESH` as second names of
the two TastyTrade secrets; files in the folder `TTP_SECRETS_DIR` (`client_secret`, `refresh_token`, `token`); the YAML file or dict;
defaults. An empty variable or file counts as not set. YAML is read by the 1.2 rules: `18:00`, `ON`, `NO` are text, only true and false
are booleans (a switch also understands on/off and yes/no). Importing this module imports neither pandas nor numpy nor the SDK.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from .config_file import VARIABLE, Given, Key, from_file, from_mapping
from .errors import ConfigError
from .settings import SECRETS, SECTIONS, UNREADABLE, Named, Settings, is_loopback

__all__ = ["Look", "Settings", "is_loopback", "load"]

Look = Callable[[Mapping[Key, Any]], Mapping[Key, str]]
"""Finds what only the world can tell: from every value that is good in itself, by key and as written, to what is wrong with some of them."""


def load(source: str | Path | Mapping[str, Any] | Settings | None = None, *, look: Look | None = None) -> Settings:
    """The settings of a YAML file, a dict (which may hold secrets) or nothing but the environment; `Settings` come back as they are.

    Raises ConfigError with one line for every mistake: where, key, value and what is accepted; never a secret. What `look` finds is told with the others.

    >>> load({"tastytrade": {"spread_legs": "hide"}})
    Traceback (most recent call last):
    tastytrade_provider.errors.ConfigError: config: tastytrade.spread_legs: 'hide' is not one of exclude, include
    """
    if isinstance(source, Settings):
        return source
    given = from_mapping(source or {}) if source is None or isinstance(source, Mapping) else from_file(_path(source))
    values = given.filled(SECRETS)
    if given.lines:  # a file, where secrets have no place
        for (section, name), names in SECRETS.items():
            written = given.get((section, name))
            if written not in (None, "") and not (isinstance(written, str) and VARIABLE.fullmatch(written)):
                values[str(section)][name] = None
                use = f"write ${{{names[-1]}}} here, or leave it out and set {' or '.join(names)}"
                given.mistakes[section, name] = f"a secret must not stand in the file (value hidden); {use}"
    for name in [name for name in values if name.startswith("_")]:  # BaseSettings would take these for orders to itself
        given.mistakes[name,] = _unknown((name,))
        del values[name]
    lines = [(given.line(key), f"{given.where(key)}: {_written(key)}: {text}") for key, text in given.mistakes.items()]
    errors: list[ErrorDetails] = []
    try:
        settings = Settings(**values)
    except ValidationError as error:
        errors = error.errors(include_url=False)
    named = Named.values()
    lines += [_explain(error, given, named) for error in errors if _place(error)[0] not in given.mistakes]
    if look is not None:
        good = _good(values, named, {*given.mistakes, *(_place(error)[0] for error in errors)})
        lines += [_placed(key, text, given, named) for key, text in look(good).items()]
    if lines:  # raised out here, so that no error with the values inside hangs on to this one
        raise ConfigError("\n".join(dict.fromkeys(text for _, text in sorted(lines))))
    return settings


def _path(source: object) -> Path:
    if isinstance(source, str | Path):
        return Path(source)
    accepted = "a path, a dict or Settings is accepted, or None for the environment alone"
    raise ConfigError(f"config: a {type(source).__name__} is no configuration; {accepted}")  # and not what it holds, which may be a secret


def _good(values: Mapping[str, Any], named: Mapping[Key, tuple[str, str]], bad: set[Key]) -> dict[Key, Any]:
    """What each key holds, as written or by default, but for those with a mistake."""
    found: dict[Key, Any] = {(name,): info.get_default() for name, info in Settings.model_fields.items() if name not in SECTIONS}
    found |= {(section, name): info.get_default() for section, kind in SECTIONS.items() for name, info in kind.model_fields.items()}
    for key in found:
        above = values if len(key) == 1 else values.get(str(key[0]))
        if isinstance(above, Mapping) and key[-1] in above:
            found[key] = above[str(key[-1])]
    found |= {key: text for key, (_, text) in named.items() if key in found}
    return {key: value for key, value in found.items() if not any(key == place[: len(key)] or place == key[: len(place)] for place in bad)}


# --- what to say


def _written(key: Key) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).lstrip(".")
    return text if re.fullmatch(r"[\w.\[\]-]{1,80}", text) else "(name hidden)"  # a colon forgotten, and a secret is part of the key


def _unknown(key: Key) -> str:
    *above, last = map(str, key)
    model: type[BaseModel] = SECTIONS[above[0]] if above else Settings
    known = {name: name for name in model.model_fields}
    if not above:
        known = {name: f"{section}.{name}" for section, part in SECTIONS.items() for name in part.model_fields} | known
    near = get_close_matches(last.lower(), known, 1)
    return "unknown key; " + (f"did you mean {known[near[0]]}?" if near else f"known here: {', '.join(model.model_fields)}")


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    if isinstance(value, Mapping | list):
        return ("a " if value else "an empty ") + ("list" if isinstance(value, list) else "section")
    text = re.sub(r"//[^/\s]*@", "//(hidden)@", str(value))[:80]
    return f"'{text}'" if isinstance(value, str) else text


def _place(error: ErrorDetails) -> tuple[Key, str]:
    """The key of an error, without the marks pydantic adds to it, and what the key accepts."""
    first, *rest = error["loc"]
    section = SECTIONS.get(str(first))
    if section and not rest:
        return (first,), f"a section of {', '.join(section.model_fields)}"
    key = (first, rest.pop(0)) if section else (first,)
    info = (section or Settings).model_fields.get(str(key[-1]))
    if info is None:
        return key, ""
    kind = get_origin(info.annotation)
    if rest and kind in (list, dict):
        return (*key, rest[0]), "a name (in quotes if it is a number)" if kind is list else "a number"
    if kind is Literal:
        return key, f"one of {', '.join(get_args(info.annotation))}"
    return key, "true or false" if info.annotation is bool else info.description or "text"


def _explain(error: ErrorDetails, given: Given, named: dict[Key, tuple[str, str]]) -> tuple[int, str]:
    """(line, sentence) for one error."""
    key, accepted = _place(error)
    origin = _origin(key, named)
    if key == UNREADABLE and origin:
        return 0, f"{origin[0]}: not a file of UTF-8 text that can be read"
    hidden = key in SECRETS or (len(key) == 1 and key[0] in SECTIONS)
    shown = "(value hidden)" if hidden else _shown(origin[1] if origin else given.get(key))
    text = f"{shown} is not {accepted}"
    if error["type"] == "extra_forbidden":
        text = _unknown(key)
    elif error["type"] == "missing_secret":
        written = given.get(key)  # ${NAME} or nothing
        text = f"{f'{written} is not set' if isinstance(written, str) and written else 'missing'}, but {error['msg']}"
    return _placed(key, text, given, named)


def _origin(key: Key, named: Mapping[Key, tuple[str, str]]) -> tuple[str, str] | None:
    """(variable or file, text) where the value came by a name of its own."""
    return next((named[k] for k in named if k == key[: len(k)] or key == k[: len(key)]), None)


def _placed(key: Key, text: str, given: Given, named: Mapping[Key, tuple[str, str]]) -> tuple[int, str]:
    """(line, sentence) for what is wrong with a key."""
    origin = _origin(key, named)
    return (0 if origin else given.line(key)), f"{origin[0] if origin else given.where(key)}: {_written(key)}: {text}"
