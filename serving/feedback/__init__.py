"""Feedback: which answers were right, by those who asked, and a sample of texts to learn from.

Nothing is kept unless a setting says so. `recorder.py` notes each answer down: in `answered.py`,
the answered requests that feedback can be given on, without their texts, bounded in number and in
time; and in `text_log.py`, where consenting callers' texts are written by a thread of their own.
`log_files.py` is the form and the place of those files.
"""
