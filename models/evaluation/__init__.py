"""Evaluation: a bundle's predictions by serving's own engine, and statistics on them.

Every score has a 95 % interval. Start reading at predictions.py, figures.py and statistics.py.
"""
