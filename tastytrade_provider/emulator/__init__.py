"""A loopback exchange: the REST API and the DXLink feed of TastyTrade on 127.0.0.1, fed by a synthetic market or a tape.

`Market` and `Tape` make the events, `Emulator` serves them, the ground truth of every print goes to a log beside it.
`Faults` are what may go wrong on the way, by name and seed.
"""

from tastytrade_provider.emulator.faults import Faults
from tastytrade_provider.emulator.market import Market, Oddities
from tastytrade_provider.emulator.rest import CLIENT_SECRET, REFRESH_TOKEN
from tastytrade_provider.emulator.server import Emulator
from tastytrade_provider.emulator.source import Print, QuoteChange, Source
from tastytrade_provider.emulator.tape import Tape, load_tape
from tastytrade_provider.emulator.wire import Wire

__all__ = [
    "CLIENT_SECRET",
    "REFRESH_TOKEN",
    "Emulator",
    "Faults",
    "Market",
    "Oddities",
    "Print",
    "QuoteChange",
    "Source",
    "Tape",
    "Wire",
    "load_tape",
]
