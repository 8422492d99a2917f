from unittest import mock

import pytest
from ib_async import IB


@pytest.fixture
def ib():
    client = IB()
    client.connect("127.0.0.1", 7497, 99)
    yield client
    client.disconnect()


def test_history(ib):
    assert ib.isConnected()
    assert ib.reqHistoricalData(None, "", "60 S", "5 secs", "TRADES", False)


def test_fake():
    fake = mock.Mock()
    fake.connect("x")
    fake.sleep(1)
    assert fake.disconnect.called is False
