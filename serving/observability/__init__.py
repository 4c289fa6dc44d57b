"""Observability: metrics, traces, and one record and log line for each request.

What happened is measured where it happens and recorded here once.
Start reading at request_log.py and metrics.py.
"""
