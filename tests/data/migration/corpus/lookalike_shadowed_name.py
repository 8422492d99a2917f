from ib_async import IB

total = 0
for ib in range(3):
    total += ib.real


def scale(ib: int):
    return ib.bit_length()


class Light:
    def __init__(self, ib: "Bulb"):
        self.ib = ib

    def on(self):
        self.ib.connect()
        self.ib.sleep(1)


class Bulb:
    def connect(self):
        pass

    def sleep(self, n):
        pass


def real():
    ib = IB()
    return ib
