"""Robustness: a family's variants on altered texts, against the best of them.

Neither torch nor a recipe is needed. Start reading at measure.py: answers.py runs variants and
keeps what they answered, figures.py and worst_case.py say what that means, and gate.py whether a
variant may be published.
"""
