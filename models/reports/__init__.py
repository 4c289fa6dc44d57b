"""Reports: a variant's model card, and a family's error against its size.

They say what published manifests say, and nothing else. Start reading at family_report.py and
model_card.py.
"""
