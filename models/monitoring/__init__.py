"""Monitoring: what a served family's text log says of it: accuracy, drift, texts worth labelling.

It needs neither torch nor a recipe. Start reading at measure.py: log.py reads the log, figures.py
says what its rows mean, worth_labelling.py chooses texts.
"""
