"""Cascades: variants in order, each passing on the texts it is unsure about.

With the chosen confidence, the cascade loses no more against the largest variant than the target
allows. Start reading at build.py, selection.py and risk_control.py.
"""
