"""Graphs: ONNX graphs traced, packed, quantized and imported.

Start reading at trace.py, packing.py and quantizers.py.
"""
