"""Evaluation: a bundle's predictions by serving's own engine, and statistics on them.

Every figure has a 95 % interval. Start reading at predictions.py and statistics.py.
"""
