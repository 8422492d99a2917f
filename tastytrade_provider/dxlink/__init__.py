"""dxLink, sans-IO: `messages` are the words, `connection` the order they come in, `rows` the events inside FEED_DATA.

Client and server are the same class; it reads no socket and no clock.
"""
