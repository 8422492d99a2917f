from ib_async import IB, Future


def prepare(conn, root):
    contract = Future(root, "202612", "CME")
    conn.qualifyContracts(contract)
    return contract


def pause(conn):
    conn.sleep(1)


def finish(conn):
    conn.disconnect()


session = IB()
session.connect("127.0.0.1", 7497, 2)
prepare(session, "ES")
pause(session)
finish(conn=session)
