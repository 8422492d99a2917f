"""A dialogue with the stream, kept going: opened, renewed before its token expires, opened again when it breaks. `Upkeep` decides, this acts."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from ..errors import ConnectionLost, MarketDataError
from .auth import Account, QuoteToken
from .dialogue import Dialogue, Heard, MakeStream
from .stream import Stream
from .upkeep import Act, Upkeep, trusted_s


class Keeper:
    """Owns the connections: one, or two while the token is renewed, so that no trade is lost or missed in between.

    lost()        trades may be missing from now on: no connection stands, or one that has not stood long enough to have delivered everything
    back()        after `lost`: one stands again
    ended(error)  it is over: the login was refused again and again; or, with `is_for_once`, the connection ended (None)

    dialogues     those that are open or opening, oldest first          token       the newest one, None before the first
    reconnects    how often a connection was lost and made again        make_stream how a connection is made
    is_for_once   True: the end of the connection is the end
    problem       why there is no connection, and what became of the latest attempt; None while one stands, or none is wanted
    """

    def __init__(self, heard: Heard, lost: Callable[[], None], back: Callable[[], None], ended: Callable[[MarketDataError | None], None]) -> None:
        self.dialogues: list[Dialogue] = []
        self.token: QuoteToken | None = None
        self.reconnects = 0
        self.is_for_once = False
        self.problem: str | None = None
        self.make_stream: MakeStream = Stream
        self._heard, self._lost, self._back, self._ended = heard, lost, back, ended
        self._upkeep = Upkeep()
        self._account: Account | None = None
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._is_lost = False
        self._lost_by = ""  # what the connection was lost by, in words
        self._latest: Dialogue | None = None  # the one opened last

    @property
    def is_running(self) -> bool:
        """True between `start` and `stop`, or until it is over."""
        return self._task is not None

    @property
    def attempts(self) -> int:
        """Attempts in vain to connect again."""
        return self._upkeep.attempts if self.problem else 0

    @property
    def newest(self) -> Dialogue | None:
        """The dialogue to ask over."""
        return next((one for one in reversed(self.dialogues) if one.grants("STREAM")), None)

    async def start(self, account: Account) -> None:
        """Open the first connection. Raises what that raises."""
        self._account, self._upkeep, self._is_lost, self.problem = account, Upkeep(), False, None
        await self._open()
        self._task = asyncio.create_task(self._run(), name="tastytrade stream")
        self._task.add_done_callback(self._fell)

    async def stop(self) -> None:
        """Close everything."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self.problem = None
        self._close_all()

    async def _run(self) -> None:
        now_s = asyncio.get_running_loop().time
        refused: MarketDataError | None = None
        while self.is_running:
            self._wake.clear()
            act = self._upkeep.advance(now_s())
            if act is Act.RETIRE:
                self._retire()
            elif act is Act.GIVE_UP:
                self._task = None  # `start` may try again
                self._ended(refused)
            elif act is not None:
                try:
                    await self._open()
                except MarketDataError as error:
                    failed = f"{'reconnect' if act is Act.OPEN else 'renewal'} {self._upkeep.attempts + 1} failed: {error}"
                    self._heard.note(failed)
                    if act is Act.OPEN:
                        self.problem = f"{self._lost_by}; {failed}"
                    self._upkeep.failed(now_s(), error, random.random())
                    refused = error
                else:
                    self._was_back()
            else:
                left_s = self._upkeep.due_s - now_s()
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(max(left_s, 0.0), 3600.0)):  # not wait_for: Python 3.11's may swallow the cancel of `stop`
                        await self._wake.wait()

    def _fell(self, task: asyncio.Task[None]) -> None:
        """A fault of ours must end everything, or trades would just stop coming."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._task = None
            self._close_all()
            self.problem = f"keeping the stream failed: {type(error).__name__}: {error}"
            self._ended(ConnectionLost(self.problem))

    async def _open(self) -> None:
        """One more connection, authorised, with everything subscribed."""
        assert self._account is not None  # since `start`
        token = await self._account.quote_token()
        dialogue = Dialogue(self._heard, self.make_stream)
        if self.dialogues:
            self._heard.beside()
        self.dialogues.append(dialogue)
        try:
            await dialogue.open(token.url, token.token)
        except BaseException:
            self.dialogues.remove(dialogue)
            raise
        self.token = token
        life_s = trusted_s(time.time()) if token.expires_ns is None else (token.expires_ns - (token.issued_ns or time.time_ns())) / 1e9
        self._latest, self.problem = dialogue, None
        self._upkeep.opened(asyncio.get_running_loop().time(), life_s)
        dialogue.closed.add_done_callback(partial(self._closed, dialogue))

    def _retire(self) -> None:
        """Close all but the newest connection. One that still answers a request stays until it has; and one that was not heard since both stand stays
        until it is, or is found dead: then it has not delivered what came before the newer one stood.
        """
        for one in self.dialogues[:-1]:
            if one.is_busy or not self._upkeep.covers(one.stream.heard_s):
                self._upkeep.not_yet(asyncio.get_running_loop().time())
            else:
                self.dialogues.remove(one)
                one.close("renewed")

    def _was_back(self) -> None:
        if self._is_lost:
            self._is_lost = False
            self.reconnects += 1
            self._back()

    def _closed(self, dialogue: Dialogue, closed: asyncio.Future[str]) -> None:
        if dialogue not in self.dialogues:
            return  # by us
        older = self.dialogues[: self.dialogues.index(self._latest)] if self._latest in self.dialogues else self.dialogues[:]
        is_covered = all(self._upkeep.covers(one.stream.heard_s) for one in older)
        self.dialogues.remove(dialogue)
        lost_by = f"connection lost: {closed.result()}"
        if not self.is_for_once:
            self._heard.note(lost_by)
        now_s = asyncio.get_running_loop().time()
        stands = any(one.grants("STREAM") for one in self.dialogues)
        if self.is_for_once:
            task, self._task = self._task, None
            if task is not None:
                task.cancel()
            self._ended(ConnectionLost(closed.result()))
        elif not stands or not is_covered:
            self._is_lost = True
            if not is_covered:
                self._heard.doubt()
            self._lost()
            if stands:
                self._was_back()
            else:
                self.problem = self._lost_by = lost_by
                self._upkeep.lost(now_s, random.random())
        self._wake.set()

    def _close_all(self) -> None:
        dialogues, self.dialogues = self.dialogues, []
        for one in dialogues:
            one.close()
