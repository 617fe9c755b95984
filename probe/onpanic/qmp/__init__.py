"""The QMP client: addresses, one connection, and how much the other side may say.

Everything that speaks QMP uses `client.QmpClient`: the probe over an emulator's stdin and
stdout, live sources and the watcher over a socket.
"""
