"""Sizing: which variant on how many replicas, and which signal to scale on.

Start reading at recommend.py and autoscaling.py.
"""
