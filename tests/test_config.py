"""What a config may say, who wins, and how every mistake is named."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from tastytrade_provider.config import Settings, is_loopback, load
from tastytrade_provider.config_file import from_file
from tastytrade_provider.errors import ConfigError

SHIPPED = Path(__file__).parents[1] / "config.yaml"
SECRET = "s3cr3t-9f8e7d6c5b4a"
Write = Callable[[str], Path]


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("TTP_") or name in ("TT_SECRET", "TT_REFRESH"):
            monkeypatch.delenv(name)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> Path:
        Path("config.yaml").write_text(text, "utf-8")
        return Path("config.yaml")

    return write


def refusal(source: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(source)  # type: ignore[arg-type]
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return str(caught.value).splitlines()


# --- as shipped


def test_the_shipped_file_loads_without_any_secret_set_and_says_the_same_as_the_defaults() -> None:
    assert load(SHIPPED) == load(None) == load({})


def test_the_defaults_are_the_promised_ones() -> None:
    settings = load()
    assert (settings.data_provider, settings.symbols, settings.timeframe) == ("demo", ["ES", "NQ"], "1m")
    assert settings.indicators == ["volume_delta", "cvd", "delta_divergence"]
    assert (settings.tastytrade.enabled, settings.tastytrade.delta_source) == (False, "auto")
    assert (settings.tastytrade.spread_legs, settings.tastytrade.invalid_ticks) == ("exclude", "exclude")
    assert settings.service.host == "127.0.0.1"


def test_the_shipped_file_has_every_key_each_with_a_comment() -> None:
    lines = SHIPPED.read_text("utf-8").splitlines()
    keys: set[tuple[str, ...]] = set()
    for name, info in Settings.model_fields.items():
        kind = info.annotation
        inner = kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else {}
        keys |= {(name, part) for part in inner} or {(name,)}
    given = from_file(SHIPPED)
    assert keys <= given.lines.keys()
    assert [key for key in keys if " # " not in lines[given.lines[key] - 1]] == []


def test_importing_the_config_imports_no_heavy_package() -> None:
    code = "import sys, tastytrade_provider.config; print([m for m in ('pandas','numpy','numba','tastytrade','pyarrow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=SHIPPED.parent, timeout=60)
    assert done.stdout.strip() == "[]"


# --- YAML 1.2


@pytest.mark.parametrize("text", ["18:00", "09:30", "ON", "NO", "off", "yes", "/ESZ6:XCME", "2025-01-01", "6E", "<<", "=", "1_000"])
def test_what_yaml_1_1_would_turn_into_something_else_stays_text(write: Write, text: str) -> None:
    assert load(write(f"symbols: [ES, {text}]")).symbols == ["ES", text]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("true", True), ("False", False), ("~", None), ("", None), ("010", 10), ("0o10", 8), ("0xFF", 255), ("-5", -5)],
        *[("1e3", 1000.0), (".5", 0.5), ("-.inf", float("-inf")), ('"5"', "5"), ("'true'", "true"), ("!!str 5", "5")],
    ],
)
def test_scalars_are_read_by_the_yaml_1_2_core_schema(write: Write, text: str, value: object) -> None:
    found = from_file(write(f"key: {text}")).values["key"]
    assert (found, type(found)) == (value, type(value))


def test_a_switch_may_also_say_off(write: Write) -> None:
    assert load(write("tastytrade: {is_test: on}\ndelta_columns: off")).tastytrade.is_test is True


@pytest.mark.parametrize("text", ["", "# nothing\n", "replay:\nib:\n"])
def test_an_empty_file_or_section_means_the_defaults(write: Write, text: str) -> None:
    assert load(write(text)) == load()


def test_a_key_written_twice_names_both_lines(write: Write) -> None:
    assert refusal(write("symbols: [ES]\ntimeframe: 1m\nsymbols: [NQ]")) == ["config.yaml:3: symbols: written twice, first on line 1"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("symbols: [ES\ntimeframe: 1m", "config.yaml:2:10: not YAML: "),
        ("ib:\n\tport: 1", "config.yaml:2:1: not YAML: "),
        (f"tastytrade:\n  client_secret: *{SECRET}", "config.yaml:2:18: not YAML: "),
        ("tastytrade: {client_secret: ${TT_SECRET}}", "config.yaml:1:30: not YAML: "),
        ("a: 1\n---\nb: 2", "config.yaml:2:1: not YAML: "),
        ("- ES\n- NQ", "config.yaml:1: not a set of keys"),
        ("a: \x01", "config.yaml: not YAML: "),
        ("ib: &a\n  port: *a", "config.yaml: nested too deeply"),
    ],
)
def test_malformed_yaml_is_one_line_with_line_and_column(write: Write, text: str, place: str) -> None:
    (line,) = refusal(write(text))
    assert line.startswith(place)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("symbols: [ES", "1:13: not YAML: the file ends inside what begins on line 1: a bracket, a brace or a quote is not closed"),
        ("symbols: [ES\ntimeframe: 1m", "2:10: not YAML: a comma, or the end of what was opened on line 1 with a bracket or brace, is missing before this"),
        (
            f"tastytrade: {{client_secret: {SECRET}, refresh_token: ${{TT_REFRESH}}}}",
            '1:66: not YAML: a { stands where a comma or the end belongs; inside { } and [ ] write "${NAME}" in quotes',
        ),
        ("ib:\n\tport: 1", "2:1: not YAML: a tab stands where only spaces may; indent with spaces"),
        (f"tastytrade:\n  client_secret: *{SECRET}", "2:18: not YAML: an alias (*name) of nothing; write a text that begins with * in quotes"),
        (f"a: &{SECRET} 1\nb: &{SECRET} 2", "2:4: not YAML: this anchor (&name) is there already; write a text that begins with & in quotes"),
        ("a: b: c", "1:5: not YAML: a colon that does not belong here: write text that holds one in quotes, and indent the lines of a section alike"),
        (f"a: !{SECRET}!x y", "1:4: not YAML: found undefined tag handle a word"),
        (f"a: '{SECRET}' {SECRET}", "1:26: not YAML: this does not belong to what stands above it: indent the lines of a section alike"),
    ],
)
def test_malformed_yaml_is_told_in_words_and_never_in_those_of_the_file(write: Write, text: str, said: str) -> None:
    (line,) = refusal(write(text))  # which looks for the secret
    assert line.startswith(f"config.yaml:{said}")


def test_bytes_that_are_not_utf_8_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes(b"symbols: [\xff\xfe]")
    assert len(refusal(tmp_path / "config.yaml")) == 1


def test_a_missing_file_is_named() -> None:
    assert refusal("nowhere/config.yaml") == [f"{Path('nowhere/config.yaml')}: cannot be read: No such file or directory"]


def test_a_tag_never_builds_an_object(write: Write) -> None:
    assert refusal(write("data_provider: !!python/name:os.system x")) == [
        "config.yaml:1: data_provider: has a tag (!...) that does not fit; write the value without one"
    ]


# --- mistakes


MISTAKES = [
    (
        "tastytrade: {delta_source: tape}",
        "tastytrade.delta_source: 'tape' is not one of auto, time_and_sale, candle, quote_trade, tick_rule",
    ),
    ("tastytrade: {spread_legs: 1}", "tastytrade.spread_legs: 1 is not one of exclude, include"),
    ("delta_columns: perhaps", "delta_columns: 'perhaps' is not true or false"),
    ("delta_colums: true", "delta_colums: unknown key; did you mean delta_columns?"),
    ("ib: {prot: 1}", "ib.prot: unknown key; did you mean port?"),
    ("ib: {xyz: 1}", "ib.xyz: unknown key; known here: host, port, client_id"),
    ("delta_source: auto", "delta_source: unknown key; did you mean tastytrade.delta_source?"),
    ("_cli_parse_args: true", "_cli_parse_args: unknown key; known here: data_provider, "),
    ("ib: {port: 70000}", "ib.port: 70000 is not a port, 1 to 65535"),
    ("ib: {port: }", "ib.port: nothing is not a port, 1 to 65535"),
    ("ib: tws", "ib: (value hidden) is not a section of host, port, client_id"),
    ("symbols: []", "symbols: an empty list is not a list of at least one name, such as [ES, NQ]"),
    ("symbols: {ES: 1}", "symbols: a section is not a list of at least one name, such as [ES, NQ]"),
    ("symbols: [ES, 5]", "symbols[1]: 5 is not a name (in quotes if it is a number)"),
    ("symbols: [ES, true]", "symbols[1]: true is not a name (in quotes if it is a number)"),
    ("data_provider: [tastytrade]", "data_provider: a list is not the name of a provider, or package.module:Class"),
    ("timeframe: 7x", "timeframe: '7x' is not a number followed by s m h d w mo t v r"),
    ("replay: {speed: fast}", "replay.speed: 'fast' is not a number above 0, or max"),
    ("replay: {start: 2026-11-20T14:30:00}", "replay.start: '2026-11-20T14:30:00' is not a time with its zone, such as 2026-11-20T14:30:00Z, or nothing"),
    ("replay: {start: 14:30}", "replay.start: '14:30' is not a time with its zone"),
    ("replay: {start: end}", "replay.start: 'end' is not a time with its zone"),
    ("replay: {start: 20261120}", "replay.start: 20261120 is not a time with its zone"),
    ("demo: {speed: .nan}", "demo.speed: nan is not a number above 0, or max"),
    ("ab: {thresholds: {price: much}}", "ab.thresholds.price: 'much' is not a number"),
    ("ab: {failover_s: 0}", "ab.failover_s: 0 is not a number of seconds above 0, or nothing"),
    ("journal: {path: '${NOT_SET_HERE}/x'}", "journal.path: ${NOT_SET_HERE} is not set in the environment"),
    (
        "service: {host: 0.0.0.0}",
        "service.token: missing, but service.host 0.0.0.0 can be reached from other machines; set TTP_SERVICE__TOKEN",
    ),
    (f"tastytrade: {{'client_secret:{SECRET}': 1}}", "(name hidden): unknown key; "),
]


@pytest.mark.parametrize(("text", "said"), MISTAKES)
def test_a_mistake_names_line_key_value_and_what_is_accepted(write: Write, text: str, said: str) -> None:
    (line,) = refusal(write(f"# a comment\n\n{text}"))
    assert line.startswith(f"config.yaml:3: {said}")


def test_all_mistakes_are_reported_at_once_in_the_order_of_their_lines(write: Write) -> None:
    text = """\
data_provider: tastytrade
timeframe: 7x
indicatrs: [cvd]
tastytrade:
  delta_source: tape
  client_secret: ${TT_SECRET}
ib: {port: 0, client_id: -1}
service:
  host: 0.0.0.0
symbols: [ES]
symbols: [NQ]
"""
    lines = refusal(write(text))
    places = [re.match(r"config\.yaml:(\d+): ([\w.]+): ", line) for line in lines]
    assert [match and (int(match[1]), match[2]) for match in places] == [
        (2, "timeframe"),
        (3, "indicatrs"),
        (4, "tastytrade.refresh_token"),
        (5, "tastytrade.delta_source"),
        (6, "tastytrade.client_secret"),
        (7, "ib.client_id"),
        (7, "ib.port"),
        (8, "service.token"),
        (11, "symbols"),
    ]


def test_a_mistake_in_a_dict_has_no_line() -> None:
    assert refusal({"ib": {"port": "x"}}) == ["config: ib.port: 'x' is not a port, 1 to 65535"]


# --- who wins


def test_the_environment_wins_over_secret_files_and_those_over_yaml_and_that_over_defaults(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def secret() -> str:
        value = load(path).tastytrade.client_secret
        return value.get_secret_value() if value else "none"

    path = write("tastytrade: {client_secret: '${FROM_YAML}'}")
    seen = [secret()]
    monkeypatch.setenv("FROM_YAML", "yaml")
    seen.append(secret())
    (tmp_path / "client_secret").write_text("file\n")
    monkeypatch.setenv("TTP_SECRETS_DIR", str(tmp_path))
    seen.append(secret())
    monkeypatch.setenv("TT_SECRET", "alias")
    seen.append(secret())
    monkeypatch.setenv("TTP_TASTYTRADE__CLIENT_SECRET", "full name")
    seen.append(secret())
    assert seen == ["none", "yaml", "file", "alias", "full name"]


def test_the_environment_reaches_every_kind_of_key(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "TTP_DATA_PROVIDER": "ib",
        "TTP_SYMBOLS": "ES, MNQ",
        "TTP_DELTA_COLUMNS": "true",
        "TTP_IB__PORT": "4002",
        "TTP_AB__THRESHOLDS__PRICE": "0.5",
        "TTP_REPLAY__SPEED": "max",
        "TTP_REPLAY__START": "2026-11-20T08:30:00-06:00",
        "TTP_TIMEFRAME": "133t",
    }.items():
        monkeypatch.setenv(name, value)
    settings = load(write("symbols: [NQ]\nib: {port: 7496, client_id: 9}\nab: {thresholds: {volume: 2}}"))
    assert (settings.data_provider, settings.symbols, settings.delta_columns, settings.timeframe) == ("ib", ["ES", "MNQ"], True, "133t")
    assert (settings.ib.port, settings.ib.client_id) == (4002, 9)
    assert settings.ab.thresholds == {"price": 0.5, "volume": 2.0}
    assert (settings.replay.speed, settings.replay.start) == ("max", "2026-11-20T08:30:00-06:00")


def test_an_empty_variable_counts_as_not_set(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTP_IB__PORT", "")
    monkeypatch.setenv("TT_SECRET", " ")
    settings = load(write("ib: {port: 4001}\ntastytrade: {client_secret: '${TT_SECRET}'}"))
    assert (settings.ib.port, settings.tastytrade.client_secret) == (4001, None)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("TTP_IB__PORT", "x", "TTP_IB__PORT: ib.port: 'x' is not a port, 1 to 65535"),
        ("TTP_SYMBOLS", "ES,,NQ", "TTP_SYMBOLS: symbols[1]: "),
        ("TTP_IB__PROT", "1", "TTP_IB__PROT: ib.prot: unknown key; did you mean port?"),
        ("TTP_TASTYTRDE__CLIENT_SECRET", SECRET, "TTP_TASTYTRDE__CLIENT_SECRET: tastytrde: unknown key; did you mean tastytrade?"),
        ("TTP_TIMEFRAM", "1m", "TTP_TIMEFRAM: timefram: unknown key; did you mean timeframe?"),
        ("TTP_TASTYTRADE", SECRET, "TTP_TASTYTRADE: tastytrade: (value hidden) is not a section of enabled, "),
        (
            "TTP_TASTYTRADE__CLIENT_SECRET__X",
            SECRET,
            "TTP_TASTYTRADE__CLIENT_SECRET__X: tastytrade.client_secret: (value hidden) is not text",
        ),
        ("TTP_SECRETS_DIR", "/no/such/folder", "TTP_SECRETS_DIR: "),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(write: Write, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str) -> None:
    monkeypatch.setenv(name, value)
    (line,) = refusal(write("ib: {port: 4001}\nsymbols: [ES, NQ]"))
    assert line.startswith(said)


def test_variables_of_other_tools_with_the_same_prefix_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTP_TAPES", "somewhere")
    monkeypatch.setenv("TTP_OFFLINE", "1")
    load()


def test_a_secret_file_that_is_not_text_is_named_and_not_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_bytes(SECRET.encode() + b"\xff")
    monkeypatch.setenv("TTP_SECRETS_DIR", str(tmp_path))
    (line,) = refusal({})
    assert line == f"TTP_SECRETS_DIR: {tmp_path / 'token'}: not a file of UTF-8 text that can be read"


def test_settings_pass_through_as_they_are() -> None:
    settings = Settings(symbols=["MNQ"])
    assert load(settings) is settings


# --- secrets


@pytest.mark.parametrize(
    ("key", "use"),
    [
        ("tastytrade.client_secret", "${TT_SECRET}"),
        ("tastytrade.refresh_token", "${TT_REFRESH}"),
        ("service.token", "${TTP_SERVICE__TOKEN}"),
    ],
)
@pytest.mark.parametrize("value", [SECRET, f"'{SECRET}'", f"x${{TT_SECRET}}{SECRET}", f"[{SECRET}]", f"{{a: {SECRET}}}", "12345"])
def test_a_secret_written_into_the_file_is_refused_without_being_shown(write: Write, key: str, use: str, value: str) -> None:
    section, name = key.split(".")
    (line,) = refusal(write(f"{section}:\n  {name}: {value}"))
    assert line.startswith(f"config.yaml:2: {key}: a secret must not stand in the file (value hidden); write {use} here")
    assert "12345" not in line


def test_a_dict_may_hold_secrets_because_a_program_may_have_fetched_them() -> None:
    settings = load({"data_provider": "tastytrade", "tastytrade": {"client_secret": SECRET, "refresh_token": SecretStr(SECRET)}})
    assert settings.tastytrade.client_secret == settings.tastytrade.refresh_token == SecretStr(SECRET)


def test_no_secret_shows_in_repr_or_dump(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TT_SECRET", "TT_REFRESH", "TTP_SERVICE__TOKEN"):
        monkeypatch.setenv(name, SECRET)
    settings = load(SHIPPED)
    assert settings.service.token == SecretStr(SECRET)
    shown = [repr(settings), str(settings), str(settings.model_dump()), str(settings.model_dump(mode="json")), settings.model_dump_json()]
    assert [text for text in shown if SECRET in text] == []


def test_settings_built_directly_do_not_show_a_secret_in_their_error() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(tastytrade={"client_secret": [SECRET], "enabled": SECRET})  # type: ignore[arg-type]
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "data_provider: tastytrade",
        "data_provider: tastytrade\ntastytrade: {enabled: false}",
        "data_provider: ib\ntastytrade: {enabled: true}",
        "data_provider: ib\ndelta_provider: tastytrade",
        "data_provider: ab",
        "data_provider: ab\nab: {primary: tastytrade, shadow: replay}",
    ],
)
def test_tastytrade_in_use_is_enabled_and_needs_both_secrets(write: Write, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    path = write(text)
    first, second = refusal(path)
    assert "tastytrade.client_secret: missing" in first
    assert first.endswith("set TTP_TASTYTRADE__CLIENT_SECRET or TT_SECRET")
    assert "tastytrade.refresh_token: missing" in second
    assert second.endswith("set TTP_TASTYTRADE__REFRESH_TOKEN or TT_REFRESH")
    monkeypatch.setenv("TT_SECRET", SECRET)
    monkeypatch.setenv("TT_REFRESH", SECRET)
    assert load(path).tastytrade.enabled


def test_a_variable_named_in_the_file_and_not_set_is_named_once_the_section_is_in_use(write: Write) -> None:
    section = "tastytrade: {client_secret: '${MINE}', refresh_token: '${TT_REFRESH}'}"
    assert load(write(section)).tastytrade.client_secret is None
    first, second = refusal(write(f"data_provider: tastytrade\n{section}"))
    assert first.startswith("config.yaml:2: tastytrade.client_secret: ${MINE} is not set, but tastytrade is in use")
    assert second.startswith("config.yaml:2: tastytrade.refresh_token: ${TT_REFRESH} is not set, but tastytrade is in use")


# --- addresses


@pytest.mark.parametrize("url", ["https://api.tastyworks.com", "http://127.0.0.1:8080", "http://127.9.9.9", "http://[::1]:80", "http://localhost:1/x"])
def test_api_url_may_be_https_or_http_on_loopback(url: str) -> None:
    assert load({"tastytrade": {"api_url": url}}).tastytrade.api_url == url


@pytest.mark.parametrize(
    "url",
    [
        *["http://api.tastyworks.com", "http://127.0.0.1.example.com", "http://localhost@example.com", "http://example.com\\@localhost"],
        *["http://10.0.0.1", "http://0.0.0.0", "ftp://localhost", "https://", "localhost:80", "https://a:99999", "https://[::1", ""],
    ],
)
def test_any_other_api_url_is_refused(url: str) -> None:
    (line,) = refusal({"tastytrade": {"api_url": url}})
    assert " is not an https address without a login in it, or http on loopback" in line


def test_a_login_inside_api_url_is_refused_and_not_shown() -> None:
    (line,) = refusal({"tastytrade": {"api_url": f"https://me:{SECRET}@example.com"}})
    assert "'https://(hidden)@example.com' is not" in line


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_needs_no_token(host: str) -> None:
    assert is_loopback(host)
    assert load({"service": {"host": host}}).service.token is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com"])
def test_any_other_address_needs_the_token(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = refusal({"service": {"host": host}})
    assert line.startswith("config: service.token: missing")
    monkeypatch.setenv("TTP_SERVICE__TOKEN", SECRET)
    assert load({"service": {"host": host}}).service.token == SecretStr(SECRET)


@pytest.mark.parametrize("timeframe", ["5s", "1m", "15m", "1h", "1d", "1w", "1mo", "133t", "1000v", "8r"])
def test_every_promised_timeframe_is_accepted(timeframe: str) -> None:
    assert load({"timeframe": timeframe}).timeframe == timeframe


@pytest.mark.parametrize("source", [5, [SECRET], b"config.yaml"])
def test_what_is_no_configuration_is_refused_by_its_kind_alone(source: object) -> None:
    accepted = "a path, a dict or Settings is accepted, or None for the environment alone"
    assert refusal(source) == [f"config: a {type(source).__name__} is no configuration; {accepted}"]
