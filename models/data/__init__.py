"""Data: reads tables of a user's texts and divides them into splits without leakage.

Whatever is wrong with a table is reported by file and line, with a remedy. Start reading at
readers.py, splits.py and labelled.py.
"""
