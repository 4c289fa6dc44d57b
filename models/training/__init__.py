"""Training: the training loop, knowledge distillation and model surgery, in PyTorch.

Stages decide what to train; these tools know no stage. Start reading at loop.py,
knowledge_distillation.py and architecture.py.
"""
