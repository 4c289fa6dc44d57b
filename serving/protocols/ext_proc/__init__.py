"""Envoy's external processor (ext_proc): the user's text is classified before a request goes on.

user_texts.py reads an OpenAI-style body, verdict.py says what becomes of the request, replies.py
writes that as Envoy's messages.
Start reading at processor.py.
"""
