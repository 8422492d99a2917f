import sqlite3

import psycopg2
from sqlite3 import connect


class Store:
    def __init__(self, path):
        self.db = sqlite3.connect(path)
        self.other = connect(path)
        self.pg = psycopg2.connect(host="localhost", port=5432)

    def run(self):
        self.db.execute("select 1")

    def disconnect(self):
        self.db.close()


store = Store("x.db")
store.run()
store.disconnect()
