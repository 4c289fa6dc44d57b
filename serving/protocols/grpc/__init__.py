"""gRPC: one port for every protocol that is spoken over it, with bounds on whatever a client holds.

server.py names the protocols; messages.py makes their messages from tables.
Start reading at server.py.
"""
