from __future__ import annotations

import ib_insync


class Connection:
    _ib: ib_insync.IB | None = None

    @property
    def ib(self) -> ib_insync.IB:
        if self._ib is None:
            self._ib = ib_insync.IB()
        return self._ib

    def open(self):
        if not self._ib.isConnected():
            self.ib.connect("gateway", 4001, 9)

    def first_bar(self, contract):
        return self.ib.reqHeadTimeStamp(contract, "TRADES", useRTH=False)

    def ticks(self, contract, start):
        return self.ib.reqHistoricalTicks(contract, start, "", 1000, "TRADES", False)

    def close(self):
        self._ib.disconnect()
