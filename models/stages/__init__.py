"""Stages: one file a stage of the pipeline, each with `run(job)`.

Only the pipeline runs a stage, and no stage imports another.
Start reading at data.py and train.py.
"""
