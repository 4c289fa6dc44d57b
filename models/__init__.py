"""Models: turns a classifier into a family of bundles, each with its measured accuracy.

This is the only program that uses PyTorch. A recipe makes one variant, stage by stage; a stage is
skipped while everything it depends on is unchanged. Start reading at __main__.py, recipe.py and
pipeline.py.
"""
