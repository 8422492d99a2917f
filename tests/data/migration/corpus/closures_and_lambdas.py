from ib_async import IB


def outer(port):
    ib = IB()
    ib.connect("127.0.0.1", port, 6)

    def close():
        ib.disconnect()

    later = lambda seconds: ib.sleep(seconds)
    return close, later


def other(ib):
    return ib
