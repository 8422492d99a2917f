"""Interactive Brokers (TWS or IB Gateway) as a DataProvider, over ib_async's Client."""
