"""Where torch computes while it trains: on a GPU if it sees one, else on the CPU."""

import torch


def to_training_device(model: torch.nn.Module) -> None:
    """Move the weights to the first GPU of CUDA_VISIBLE_DEVICES; without one, to the CPU."""
    model.to("cuda" if torch.cuda.is_available() else "cpu")


def device_of(model: torch.nn.Module) -> torch.device:
    """Return where the model's weights are; the CPU for one that has none."""
    return next((each.device for each in model.parameters()), torch.device("cpu"))
