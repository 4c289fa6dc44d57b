"""Training: architectures, the training loop, and knowledge distillation, in PyTorch.

Start reading at loop.py and knowledge_distillation.py.
"""
