import paho.mqtt.client as mqtt

client = mqtt.Client()
client.connect("broker", 1883, 60)


def error(reqId, errorCode, errorString):
    print(reqId, errorCode, errorString)


client.on_disconnect = error
if client.is_connected():
    client.disconnect()
