"""Analysis: the arithmetic of a report, free of files and HTTP.

Raw times become summaries with intervals, curves of latency against load, a capacity, a Pareto
frontier and power laws. Start reading at summary.py, statistics.py and capacity.py.
"""
