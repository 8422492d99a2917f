from django.db import models
from click import Option
from web3 import Web3


class Stock(models.Model):
    name = models.CharField(max_length=10)


class Index(models.Model):
    stock = models.ForeignKey(Stock, on_delete=models.CASCADE)


s = Stock(name="x")
w3 = Web3(None)
c = w3.eth.contract(address="0x0")
Contract = c.factory
Contract()
o = Option(["--x"])
if w3.isConnected():
    w3.disconnect()
