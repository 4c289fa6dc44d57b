"""Cascades: variants in a row with a guarantee on what the row loses.

Start reading at build.py, candidates.py and risk_control.py.
"""
