from ib_async import IB


def calendar(ib: IB, contract):
    plan = ib.reqHistoricalSchedule(contract, 5, "", True)
    details = ib.reqContractDetails(contract)[0]
    print(details.tradingHours)
    rule = ib.reqMarketRule(int(details.marketRuleIds.split(",")[0]))
    found = ib.reqMatchingSymbols("micro")
    return plan, rule, found


async def calendar_async(ib: IB, contract):
    await ib.reqHistoricalScheduleAsync(contract, 5)
    await ib.reqMarketRuleAsync(26)
    await ib.reqMatchingSymbolsAsync("gold")
    await ib.reqHeadTimeStampAsync(contract, "TRADES", True, 2)
    await ib.reqHistoricalTicksAsync(contract, "", None, 100, "BID_ASK", False)
    return await ib.reqTickersAsync(contract)
