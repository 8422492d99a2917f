"""The application object is an EClient of another module."""


class Strategy:
    def __init__(self, app, contract):
        self.app = app
        self.contract = contract

    def start(self, req_id):
        self.app.reqRealTimeBars(req_id, self.contract, 5, "TRADES", True, [])
        self.app.reqHistoricalData(req_id + 1, self.contract, "", "1 D", "1 min", "TRADES", 0, 1, False, [])

    def stop(self, req_id):
        self.app.cancelRealTimeBars(req_id)
