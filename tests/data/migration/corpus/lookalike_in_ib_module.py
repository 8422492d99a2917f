"""IB is imported here, and many other things have methods of the same names."""
import redis
import socket
import sqlite3
import time

from ib_insync import IB

db = sqlite3.connect("bars.db")
cache = redis.Redis()
sock = socket.socket()
sock.connect(("127.0.0.1", 7497))
time.sleep(1)


class Worker:
    def __init__(self):
        self.db = sqlite3.connect("x.db")
        self.client = redis.Redis()
        self.ib = IB()

    def run(self):
        self.client.connect()
        self.client.sleep(2)
        self.error("x")
        self.ib.connect()

    def error(self, text):
        print(text)


worker = Worker()
worker.run()
worker.disconnect()
