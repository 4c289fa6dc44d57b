"""Decisions: from which score on a text is flagged for a label, with a guarantee.

With the chosen confidence, the share of wrong decisions stays within the target of each label.
Start reading at build.py and thresholds.py.
"""
