"""Where a contract's trades come from now: the rung of the ladder it stands on. Pure: the clock is an argument, any monotonic one, in seconds."""

from __future__ import annotations

from typing import Final, Literal, cast

from .ladder import Source

Wanted = Literal["auto", "time_and_sale", "candle", "quote_trade", "tick_rule"]
LISTEN_AFTER_S: Final = 20.0
"""After so much silence of TimeAndSale, Trade and Quote are listened to: does the market stand still, or is TimeAndSale not served?"""
FALL_AFTER_S: Final = 10.0
"""TimeAndSale that stays silent so long, while Trade tells of trades, is not served."""
_RISES: Final = 3


class Rung:
    """TimeAndSale, until Trade shows that trades happen which it does not tell; and TimeAndSale again as soon as it comes.

    wanted    "auto", or the one source to stay with, as given
    source    where trades come from now      listens   whether Trade and Quote are wanted

    >>> rung = Rung("auto", now_s=0.0)
    >>> rung.advance(20.0), rung.listens
    (True, True)
    >>> for now_s in (21.0, 25.0, 31.0): rung.traded(now_s)
    >>> rung.advance(31.0), rung.source
    (True, 'tick_rule')
    >>> rung.told(40.0), rung.source, rung.listens
    (True, 'time_and_sale', False)
    """

    def __init__(self, wanted: Wanted, now_s: float) -> None:
        self.wanted: Final = wanted
        self.source: Source = "time_and_sale" if wanted == "auto" else wanted
        self.listens = wanted in ("quote_trade", "tick_rule")
        self._is_auto, self._has_quotes = wanted == "auto", False
        self._heard_s, self._rises, self._first_s = now_s, 0, now_s

    @property
    def is_inferred(self) -> bool:
        """Whether trades are made of Trade and Quote."""
        return self.source in ("quote_trade", "tick_rule")

    def told(self, now_s: float) -> bool:
        """TimeAndSale came. True where it takes over from a lesser source."""
        self._heard_s, self._rises = now_s, 0
        if not self._is_auto or not (self.listens or self.is_inferred):
            return False
        was, self.source, self.listens = self.source, "time_and_sale", False
        return was != "time_and_sale"

    def put(self, source: str, listens: bool) -> None:
        """Where somebody else has decided that it stands."""
        self.source, self.listens = cast(Source, source), listens

    def quoted(self) -> None:
        """A quote came."""
        self._has_quotes = True

    def traded(self, now_s: float) -> None:
        """Trade told of more volume."""
        self._first_s = now_s if self._rises == 0 else self._first_s
        self._rises += 1

    def start_over(self, now_s: float) -> None:
        """Silence up to now was not TimeAndSale's: nobody asked, the connection was away, or we did not listen."""
        self._heard_s, self._rises = now_s, 0

    def advance(self, now_s: float) -> bool:
        """The time. True where `source` or `listens` changed."""
        before = self.source, self.listens
        if self._is_auto:
            if self.is_inferred or (self._rises >= _RISES and now_s - self._first_s >= FALL_AFTER_S):
                self.source = "quote_trade" if self._has_quotes else "tick_rule"
            self.listens |= now_s - self._heard_s >= LISTEN_AFTER_S
        return before != (self.source, self.listens)
