"""Bundles that no server should serve, each broken in its own way; see cases.py."""
