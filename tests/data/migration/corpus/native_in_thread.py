import threading

from ibapi.client import EClient as Client
from ibapi.wrapper import EWrapper as Wrapper


class Gateway(Wrapper, Client):
    def __init__(self, host, port, cid):
        Client.__init__(self, wrapper=self)
        self.connect(host, port, cid)
        threading.Thread(target=self.run, daemon=True).start()
        self.ready = threading.Event()

    def connectAck(self):
        self.ready.set()

    def connectionClosed(self):
        self.ready.clear()


gw = Gateway("localhost", 4002, 3)
gw.ready.wait(5)
gw.ready.clear()
