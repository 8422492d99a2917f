import ib_insync

ib = None


def start():
    global ib
    ib = ib_insync.IB()
    ib.connect('127.0.0.1', 7497, clientId=1)


def stop():
    if ib is not None and ib.isConnected():
        ib.disconnect()


if (client := ib_insync.IB()):
    client.setTimeout(10)
