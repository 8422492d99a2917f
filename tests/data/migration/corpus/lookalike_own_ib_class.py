class IB:
    """An image browser."""

    def connect(self, folder):
        self.folder = folder

    def sleep(self, n):
        return n

    def positions(self):
        return []


ib = IB()
ib.connect("/pictures")
ib.sleep(3)
ib.positions()
getattr(ib, "connect")("/x")
