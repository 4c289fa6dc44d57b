"""Inference: text to tokens to a batch to logits, on the fastest engine that agrees.

An Engine turns one batch into logits; engine_selection.py measures the engines on this machine
and picks one. Nothing here knows who sent a text or when it must be answered.
Start reading at engine.py, inputs.py and engine_selection.py.
"""
