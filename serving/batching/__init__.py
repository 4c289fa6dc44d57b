"""Batching: which queued texts run next.

The scheduler decides, without a clock or a thread; the batcher runs its plans on engine threads.
Every accepted text is answered exactly once, and a failed batch fails only its own texts.
Start reading at scheduler.py and batcher.py.
"""
