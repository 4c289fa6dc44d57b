"""Graphs: tools that trace, fuse, pack and quantize ONNX graphs, and import foreign ones.

None of them trains or judges a model. Start reading at trace.py, fusion.py and quantizers.py.
"""
