from __future__ import annotations

import asyncio
import random

import orjson
import pytest

from tastytrade_provider.errors import UsageError
from tastytrade_provider.service.hub import Client, Hub, TopicName
from tests.checks.sources import until

DELTA = TopicName("ES", "1m", "delta")
NQ = TopicName("NQ", "1m", "delta")


async def taken(client: Client, n: int) -> list[dict[str, object]]:
    """The next n messages a client gets."""
    found: list[dict[str, object]] = []

    async def send(text: str) -> None:
        found.append(orjson.loads(text))

    task = asyncio.create_task(client.pump(send))
    await until(lambda: len(found) >= n, lambda: f"only {found}")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return found


async def test_every_fact_comes_in_order_and_numbered_without_a_hole() -> None:
    hub = Hub("s")
    client = hub.join()
    hub.subscribe(client, DELTA)
    for i in range(5):
        hub.publish(DELTA, {"i": i})
        hub.publish(NQ, {"i": -i})
    assert await taken(client, 5) == [{"i": i, "seq": i + 1} for i in range(5)]


async def test_of_states_only_the_newest_comes_behind_the_facts() -> None:
    hub = Hub("s")
    client = hub.join()
    hub.subscribe(client, DELTA)
    hub.publish(DELTA, {"fact": 1})
    for price in (1, 2, 3):
        hub.publish_state(DELTA, lambda price=price: {"price": price})  # type: ignore[misc]
    assert await taken(client, 2) == [{"fact": 1, "seq": 1}, {"price": 3, "seq": 1}]


async def test_a_state_from_before_a_fact_is_none_any_more() -> None:
    hub = Hub("s")
    client = hub.join()
    hub.subscribe(client, DELTA)
    hub.publish_state(DELTA, lambda: {"forming": 1})
    hub.publish(DELTA, {"closed": 1})
    assert await taken(client, 1) == [{"closed": 1, "seq": 1}]


async def test_a_state_is_made_only_where_somebody_listens() -> None:
    hub = Hub("s")
    hub.publish_state(DELTA, lambda: pytest.fail("nobody listens"))


async def test_a_client_that_does_not_read_is_dropped_and_nobody_waits_for_it() -> None:
    hub = Hub("s", most_waiting=10)
    slow, quick = hub.join(), hub.join()
    hub.subscribe(slow, DELTA)
    hub.subscribe(quick, DELTA)
    for i in range(10):
        hub.publish(DELTA, {"i": i})
    assert len(await taken(quick, 10)) == 10
    hub.publish(DELTA, {"i": 10})
    assert slow.dropped == "slow client: 11 messages were waiting"
    assert slow.ended.is_set()
    assert slow.waiting == 0
    assert await taken(quick, 1) == [{"i": 10, "seq": 11}]


async def test_a_client_is_dropped_for_what_waits_in_characters_too() -> None:
    client = Client(1000, 100)
    client.put("x" * 60)
    assert client.dropped is None
    client.put("x" * 60)
    assert client.dropped is not None


async def test_what_was_missed_comes_again_while_it_is_remembered() -> None:
    hub = Hub("s")
    for i in range(3000):
        hub.publish(DELTA, {"i": i})
    topic = hub.topic(DELTA)
    assert [orjson.loads(text)["seq"] for text in topic.since(2998) or []] == [2999, 3000]
    assert topic.since(3000) == []
    assert topic.since(3000 - 1024) is not None
    assert topic.since(3000 - 1025) is None
    assert topic.since(3001) is None
    assert topic.since(-1) is None


async def test_no_number_is_given_twice_when_a_timeframe_comes_back() -> None:
    hub = Hub("s")
    for _ in range(5):
        hub.publish(DELTA, {})
    hub.forget("ES", "1m")
    assert hub.topic(DELTA).since(5) is None
    hub.publish(DELTA, {})
    assert hub.topic(DELTA).since(5) is None
    assert hub.topic(DELTA).seq == 7


async def test_clients_and_their_subscriptions_have_a_limit() -> None:
    hub = Hub("s", most_clients=1, most_topics=1)
    client = hub.join()
    with pytest.raises(UsageError, match="1 clients are connected"):
        hub.join()
    hub.subscribe(client, DELTA)
    hub.subscribe(client, DELTA)
    with pytest.raises(UsageError, match="1 subscriptions"):
        hub.subscribe(client, NQ)
    hub.leave(client)
    assert not hub.is_heard("ES", "1m")
    hub.join()


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_the_pace_of_reading_no_fact_is_missing_and_states_only_go_forward(seed: int) -> None:
    chance, hub = random.Random(seed), Hub("s")
    client = hub.join()
    hub.subscribe(client, DELTA)
    found: list[dict[str, int]] = []

    async def send(text: str) -> None:
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        found.append(orjson.loads(text))

    task = asyncio.create_task(client.pump(send))
    facts = at = 0
    for _ in range(300):
        at += 1
        if chance.random() < 0.3:
            hub.publish(DELTA, {"fact": facts, "at": at})
            facts += 1
        else:
            hub.publish_state(DELTA, lambda at=at: {"at": at})  # type: ignore[misc]
        if chance.random() < 0.5:
            await asyncio.sleep(0)
    await until(lambda: client.waiting == 0 and found and found[-1]["at"] == at, lambda: f"seed {seed}: {found[-1:]} of {at}")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [each["fact"] for each in found if "fact" in each] == list(range(facts))
    assert [each["at"] for each in found] == sorted(each["at"] for each in found)
