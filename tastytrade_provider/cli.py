"""The command line. Nothing heavy is imported before a command runs: `--help` needs neither pandas nor the SDK."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from . import __version__
from .errors import MarketDataError, UnsupportedTimeframe


class _Group(click.Group):
    """Ends quietly, with 0, where whoever read the output has gone (`| head`); click and rich would end with 1, as if a check had failed."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (BrokenPipeError, SystemExit) as ended:
            if not isinstance(ended, BrokenPipeError) and not isinstance(ended.__context__, BrokenPipeError):
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains when it flushes at its end
            return 0


class _Speed(click.ParamType):  # type: ignore[type-arg, unused-ignore]  # generic from click 8.2 on
    name = "N|max"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        try:
            speed = value if value == "max" else float(value)
        except ValueError:
            speed = 0.0
        if speed != "max" and not 0 < float(speed) < 1e6:
            self.fail(f"{value!r} is no speed; a number above 0 (1 is as recorded) or max is", param, ctx)
        return speed


class _Timeframe(click.ParamType):  # type: ignore[type-arg, unused-ignore]  # generic from click 8.2 on
    name = "length"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if param is not None and value == param.default:
            return str(value)  # without what is imported to understand it
        from .model import Timeframe
        from .settings import Settings

        try:
            return str(Timeframe.parse(value))
        except UnsupportedTimeframe:
            self.fail(f"timeframe {value!r} is not {Settings.model_fields['timeframe'].description}", param, ctx)


_CONFIG = click.option("--config", "config_path", type=click.Path(dir_okay=False), help="config.yaml to read; without it defaults and TTP_* variables.")
_TIMEFRAME = click.option(
    "--timeframe", type=_Timeframe(), default=None, help="Bar length: 5s 1m 15m 1h 1d 1w 1mo, 133t (trades), 1000v (contracts), 8r (ticks)."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program instead of a table.")
_TAPE = [
    click.option("--tape", type=click.Path(path_type=Path), help="A tape to play: CSV, CSV.gz or Parquet with time, price, size (side, bid, ask optional)."),
    click.option("--speed", type=_Speed(), default=None, help="1 as recorded, N times, or max: as fast as the slowest consumer takes it."),
    click.option("--symbol", help="The tape's contract, where the file cannot say, such as ESH4."),
    click.option("--tick-size", type=float, help="The tape's smallest price step, where the file cannot say."),
    click.option("--size-step", type=float, help="The tape's smallest size, where the file cannot say."),
    click.option("--calendar", help="The tape's session calendar, such as 'CME Globex Equity' or 24/7, where the file cannot say."),
    click.option("--seed", type=int, default=None, help="Without a tape: the number the made-up market grows from."),
]


def _tape_options(command: Any) -> Any:
    for option in reversed(_TAPE):
        command = option(command)
    return command


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="tastytrade-provider")
def cli() -> None:
    """Futures order flow from TastyTrade: volume delta, CVD, divergence and footprint, with the exchange's own aggressor side.

    Begin with `demo`: it needs no account.
    """


@cli.command(short_help="Try it: an exchange and the provider on this machine.")
@_tape_options
@_TIMEFRAME
@click.option("--seconds", type=click.FloatRange(min=0.1), help="Stop after this long; without it, at the end of the tape or on Ctrl-C.")
@click.option("--infer-sides", is_flag=True, help="Withhold the exchange's flags, infer the sides, and report how many agree.")
@click.option("--no-browser", is_flag=True, help="Stay in the terminal.")
@_JSON
@_CONFIG
def demo(**options: Any) -> None:
    """Run a loopback exchange and the provider on it, and show the order flow live, on a page and in the terminal. No account, no network.

    The page is not shown with --no-browser, --json, --infer-sides or --speed max.
    """
    from .commands.demo import run

    run(**options)


@cli.command(short_help="Live order flow from the configured provider.")
@click.argument("symbols", nargs=-1)
@_TIMEFRAME
@click.option("--seconds", type=click.FloatRange(min=0.1), help="Stop after this long; without it, on Ctrl-C.")
@_JSON
@_CONFIG
def stream(**options: Any) -> None:
    """Show live order flow of SYMBOLS (default: those of the config) from the configured provider."""
    from .commands.stream import run

    run(**options)


@cli.command(short_help="Order flow over HTTP and WebSocket, with a page.")
@click.option("--host", default=None, help="Address to listen on; any but loopback needs the token.")
@click.option("--port", type=click.IntRange(0, 65535), default=None, help="0 takes a free one.")
@_JSON
@_CONFIG
def serve(**options: Any) -> None:
    """Serve the configured provider's order flow over HTTP and WebSocket, until Ctrl-C."""
    from .commands.serve import run

    run(**options)


@cli.command(short_help="What your TastyTrade login really receives.")
@click.argument("symbol")
@click.option("--seconds", type=click.FloatRange(min=0.1), default=20.0, show_default=True, help="How long to watch; some minutes make the sign test sure.")
@_JSON
@_CONFIG
def probe(**options: Any) -> int:
    """Watch SYMBOL with your TastyTrade login, say which events arrive and which delta they can give, and what to do next.

    Exit code 0: every print with its side (time_and_sale), 1: a lesser source of delta, 2: none, or an error.
    """
    from .commands.probe import run

    return run(**options)


@cli.command(short_help="The loopback exchange alone, for any client.")
@_tape_options
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="Port on 127.0.0.1; 0 takes a free one.")
@click.option("--truth", type=click.Path(path_type=Path, dir_okay=False), help="Where to log every print; without it, a temporary file.")
@click.option(
    "--fault",
    metavar="NAME=ARG",
    multiple=True,
    help="What goes wrong (reset=500rows) or the login may not have (unserved=TimeAndSale); may be repeated. `--fault list` shows all.",
)
def emulate(**options: Any) -> None:
    """Run the loopback exchange alone, for any client: prints one JSON line with its addresses and its login, and runs until Ctrl-C.

    The login is TT_SECRET=emulated-client-secret, TT_REFRESH=emulated-refresh-token; the JSON line has it as client_secret and refresh_token.
    """
    from .commands.emulate import run

    run(**options)


@cli.command(short_help="Keep the raw feed in a journal.")
@click.argument("symbols", nargs=-1)
@click.option("--seconds", type=click.FloatRange(min=0.1), help="Stop after this long; without it, on Ctrl-C.")
@click.option("--path", type=click.Path(path_type=Path, file_okay=False), help="The journal's folder; without it journal.path of the config.")
@_CONFIG
def record(**options: Any) -> int:
    """Record the raw feed of SYMBOLS (default: those of the config) into a journal, to be replayed. Exit code 1 where a message could not be written."""
    from .commands.record import run

    return run(**options)


@cli.command(short_help="Play a journal, a session file or a tape.")
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.argument("symbols", nargs=-1)
@click.option("--speed", type=_Speed(), default=None, help="1 as recorded, N times, or max: as fast as it goes.")
@_TIMEFRAME
@_JSON
@_CONFIG
def replay(**options: Any) -> None:
    """Play PATH (a journal's folder, a session file or a tape; default: replay.path of the config), all of it or only SYMBOLS."""
    from .commands.replay import run

    run(**options)


@cli.group()
def journal() -> None:
    """Look after a journal of recorded messages."""


_JOURNAL_PATH = click.argument("path", type=click.Path(path_type=Path))


@journal.command("info")
@_JOURNAL_PATH
@_JSON
def journal_info(path: Path, as_json: bool) -> int:
    """Say what a journal holds, segment by segment. Exit code 1 where damage is found."""
    from .commands.journal import info

    return info(path, as_json)


@journal.command("verify")
@_JOURNAL_PATH
@_JSON
def journal_verify(path: Path, as_json: bool) -> int:
    """Read every byte of a journal and list what is damaged. Exit code 1 where something is."""
    from .commands.journal import verify

    return verify(path, as_json)


@journal.command("compact")
@_JOURNAL_PATH
@click.option("--to", type=click.Path(path_type=Path, file_okay=False), help="Where the files go; without it the journal's folder 'sessions'.")
@_JSON
def journal_compact(path: Path, to: Path | None, as_json: bool) -> int:
    """Make one Parquet file per contract and session of the closed segments. Exit code 1 where damage is found, and then nothing is made."""
    from .commands.journal import compact

    return compact(path, to, as_json)


@cli.command(short_help="Historical bars of the configured provider.")
@click.argument("symbol")
@_TIMEFRAME
@click.option("--start", help="ISO time with a zone; without it, the current session.")
@click.option("--end", help="ISO time with a zone; without it, now.")
@click.option("--hours", type=click.Choice(["eth", "rth"]), default="eth", show_default=True, help="The whole session, or regular hours.")
@_JSON
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="A .parquet file to write.")
@_CONFIG
def bars(**options: Any) -> int:
    """Print the historical bars of SYMBOL, with bought and sold volume where the feed knows them."""
    from .commands.bars import run

    return run(**options)


@cli.group()
def history() -> None:
    """Files of bars and footprint made of what was recorded."""


@history.command("build")
@click.argument("path", type=click.Path(path_type=Path))
@click.argument("symbols", nargs=-1)
@click.option("--timeframe", type=_Timeframe(), default="1m", show_default=True, help="Bar length.")
@click.option("--start", help="ISO time with a zone.")
@click.option("--end", help="ISO time with a zone.")
@click.option("--ticks-per-row", type=click.IntRange(1), default=1, show_default=True, help="Height of a footprint's rows.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("history"), show_default=True, help="Folder for the files.")
@_JSON
def history_build(**options: Any) -> int:
    """Make Parquet files of bars and footprint of PATH: a journal, session files or a tape."""
    from .commands.history import build

    return build(**options)


@cli.command(short_help="Check what is needed, with what to do.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0.1), default=15.0, show_default=True, help="Seconds to wait for the provider.")
@click.option("--connect/--no-connect", default=True, help="Try the configured provider.")
@_JSON
@_CONFIG
def doctor(**options: Any) -> int:
    """Check what is needed. Exit code 1 where something failed."""
    from .commands.doctor import run

    return run(**options)


@cli.command(short_help="Two providers side by side, and where they differ.")
@click.option("--minutes", type=click.FloatRange(min=0.01), default=10.0, show_default=True, help="How long to compare.")
@click.option("--symbol", "symbols", multiple=True, help="A contract, such as ES; may be repeated. Default: those of the config.")
@_TIMEFRAME
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for report.json and report.html.")
@_JSON
@_CONFIG
def ab(**options: Any) -> int:
    """Compare the config's ab.primary and ab.shadow; Ctrl-C ends it early, with the report so far. Exit code 0: PASS or WATCH, 1: FAIL, 2: an error, or
    nothing to compare.

    Limits are `ab.thresholds` in the config. The time counts from the shadow's first item.
    """
    from .commands.ab import run

    return run(**options)


@cli.command(short_help="How well sides are inferred, on a tape with the exchange's flags.")
@click.argument("tape", type=click.Path(path_type=Path))
@click.option("--symbol", help="The tape's contract, where the file cannot say.")
@click.option("--tick-size", type=float, help="Its smallest price step.")
@click.option("--size-step", type=float, help="Its smallest size.")
@click.option("--calendar", help="Its session calendar.")
@_JSON
def accuracy(**options: Any) -> None:
    """Measure tick, quote, Lee-Ready, EMO, CLNV and BVC against the exchange's flags in TAPE."""
    from .commands.accuracy import run

    run(**options)


@cli.command(short_help="A picture of order flow.")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="A .png or .svg file.")
@click.option("--symbol", help="Which contract, where several were recorded.")
@click.option("--timeframe", type=_Timeframe(), default="1m", show_default=True, help="Bar length.")
@click.option("--last", type=click.IntRange(1, 300), help="Only the last bars; about 20 have room for numbers.")
def chart(**options: Any) -> None:
    """Draw PATH (a tape, a journal, a session file, or bars in Parquet)."""
    from .commands.chart import run

    run(**options)


@cli.group()
def migrate() -> None:
    """Move a program from Interactive Brokers to this package."""


@migrate.command("scan", short_help="Every call site of IB's libraries.")
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@_JSON
@click.option("--sarif", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), help="Also write SARIF 2.1.0 for code hosts; - prints it.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), help="Also write a page; - prints it.")
@click.option("--pandas3", is_flag=True, help="Also list what pandas 3 refuses or understands otherwise.")
def migrate_scan(**options: Any) -> int:
    """List the call sites of ib_async, ib_insync and ibapi in PATH. Nothing of it is run. Exit code 0: none, 1: some, 2: none, but not all could be read."""
    from .commands.migrate import scan

    return scan(**options)


@migrate.command("rewrite", short_help="Rewrite what is sure, mark the rest.")
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@click.option("--to", type=click.Choice(["compat", "provider"]), required=True, help="compat: the same calls over any provider; provider: our interface.")
@click.option("--write", is_flag=True, help="Write the files instead of showing a diff.")
def migrate_rewrite(**options: Any) -> int:
    """Show, as a unified diff, what becomes of the Auto call sites in PATH; Assist ones get a TODO."""
    from .commands.migrate import rewrite

    return rewrite(**options)


@migrate.command("guide", short_help="The migration guide, by section.")
@click.argument("section", required=False)
def migrate_guide(section: str | None) -> int:
    """Print what the migration guide says of SECTION, a rule or the name of a call; without it, list the sections."""
    from .commands.migrate import guide

    return guide(section)


@migrate.command("compare", short_help="Compare the stored bars of two files.")
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option("--tick-size", type=click.FloatRange(min=0, min_open=True), help="The contract's smallest price step; without it, found from the prices.")
@click.option("--timezone", help="Zone of times that have none, such as US/Eastern.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for report.json and report.html.")
@_JSON
@_CONFIG
def migrate_compare(**options: Any) -> int:
    """Compare the bars of files A and B (CSV or Parquet, from anywhere). Exit code 1 where a check failed."""
    from .commands.migrate_compare import run

    return run(**options)


@cli.group()
def config() -> None:
    """Look at the configuration."""


@config.command("check")
@click.argument("path", type=click.Path(dir_okay=False), required=False)
@_JSON
@_CONFIG
def check(path: str | None, config_path: str | None, as_json: bool) -> None:
    """Read a configuration (PATH or --config; default: ./config.yaml) and name every mistake in it."""
    from .commands.config import run

    run(path, config_path, as_json)


def main() -> None:
    """Run a command. Exit codes: 0, 1 (a check failed), 2 (usage, configuration or feed), with one clear line and no traceback."""
    try:
        code = cli.main(standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        code = 130
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = 2
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "tastytrade-provider"
        said = " ".join(error.format_message().split())  # click lists choices in lines of their own
        click.echo(f"error: {said.rstrip('.')}; see {command} --help", err=True)
        code = 2
    except click.ClickException as error:
        click.echo(f"error: {error.format_message()}", err=True)
        code = 2
    except (MarketDataError, OSError) as error:  # OSError: a file that cannot be written, a port that is taken
        click.echo(f"error: {error}", err=True)
        code = 2
    sys.exit(code if isinstance(code, int) else 0)
