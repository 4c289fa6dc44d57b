"""The load test: latency, throughput and cost against model size, and what to deploy.

It speaks HTTP to the server and imports neither serving nor models. It keeps every request's raw
times and computes each figure from them. Start reading at __main__.py, scenario.py and samples.py.
"""
