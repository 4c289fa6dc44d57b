"""Access: who may send requests, and how many.

API keys identify callers, kept as hashes; rate limits bound what each caller uses.
Start reading at api_keys.py.
"""
