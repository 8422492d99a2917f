"""One seed: some hours of a market, a provider that streams it, consumers that come and go, and everything that can go wrong meanwhile."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tastytrade_provider.bars import BarBuilder
from tastytrade_provider.emulator import Market
from tastytrade_provider.errors import AuthenticationFailed, FeedError, NotEntitled
from tastytrade_provider.journal import Journal, segments
from tastytrade_provider.model import Contract, Gap
from tastytrade_provider.tastytrade.decode import JournalDecoder
from tastytrade_provider.tastytrade.line import TradeSubscription
from tests.chaos import virtual
from tests.chaos.exchange import Exchange, a_provider
from tests.chaos.plans import Plan, plan
from tests.chaos.witness import Tally, Witness, changes

_SETTLES_S: Final = 1200.0  # the longest a provider may take to be as it should once nothing strikes any more: back-off, patience, session limits


@dataclass
class Outcome:
    """What became of a seed. `digest` is that of every item every consumer was handed; `seconds` what it took."""

    seed: int
    tally: Tally = field(default_factory=Tally)
    digest: str = ""
    reconnects: int = 0
    tokens: int = 0
    hours: float = 0.0
    faults: int = 0
    consumers: int = 0
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        """Whether nothing is lost without a gap, nothing doubled, and everything stands as it should."""
        return not (self.tally.lost or self.tally.doubled or self.tally.wrong)


def run(seed: int, *, minutes: float | None = None) -> Outcome:
    """Run a seed; `minutes` cuts its market short."""
    what, began_s = plan(seed), time.process_time()
    try:
        with tempfile.TemporaryDirectory() as folder:
            there = Path(folder)
            outcome = virtual.run(lambda: _Run(what, what.hours * 60 if minutes is None else minutes, there).play(), start_ns=what.start_ns, seed=seed)
    except Exception as error:  # the seed that shows it must be told, and the other seeds still run
        outcome = Outcome(seed, Tally(wrong=[f"{type(error).__name__}: {error}"]))
    outcome.seconds = time.process_time() - began_s
    return outcome


class _Run:
    """One provider at one exchange."""

    def __init__(self, what: Plan, minutes: float, folder: Path) -> None:
        self.what, self.minutes = what, minutes
        self.rng = random.Random(f"crowd {what.seed}")
        self.market = Market(what.seed, what.start_ns, ("ES", "GC"), what.prints_per_s, what.oddities)
        self.exchange = Exchange(
            self.market, what.faults, what.wire, seed=what.seed, keeps=what.keeps, tells_cancels=what.tells_cancels, quote_life_s=what.quote_life_s
        )
        self.witnesses: list[Witness] = []
        self.began: dict[Witness, int] = {}  # when its line began to be listened to
        self.tasks: set[asyncio.Task[None]] = set()
        self.provider = provider = a_provider()
        self.folder = folder
        provider.journal = Journal(folder, sync_every_s=3600.0)
        self.failed_ns: list[int] = []  # when it was noted that an outage could not be filled
        self._note, provider._trades._note = provider._trades._note, self._hear

    def _hear(self, text: str) -> None:
        if "could not be fetched" in text:
            self.failed_ns.append(time.time_ns())
        self._note(text)

    async def play(self) -> Outcome:
        """Everything, from the first login to the verdict."""
        with self.exchange.in_memory(), _errors_logged() as logged:
            self.exchange.start()
            es, gc = self.market.contracts
            await self._connect()
            self._join("ES stays", es, builds=True)
            restless = [asyncio.create_task(work) for work in (self._comes_and_goes(gc), self._crowd(), self._network())]
            watch = asyncio.create_task(self._watch(es))
            try:
                await asyncio.sleep(self.minutes * 60)
                for task in restless:
                    task.cancel()
                self.exchange.calm_down()
                wrong = await self._settled()
            finally:
                reconnects = self.provider._keeper.reconnects
                await self.provider.disconnect()
                await self.exchange.stop()
                owned = [*restless, watch, *self.tasks]
                for task in owned:
                    task.cancel()
                results = await asyncio.gather(*owned, return_exceptions=True)
            wrong += [f"harness: {result!r}" for result in results if isinstance(result, Exception)] + logged
        return self._verdict(wrong, reconnects)

    # --- consumers

    async def _connect(self) -> None:
        """As a program does that starts while the service is in trouble: again and again."""
        for _ in range(200):
            try:
                await self.exchange.log_in(self.provider)
            except FeedError:
                await asyncio.sleep(20)
            else:
                return
        raise AssertionError("it never connects")

    def _join(self, name: str, contract: Contract, *, builds: bool = False, slow: bool = False) -> Witness:
        now_ns = time.time_ns()
        others = [self.began[other] for other in self.witnesses if other.contract == contract and not other.subscription.has_ended]
        subscription = self.provider.subscribe_trades(contract)
        witness = Witness(name, contract, now_ns, subscription, BarBuilder(contract, "1m") if builds else None)
        self.began[witness] = others[0] if others else now_ns
        self.witnesses.append(witness)
        witness.is_slow = slow
        if slow:
            subscription.capacity = self.rng.choice([1, 5, 50])
            self._spawn(self._read_slowly(witness, subscription))
        else:
            subscription.on(witness.take)
        return witness

    def _leave(self, witness: Witness) -> None:
        if witness.left_ns is None:
            witness.left_ns = time.time_ns()
            # while two connections stand, nobody knows yet whether the older one was dead before the newer one stood
            unsure_s = max((asyncio.get_running_loop().time() - one.stream.heard_s for one in self.provider._keeper.dialogues[:-1]), default=0.0)
            unread_ns = [item.start_ns if isinstance(item, Gap) else int(item.time_ns.min()) for item in witness.unread()]
            witness.sure_ns = min([witness.left_ns - int(unsure_s * 1e9), *unread_ns])
            witness.subscription.cancel()

    async def _read_slowly(self, witness: Witness, subscription: TradeSubscription) -> None:
        """Reads some, then does something else for a while."""
        rng = random.Random(f"{witness.name} {self.what.seed}")
        with suppress(AuthenticationFailed, NotEntitled):
            async for item in subscription:
                witness.take(item)
                if rng.random() < 0.02 and not self.exchange.plan.is_quiet:
                    await asyncio.sleep(rng.uniform(1, 90))

    async def _watch(self, contract: Contract) -> None:
        """As a program does whose provider has given up, because its login was refused again and again: it starts over."""
        for n in range(1, 1000):
            while True:
                await asyncio.sleep(10)
                if self.provider.status().state == "disconnected":
                    break
            for witness in self.witnesses:
                if witness.left_ns is None and witness.subscription.has_ended:
                    witness.left_ns = time.time_ns()
            await asyncio.sleep(60)
            await self._connect()
            self._join(f"ES stays, once more {n}", contract, builds=True)

    async def _comes_and_goes(self, contract: Contract) -> None:
        """One consumer of a contract at a time, now and then none; whoever is there last stays."""
        for n in range(1000):
            with suppress(AuthenticationFailed, NotEntitled):  # the provider has given up, and says so at once
                witness = self._join(f"{contract.root} {n}", contract, builds=True)
                await asyncio.sleep(self.rng.expovariate(1 / 1200))
                self._leave(witness)
            await asyncio.sleep(self.rng.choice([0.0, 0.001, 0.1, 5.0, self.rng.expovariate(1 / 60)]))

    async def _crowd(self) -> None:
        """Others, at any time, for any time, some of them slow."""
        for n in range(1000):
            await asyncio.sleep(self.rng.expovariate(1 / 300))
            self._spawn(self._guest(n))

    async def _guest(self, n: int) -> None:
        contract = self.rng.choice(self.market.contracts)
        slow = self.rng.random() < 0.4
        try:
            witness = self._join(f"guest {n} of {contract.root}{' (slow)' * slow}", contract, slow=slow)
        except (AuthenticationFailed, NotEntitled):
            return
        quotes = self.provider.subscribe_quotes(contract).on(lambda _: None) if self.rng.random() < 0.1 else None
        stays = self.rng.random() < 0.1
        await asyncio.sleep(self.rng.expovariate(1 / 400))
        if quotes is not None:
            quotes.cancel()
        if not stays:
            self._leave(witness)

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is None:
            self.tasks.discard(task)

    # --- the network

    async def _network(self) -> None:
        """Now and then nothing passes, or slowly."""
        rng, exchange = random.Random(f"network {self.what.seed}"), self.exchange
        while True:
            await asyncio.sleep(rng.expovariate(1 / self.what.network_s))
            kind = rng.choice(["dark", "refuse", "hang", "502", "slow", "dark and refuse"])
            if kind == "slow":
                exchange.slow_s = rng.uniform(0.05, 0.4)
            if "dark" in kind:
                exchange.darken()
            exchange.down = "refuse" if "refuse" in kind else kind if kind in ("hang", "502") else ""  # type: ignore[assignment]
            if exchange.down and rng.random() < 0.5:
                for link in list(exchange.visitors):
                    link.reset()
            await asyncio.sleep(rng.uniform(1, 120))
            exchange.down, exchange.slow_s = "", 0.0

    # --- the end

    async def _settled(self) -> list[str]:
        """Wait until the provider is as it should; then the market ends, and what is on its way arrives."""
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + _SETTLES_S
        while not self._is_settled():
            if loop.time() > ends_s:
                return [f"not as it should be {_SETTLES_S:g} s after the last fault: {self.provider.status()}"]
            await asyncio.sleep(5)
        await asyncio.sleep(30)
        self.exchange.close_market()
        await asyncio.sleep(120)  # slow readers read on
        return []

    def _is_settled(self) -> bool:
        provider = self.provider
        return (
            provider.is_connected
            and not any(line.is_held for line in provider._trades.lines.values())
            and not any(link.is_dark or link.feed.is_mute for link in self.exchange.visitors)
        )

    def _verdict(self, wrong: list[str], reconnects: int) -> Outcome:
        tally = Tally(wrong=wrong)
        truths = {contract: changes(contract, self.exchange.truth) for contract in self.market.contracts}
        for witness in self.witnesses:
            tally += witness.judge(truths[witness.contract], self._owed_from(witness), coarse=self.what.drops_columns, tells_cancels=self.what.tells_cancels)
            if self.what.keeps == "whole" and not witness.is_slow:
                same = [other.first_ns for other in self.witnesses if self.began[other] == self.began[witness] and other.first_ns]
                tally.wrong += witness.unfilled(min(same, default=0), self.failed_ns)
            error = witness.subscription.error
            if error is not None and not isinstance(error, AuthenticationFailed | NotEntitled):
                tally.wrong.append(f"{witness.name}: ended by {error!r}")
        tally.wrong += self._replayed()
        digest = hashlib.sha256("".join(witness.digest for witness in self.witnesses).encode()).hexdigest()
        tokens, faults = len(self.exchange.rest.quote_tokens.until_s), self.exchange.plan.struck.total()
        return Outcome(self.what.seed, tally, digest, reconnects, tokens, self.minutes / 60, faults, len(self.witnesses))

    def _replayed(self) -> list[str]:
        """Where a replay of what was recorded differs from what the consumer who was there all the time was handed, as long as it was."""
        stays = [witness for witness in self.witnesses if witness.name.startswith("ES stays")]
        if len(stays) > 1:  # between the two there was nobody, and a recording tells that too
            return []
        decoder = JournalDecoder(segments(self.folder))
        [live], again = stays, Witness(stays[0].name, stays[0].contract, 0, stays[0].subscription)
        for item in (item for read in decoder for item in read.items if item.contract == live.contract):
            again.take(item)
            n = len(again.heard)
            if n > len(live.heard) or again.heard[-1] != live.heard[n - 1]:
                return [f"a replay differs from live at item {n} of {len(live.heard)}: it has {item!r}"]
        return [] if again.heard == live.heard else [f"a replay ends after {len(again.heard)} of {len(live.heard)} items"]

    def _owed_from(self, witness: Witness) -> int | None:
        """From when on trades are owed: it had subscribed, and the exchange had heard of it."""
        symbol, since_ns = witness.contract.streamer_symbol, self.began[witness]
        heard = next((at_ns for name, at_ns in self.exchange.subscribed if name == symbol and at_ns >= since_ns), None)
        return None if heard is None else max(heard, witness.joined_ns)


@contextmanager
def _errors_logged() -> Iterator[list[str]]:
    """What is logged as an error meanwhile."""
    seen: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told = f": {record.exc_info[1]!r}" if record.exc_info else ""
            seen.append(f"logged: {record.getMessage()}{told}")

    ear = Ear(logging.ERROR)
    logging.getLogger().addHandler(ear)
    try:
        yield seen
    finally:
        logging.getLogger().removeHandler(ear)
