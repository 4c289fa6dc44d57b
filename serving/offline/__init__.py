"""Offline jobs: `python -m serving classify` labels a file of texts.

A job that is killed continues where it stopped and loses no row.
Start reading at job.py.
"""
