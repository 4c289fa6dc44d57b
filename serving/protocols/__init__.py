"""Protocols: how clients ask and how they are answered.

Each protocol parses a body into a Question and writes the answer in its own form; dataplane.py
does everything in between, so a limit holds in every protocol or in none.
Start reading at dataplane.py and native.py.
"""
