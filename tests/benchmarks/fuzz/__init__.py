"""Mutated requests against a real server; see __main__.py."""
