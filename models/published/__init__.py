"""Published: bundles of a registry measured, and written in other number formats.

Neither torch nor a recipe is needed. Start reading at measuring.py and quantizing.py.
"""
