"""Every classifier of transformers, tiny and random: imported, adopted, and held to its answers.

Start reading at architectures.py (which ones), judging.py (a cell) and table.py (the page).
"""
