"""Analysis: the arithmetic of a report. Pure.

Start reading at summary.py, statistics.py and capacity.py.
"""
