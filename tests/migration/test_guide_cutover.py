"""The guide's way over: what failed logins look like, and every command of it on a market that goes on."""

from __future__ import annotations

import re
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NoReturn

import pytest
from pydantic import SecretStr

pytest.importorskip("libcst")
pytest.importorskip("ib_async", reason="the extra [ib] is not installed")

from tastytrade_provider.config import load
from tastytrade_provider.errors import MarketDataError
from tastytrade_provider.registry import create_provider
from tastytrade_provider.settings import TastytradeSettings
from tastytrade_provider.tastytrade.auth import Account
from tastytrade_provider.tastytrade.ladder import Observation, Seen, decide
from tests.checks.builders import ES
from tests.migration.pairs import EXAMPLES, GUIDE, at_the_exchange, command, of_section
from tests.migration.world import World, an_exchange
from tests.tastytrade.test_auth import HTML, Answer, an_account, an_answer, refused

# --- the messages of failed logins


async def login(**answers: Answer) -> None:
    async with an_account(**answers) as account:
        await account.connect()
        await account.quote_token()


def without(name: str) -> Callable[[], Awaitable[None]]:
    async def start() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv(name)
            load("config.yaml")

    return start


async def unreachable() -> None:
    """The address that nobody configures, from a machine without a network."""

    def resolve(*asked: object, **more: object) -> NoReturn:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", resolve)
        account = Account(TastytradeSettings(client_secret=SecretStr("x"), refresh_token=SecretStr("x")))
        try:
            await account.connect()
        finally:
            await account.disconnect()


def failures() -> list[list[str]]:
    """The cells of the guide's table of failures."""
    rows = GUIDE.partition("| what happened | error | message |\n")[2].splitlines()[1:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[: rows.index("")]]


FAILURES: dict[str, Callable[[], Awaitable[None]]] = {
    "no client secret": without("TT_SECRET"),
    "no refresh token": without("TT_REFRESH"),
    "secret wrong": lambda: login(login=an_answer(401, {"error_code": "invalid_client", "error_description": "Client authentication failed"})),
    "grant revoked": lambda: login(login=an_answer(401, {"error_code": "invalid_grant", "error_description": "Grant revoked"})),
    "scope missing": lambda: login(token=an_answer(403, refused("not_permitted", "Scope missing"))),
    "a login without": lambda: login(token=an_answer(404, refused("quote_streamer.customer_not_found_error", "You must be a customer"))),
    "too many requests": lambda: login(login=an_answer(429, HTML)),
    "no way to the service": unreachable,
}


def test_every_failure_that_the_guide_tells_of_has_been_seen() -> None:
    assert [cells[0] for cells in failures()][:-1] == [next(cells[0] for cells in failures() if cells[0].startswith(begin)) for begin in FAILURES]


@pytest.mark.parametrize("begin", FAILURES)
async def test_a_failed_login_looks_word_for_word_as_the_guide_says(begin: str, configured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TT_SECRET", "TT_REFRESH"):
        monkeypatch.setenv(name, "x")
    _, kind, message = next(cells for cells in failures() if cells[0].startswith(begin))
    with pytest.raises(MarketDataError) as told:
        await FAILURES[begin]()
    assert type(told.value).__name__ == kind.strip("`")
    parts = [re.escape(part) for part in message.split("...")]
    assert re.fullmatch(".+".join(parts), str(told.value)), str(told.value)


def test_delayed_data_is_told_word_for_word_as_the_guide_says() -> None:
    told = decide(Observation(ES, 60, True, "demo", {"TimeAndSale": Seen(rows=12, with_side=12)})).text
    assert failures()[-1][2] in told.splitlines()


# --- the commands, on a market that goes on


@pytest.fixture
def folder(configured: Path) -> Path:
    """Everything the commands of the guide look for."""
    (configured / "ab.yaml").write_text(of_section("step-3-compare", "yaml")[0].code)
    (configured / "src").mkdir()
    (configured / "src" / "old.py").write_text("from ib_async import IB\nib = IB()\nib.connect()\n")
    return configured


EXPECTED = {  # exit codes, and a word of what is printed; each command of the guide, in order
    "migrate scan src": ((1,), "2 Auto, 0 Assist, 0 Manual"),
    "migrate rewrite src --to compat": ((0,), "+from tastytrade_provider.compat import IB"),
    "migrate rewrite src --to compat --write": ((0,), "1 file written"),
    "doctor": ((0,), "config.yaml"),
    "probe ES": ((0,), "Delta source time_and_sale"),
    "record ES": ((0,), "0 gaps"),
    "journal verify": ((0,), "journal: good"),
    "replay journal": ((0,), '"delta_source": "time_and_sale"'),
    "ab --minutes": ((0, 1), "bars and prints were seen"),  # twenty times as fast as life, one side may begin late
    "TTP_DATA_PROVIDER=ib tastytrade-provider bars": ((0,), "ib.parquet"),
    "TTP_DATA_PROVIDER=tastytrade tastytrade-provider bars": ((0,), "tastytrade.parquet"),
    "migrate compare": ((0,), "all prices of"),
    "stream ES": ((0,), "connected, delta from time_and_sale; nothing lost"),
}


async def test_every_command_of_the_guide_does_what_the_guide_says(folder: Path) -> None:
    lines = [line for example in EXAMPLES if example.language == "console" for line in example.code.splitlines()]
    assert len(lines) == len(EXPECTED)
    async with an_exchange(World(live_s=2000), speed=20.0) as emulator:
        for line, (begin, (codes, word)) in zip(lines, EXPECTED.items(), strict=True):
            assert line.removeprefix("tastytrade-provider ").startswith(begin)
            with at_the_exchange(emulator):
                done = await command(line)
            assert done[0] in codes, f"{line}\n{done[1]}"
            assert word in done[1], f"{line}\n{done[1]}"
    assert (folder / "report" / "report.html").is_file()
    assert "compat" in (folder / "src" / "old.py").read_text()


def test_one_line_flips_and_one_line_rolls_back(monkeypatch: pytest.MonkeyPatch, configured: Path) -> None:
    monkeypatch.setenv("TT_SECRET", "x")
    monkeypatch.setenv("TT_REFRESH", "x")
    for anchor, expected in (("step-4-flip", "tastytrade"), ("step-6-roll-back-in-one-line", "ib")):
        [example] = of_section(anchor, "sh")
        match = re.fullmatch(r"export (\w+)=(\w+)\n", example.code)
        assert match is not None
        monkeypatch.setenv(match[1], match[2])
        assert create_provider("config.yaml").name == expected
