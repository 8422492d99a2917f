from ib_async import IB


def wire(ib: IB, sink):
    errors = ib.errorEvent
    errors += sink.put
    pending = ib.pendingTickersEvent
    pending.connect(sink.put)
    return errors, pending
