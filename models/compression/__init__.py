"""Compression: from a classifier, or a base model and labelled texts, to a family in one command.

A planner that writes ordinary recipes and has the pipeline run them; nothing is made in another
way. Start reading at plan.py, which decides, and runner.py, which does it.
"""
