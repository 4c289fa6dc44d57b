"""Measurement: start a server, send it load with Locust, keep the raw times.

Each variant runs alone on a server of its own, in interleaved rounds. Locust puts this folder on
sys.path, so no module here may have the name of a standard one. Start reading at run.py and
locustfile.py.
"""
