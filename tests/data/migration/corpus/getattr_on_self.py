from ib_insync import IB


class Router:
    def __init__(self):
        self.ib = IB()

    def send(self, verb, contract):
        method = getattr(self.ib, f"req{verb}")
        return method(contract)

    def option(self, name):
        return getattr(self, name)

    def has(self, name):
        return hasattr(self.ib, name)
