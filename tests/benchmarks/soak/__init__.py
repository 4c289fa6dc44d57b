"""Millions of requests of every kind to one server: nothing grows, and every count is right.

Start reading in __main__.py; kinds.py says what is sent, changes.py what changes meanwhile.
"""
