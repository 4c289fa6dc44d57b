"""The server: text in, labels out.

It serves bundles over HTTP and gRPC without PyTorch. Every input is validated at the edge, and
nothing that was accepted is lost. Start reading at __main__.py and settings.py, then
server/launch.py; errors.py lists everything that a client can be told.
"""
