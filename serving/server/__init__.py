"""The server: sockets, processes and the ASGI application.

Nothing that was accepted is lost on shutdown.
Start reading at launch.py and app.py.
"""
