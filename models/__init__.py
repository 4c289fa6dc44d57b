"""Upstream: turns a classifier into a family of bundles, each with its measured accuracy.

The only home of PyTorch. A recipe makes one variant, stage by stage; a stage that is up to date
is skipped. Start reading at __main__.py, recipe.py and pipeline.py.
"""
