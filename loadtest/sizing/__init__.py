"""Sizing: which variant to deploy on how many replicas, and which metrics to scale on.

Recommendations come from measured curves; verify.py measures whether they hold. Start reading at
recommend.py and autoscaling.py.
"""
