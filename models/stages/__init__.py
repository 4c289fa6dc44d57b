"""Stages: the steps of a recipe, a file for each, with `run(job)` in it.

A stage reads its job's inputs and fills its output folder. No module imports a stage: the pipeline
is handed them by name (models.runners). Start reading at data.py, train.py and export.py.
"""
