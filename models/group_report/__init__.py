"""Group reports: a family's variants by group of texts, against the best of them.

Neither torch nor a recipe is needed. Start reading at measure.py; figures.py says what the answers
mean, and gate.py whether a variant may be published. measure_pairs.py and pairs.py are the like for
texts whose words are swapped.
"""
