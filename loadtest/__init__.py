"""The load test: latency, throughput and cost against model size, and what to deploy.

It speaks HTTP to the server and imports neither serving nor models. Raw times are kept, and every
figure is computed from them. Start reading at __main__.py, scenario.py and samples.py.
"""
