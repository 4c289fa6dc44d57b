"""The server: text in, labels out.

It does not know how bundles are made (models/) or measured (loadtest/).
"""
