"""A fake TWS on loopback: the market data side of Interactive Brokers' socket, shown from the same events as the DXLink side.

`TwsKnobs` say how it differs from the exchange; `Emulator(..., tws=TwsKnobs(...))` starts it. Bytes in and bytes out are a `Session`, what all
of them share a `Gateway`; `TwsServer` is the shell. Text protocol, server versions 157 to 178: ib_async, and ibapi of that time.
"""

from tastytrade_provider.emulator.tws.gateway import Gateway
from tastytrade_provider.emulator.tws.knobs import STREAMS, TwsKnobs
from tastytrade_provider.emulator.tws.server import TwsServer
from tastytrade_provider.emulator.tws.session import Session

__all__ = ["STREAMS", "Gateway", "Session", "TwsKnobs", "TwsServer"]
