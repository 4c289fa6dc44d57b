"""The Open Inference Protocol V2, as Triton and KServe speak it, over HTTP and gRPC.

semantics.py holds the meaning of tensors for both transports.
Start reading at semantics.py.
"""
