"""Sizing: what a recommendation needs beyond a report.

Which metrics to scale on, Helm values, and whether the recommendation holds when it is measured.
Start reading at verify.py and autoscaling.py.
"""
