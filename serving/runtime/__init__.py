"""The runtime: the engines of this process or of another one, in line with the registry.

The reconciler loads what the registry holds; the service answers from it and follows each change.
Start reading at interface.py, reconciler.py and service.py.
"""
