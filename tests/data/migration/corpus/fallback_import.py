try:
    import ib_async as ibi
except ImportError:
    import ib_insync as ibi

ib = ibi.IB()
ib.connect(clientId=77)
ibi.util.startLoop()
ibi.util.logToConsole()
