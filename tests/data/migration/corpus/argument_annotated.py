from typing import Optional

from ib_async import IB, Ticker


def watch(ib: IB, contract) -> Ticker:
    return ib.reqMktData(contract)


def wait(client: Optional[IB], seconds: float) -> bool:
    if client is None:
        return False
    client.sleep(seconds)
    return client.waitOnUpdate(timeout=seconds)


async def reopen(connection: "IB | None" = None, *, port: int = 4002):
    if connection and not connection.isConnected():
        await connection.connectAsync(port=port)
