"""`python -m tests.benchmarks.faults`: faults in real servers, and what was promised.

Start at __main__.py. Each file `*_faults.py` holds one group of faults; run.py starts the server
of a fault, watcher.py is what its clients and probes see, outcome.py judges it.
"""
