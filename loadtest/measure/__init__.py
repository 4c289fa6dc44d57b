"""Measurement: start a server, send it load with Locust, keep raw times.

Start reading at run.py and locustfile.py.
"""
