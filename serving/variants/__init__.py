"""Variants: which variant of a family answers a text.

The selection lists the options, best first; the family tries them, and brownout moves down the
list under overload. Start reading at selection.py and family.py.
"""
