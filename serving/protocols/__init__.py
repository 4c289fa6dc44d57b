"""Protocols: how clients send requests and receive answers.

Each protocol parses a body into a Query and writes the answer in its own form. dataplane.py does
everything in between, so a limit applies to every protocol.
Start reading at dataplane.py and native.py.
"""
