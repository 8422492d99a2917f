"""What the client does with requests, apart from answering them."""

from __future__ import annotations

import gc
import warnings

from ib_async import Future

from tests.compat.stage import at_the_market


async def test_a_request_that_is_cancelled_before_it_began_leaves_no_warning_behind() -> None:
    async with at_the_market() as (_, ib):
        [es] = await ib.qualifyContractsAsync(Future("ES", "202603", "CME"))
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            ib.cancelRealTimeBars(ib.reqRealTimeBars(es, 5, "TRADES", useRTH=False))
            ib.reqMktData(es)
            ib.cancelMktData(es)
            await ib.reqContractDetailsAsync(es)
            gc.collect()
        assert [str(one.message) for one in told if "never awaited" in str(one.message)] == []
