"""What can be configured and what each key may hold; values from the environment and from secret files come in here.

`config.load` is the door for a config file. Importing this module imports neither pandas nor numpy nor the SDK.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import datetime
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from .config_file import Key
from .errors import UnsupportedTimeframe

SECRETS: Final[dict[Key, tuple[str, ...]]] = {  # the variables that hold them, first choice first
    ("tastytrade", "client_secret"): ("TTP_TASTYTRADE__CLIENT_SECRET", "TT_SECRET"),
    ("tastytrade", "refresh_token"): ("TTP_TASTYTRADE__REFRESH_TOKEN", "TT_REFRESH"),
    ("service", "token"): ("TTP_SERVICE__TOKEN",),
}
UNREADABLE: Final = ("secrets_dir",)


# --- what a key may hold: a field's description completes the sentence "'x' is not ..."


def is_loopback(host: str) -> bool:
    """True where only this machine can be meant: localhost, 127.0.0.0/8, ::1.

    >>> is_loopback("127.0.0.9"), is_loopback("127.0.0.1.example.com")
    (True, False)
    """
    try:
        return host.lower() == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _timeframe(text: str) -> str:
    from .model import Timeframe  # brings numpy: not wanted by those who only import this module

    try:
        return str(Timeframe.parse(text))
    except UnsupportedTimeframe as error:
        raise ValueError(str(error)) from None


def _time(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError
    return text


def _api_url(text: str) -> str:
    url = urlsplit(text)
    # "@" and "\" are where two readers of one address may see two different hosts
    plain = bool(url.hostname) and (url.port is None or url.port > 0) and not re.search(r"[@\\\s]", text)
    if not plain or not (url.scheme == "https" or (url.scheme == "http" and is_loopback(url.hostname or ""))):
        raise ValueError
    return text


def _listed(value: object) -> object:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


Name = Annotated[str, Field(min_length=1)]
Names = Annotated[list[Name], BeforeValidator(_listed)]
Port = Annotated[int, Field(ge=1, le=65535, description="a port, 1 to 65535")]
Speed = Annotated[Annotated[float, Field(gt=0, allow_inf_nan=False)] | Literal["max"], Field(description="a number above 0, or max")]
Filter = Literal["exclude", "include"]
Secret = Annotated[SecretStr | None, Field(description="text")]


def _required(value: SecretStr | None, key: Key, needed: bool, why: str) -> SecretStr | None:
    if needed and not (value and value.get_secret_value().strip()):
        names = " or ".join(SECRETS[key])
        raise PydanticCustomError("missing_secret", "{why}; set {names}", {"why": why, "names": names})
    return value


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class TastytradeSettings(_Section):
    """Login and choice of the order flow source. `enabled` under `data_provider: ib` means `delta_provider: tastytrade`: delta beside IB's bars."""

    enabled: bool = False
    client_secret: Secret = Field(default=None, validate_default=True)
    refresh_token: Secret = Field(default=None, validate_default=True)
    is_test: bool = False
    api_url: Annotated[str, AfterValidator(_api_url)] | None = Field(
        default=None, description="an https address without a login in it, or http on loopback (localhost, 127.0.0.0/8, ::1)"
    )
    delta_source: Literal["auto", "time_and_sale", "candle", "quote_trade", "tick_rule"] = "auto"
    spread_legs: Filter = "exclude"
    invalid_ticks: Filter = "exclude"

    @field_validator("client_secret", "refresh_token")
    @classmethod
    def _needed_once_enabled(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        return _required(value, ("tastytrade", str(info.field_name)), info.data.get("enabled", False), "tastytrade is in use")


class IbSettings(_Section):
    """Where TWS or IB Gateway listens."""

    host: Name = Field(default="127.0.0.1", description="a host name or address")
    port: Port = 7497
    client_id: int = Field(default=1, ge=0, description="a whole number, 0 or more")


class ReplaySettings(_Section):
    """A recorded journal or tape to play back. `speed` 1 is as it happened, `max` as fast as it is read; `start`: what lies before it is history."""

    path: Path | None = Field(default=None, description="a path")
    speed: Speed = 1.0
    start: Annotated[str, AfterValidator(_time)] | None = Field(default=None, description="a time with its zone, such as 2026-11-20T14:30:00Z, or nothing")


class AbSettings(_Section):
    """Two providers side by side. `failover_s`: seconds of silence after which the shadow serves; None never."""

    primary: Name = Field(default="ib", description="the name of a provider")
    shadow: Name = Field(default="tastytrade", description="the name of a provider")
    thresholds: dict[str, float] = Field(default={}, description="a section of names with a number each")
    failover_s: float | None = Field(default=None, gt=0, allow_inf_nan=False, description="a number of seconds above 0, or nothing")


class ServiceSettings(_Section):
    """Where the web service listens; any address but loopback needs the token."""

    host: Name = Field(default="127.0.0.1", description="a host name or address")
    port: Port = 8000
    token: Secret = Field(default=None, validate_default=True)

    @field_validator("token")
    @classmethod
    def _needed_beyond_loopback(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        host = info.data.get("host", "localhost")
        return _required(value, ("service", "token"), not is_loopback(host), f"service.host {host} can be reached from other machines")


class JournalSettings(_Section):
    """Where the raw feed is kept, and whether."""

    path: Path = Field(default=Path("journal"), description="a path")
    enabled: bool = False


class DemoSettings(_Section):
    """The market without an account. `tape` None: one made from `seed`."""

    tape: Path | None = Field(default=None, description="a path")
    speed: Speed = 1.0
    seed: int = Field(default=1, ge=0, description="a whole number, 0 or more")


class Settings(BaseSettings):
    """Everything that can be configured, checked. Also built directly, `Settings(symbols=["NQ"])`; the environment wins there too.

    >>> Settings().data_provider, Settings().symbols
    ('demo', ['ES', 'NQ'])
    """

    # validate_default would have every default timeframe import numpy
    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=False)

    data_provider: Name = Field(default="demo", description="the name of a provider, or package.module:Class")
    symbols: Names = Field(default=["ES", "NQ"], min_length=1, description="a list of at least one name, such as [ES, NQ]")
    timeframe: Annotated[str, AfterValidator(_timeframe)] = Field(
        default="1m", description="a number followed by s m h d w mo t v r, up to one session, such as 5s 1m 15m 1h 1d 1w 1mo 133t 1000v 8r"
    )
    indicators: Names = Field(default=["volume_delta", "cvd", "delta_divergence"], description="a list of names, such as [cvd]")
    delta_columns: bool = False
    delta_provider: Name | None = Field(default=None, description="the name of a provider, or nothing")
    tastytrade: TastytradeSettings = TastytradeSettings()
    ib: IbSettings = IbSettings()
    replay: ReplaySettings = ReplaySettings()
    ab: AbSettings = AbSettings()
    service: ServiceSettings = ServiceSettings()
    journal: JournalSettings = JournalSettings()
    demo: DemoSettings = DemoSettings()

    @model_validator(mode="before")
    @classmethod
    def _tastytrade_in_use_is_enabled(cls, data: dict[str, Any]) -> dict[str, Any]:
        data = {key: value for key, value in data.items() if value is not None or key not in SECTIONS}  # an empty section is its defaults
        ab, ours = (dict(part) if isinstance(part := data.get(key, {}), Mapping | BaseModel) else None for key in ("ab", "tastytrade"))
        used = [data.get("data_provider"), data.get("delta_provider")]
        if data.get("data_provider") == "ab" and ab is not None:
            used += [ab.get("primary", AbSettings().primary), ab.get("shadow", AbSettings().shadow)]
        if "tastytrade" in used and ours is not None:
            return data | {"tastytrade": ours | {"enabled": True}}
        if data.get("data_provider") == "ib" and not data.get("delta_provider") and ours is not None and str(ours.get("enabled")).lower() == "true":
            return data | {"delta_provider": "tastytrade"}
        return data

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (Named(settings_cls), init_settings)


SECTIONS: Final = {name: kind for kind in _Section.__subclasses__() for name, f in Settings.model_fields.items() if f.annotation is kind}


# --- where values come from


class Named(PydanticBaseSettingsSource):
    """What arrives under a name of its own: secret files, and above them the environment."""

    @staticmethod
    def values() -> dict[Key, tuple[str, str]]:
        """Key -> (the variable or file, the text). `TTP_` has other uses too: a name that resembles no key of ours is left alone."""
        found: dict[Key, tuple[str, str]] = {}
        for key in SECRETS if (folder := os.environ.get("TTP_SECRETS_DIR", "")) else ():
            file = Path(folder, str(key[-1]))
            try:
                if not file.parent.is_dir() or file.exists():
                    found |= {key: (str(file), text)} if (text := file.read_text("utf-8").strip()) else {}
            except (OSError, UnicodeDecodeError):
                found[UNREADABLE] = (f"TTP_SECRETS_DIR: {file}", "")  # no such key, so it is reported with the other mistakes
        for key, names in SECRETS.items():
            for name in names[1:]:
                if text := os.environ.get(name, "").strip():
                    found[key] = (name, text)
        for name, text in os.environ.items():
            first, *rest = name.removeprefix("TTP_").lower().split("__")
            ours = bool(rest) or get_close_matches(first, Settings.model_fields, cutoff=0.8)
            if name.startswith("TTP_") and ours and text.strip():
                found[first, *rest] = (name, text.strip())
        return found

    def __call__(self) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        for key, (_, text) in sorted(self.values().items(), key=lambda item: len(item[0])):
            *above, last = map(str, key)
            level: Any = tree
            for part in above:
                level = level.setdefault(part, {}) if isinstance(level, dict) else None
            if isinstance(level, dict):  # else TTP_IB=x stands beside TTP_IB__PORT, and the first is the mistake
                level[last] = text
        return tree

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError("the values come all at once")
