"""`python -m tests.benchmarks.gpu_report`: the figures of a GPU in one run of nine minutes.

Start at __main__.py. Each part is a program of its own, which a time limit can end: parts.py lists
them, run.py runs them and keeps what they found, page.py shows it.
"""
