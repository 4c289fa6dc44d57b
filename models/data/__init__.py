"""Data: tables of a user's texts to labelled splits without leakage.

Start reading at readers.py, splits.py and labelled.py.
"""
