"""Batching: which queued texts run next.

admission.py refuses what has no room or time, the scheduler decides the next batch, both without a
clock or a thread; the batcher runs the plans on engine threads. Every accepted text is answered
exactly once, and a failed batch fails only its own texts.
Start reading at scheduler.py, admission.py and batcher.py.
"""
