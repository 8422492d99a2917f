"""Prints five-second bars.   Odd   spacing is kept."""

import ib_async  # the library


def on_bar( bars, hasNewBar ):
    print( bars[ -1 ].open_, bars[-1].close )      # newest


ib = ib_async.IB( )
ib.connect( 'localhost', 7497, 1 )
gc = ib_async.Future( 'GC', '202612', 'COMEX' )
ib.qualifyContracts( gc )
bars = ib.reqRealTimeBars( gc, 5, 'TRADES', False )
bars.updateEvent += on_bar
ib.cancelRealTimeBars( bars )
ib.disconnect( )
