"""Reports: the model card, the family's table, and the power law of error against size.

Start reading at family_report.py.
"""
