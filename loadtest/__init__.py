"""The load tester: what each size of a model costs in time, measured over HTTP.

It does not know how the server or the models are made: it imports neither.
"""
