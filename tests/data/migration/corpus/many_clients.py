from ib_insync import IB

clients = [IB() for _ in range(3)]
for number, client in enumerate(clients):
    client.connect("127.0.0.1", 7497, clientId=number)
for client in clients:
    client.disconnect()

by_name = {"data": IB(), "spare": IB()}
by_name["data"].connect("127.0.0.1", 7497, 10)
for one in by_name.values():
    one.disconnect()
clients[0].sleep(1)
