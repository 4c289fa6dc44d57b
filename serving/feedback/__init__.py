"""Feedback: which answers were right, by those who asked.

Start with `answered.py`: the answered requests that feedback can be given on, without their texts,
bounded in number and in time. `recorder.py` notes each answer down. Nothing is kept unless a
setting says so.
"""
