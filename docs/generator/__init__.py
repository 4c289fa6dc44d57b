"""What the site takes from the code at each build: the tables of the reference and a drawing.

A page of the reference is prose with lines `<!-- generated: NAME -->`; `hook.py`, which MkDocs
calls, puts in their place what `parts.py` has under that name. An unknown name fails the build.
Nothing that is made here is committed, so nothing can be stale. Start reading in `parts.py`.
"""
