"""Perturbations: texts altered by kind and strength, each a function of text, strength and seed.

They import nothing, so recipes, training and measuring share them. Start reading at kinds.py;
negation.py has pairs of sentences of opposite labels.
"""
