"""Where torch computes while it trains: on a GPU if it sees one, else on the CPU."""

from collections.abc import Sequence

import torch


def to_training_device(model: torch.nn.Module) -> None:
    """Move the weights to the first GPU of CUDA_VISIBLE_DEVICES; without one, to the CPU."""
    model.to("cuda" if torch.cuda.is_available() else "cpu")


def device_of(model: torch.nn.Module) -> torch.device:
    """Return where the model's weights are; the CPU for one that has none."""
    return next((each.device for each in model.parameters()), torch.device("cpu"))


def has_bf16(device: torch.device) -> bool:
    """Return whether `device` multiplies bf16 itself: a CPU that imitates it is 20 times slower."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return any(has for name, has in torch.cpu.get_capabilities().items() if "bf16" in name)


def random_states() -> list[torch.Tensor]:
    """Return the states of the random numbers: the CPU's, then the GPU's if it trains on one."""
    gpu = [torch.cuda.get_rng_state()] if torch.cuda.is_available() else []
    return [torch.get_rng_state(), *gpu]


def set_random_states(states: Sequence[torch.Tensor]) -> None:
    """Go on from `states`, as far as the device is the same kind as theirs."""
    torch.set_rng_state(states[0])
    if torch.cuda.is_available() and len(states) > 1:
        torch.cuda.set_rng_state(states[1])
