from PyQt5.QtCore import QObject, pyqtSignal
from ib_async import IB, util

util.useQt("PyQt5")


class Window(QObject):
    disconnectedEvent = pyqtSignal()
    errorEvent = pyqtSignal(str)

    def __init__(self):
        super().__init__()
        self.ib = IB()
        self.errorEvent.connect(print)
        self.disconnectedEvent.connect(self.close)
        self.ib.disconnectedEvent += self.disconnectedEvent.emit

    def close(self):
        self.disconnect()
        self.ib.disconnect()
