"""ib here is InfiniBand; the word ibapi and ib_async stand only in this sentence."""
import ib

from ibis import connect

port = ib.Port(1)
port.connect()
ib.sleep(1)
ib.disconnect()
con = connect("duckdb://")
con.disconnect()
