"""Retraining: from what a served family has seen to its next version, live.

Start reading at canary.py: it publishes new versions beside the live ones, gives them some traffic,
judges them by feedback, and promotes or withdraws them.
"""
