"""Two ends of a connection joined in memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tastytrade_provider.dxlink.connection import Connection
from tastytrade_provider.dxlink.events import Event


class Pair:
    """A client and a server with a wire between them that carries everything until both are silent."""

    def __init__(self, **server_options: object) -> None:
        self.client = Connection("client")
        self.server = Connection("server", **server_options)  # type: ignore[arg-type]
        self.sent: list[tuple[str, bytes]] = []
        self.at_client: list[Event] = []
        self.at_server: list[Event] = []

    def run(self) -> Pair:
        while (to_server := self.client.data_to_send()) or (to_client := self.server.data_to_send()):
            for payload in to_server:
                self.sent.append(("client", payload))
                self.at_server += self.server.receive(payload)
            for payload in [] if to_server else to_client:
                self.sent.append(("server", payload))
                self.at_client += self.client.receive(payload)
        return self

    def forget(self) -> None:
        self.sent.clear()
        self.at_client.clear()
        self.at_server.clear()

    def open(self) -> Pair:
        self.client.setup()
        self.client.authenticate("token#123")
        self.run()
        self.server.auth_state("AUTHORIZED")
        self.run()
        self.forget()
        return self

    def open_channel(self, contract: str = "AUTO") -> int:
        channel = self.client.open_channel(contract=contract)
        self.run()
        self.server.channel_opened(channel)
        self.run()
        self.forget()
        return channel


@pytest.fixture
def a_pair() -> Callable[..., Pair]:
    return Pair


@pytest.fixture
def open_pair() -> Pair:
    return Pair().open()
