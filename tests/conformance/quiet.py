"""Keeps the libraries' own words off the terminal: torch prints a graph that it cannot export."""

import contextlib
import os
import warnings

import torch
import transformers


@contextlib.contextmanager
def quietly():
    """Without warnings, bars and what C++ prints; one thread of PyTorch."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    kept = [os.dup(stream) for stream in (1, 2)]
    with open(os.devnull, "w") as nowhere, warnings.catch_warnings():  # noqa: PTH123
        warnings.simplefilter("ignore")
        for stream in (1, 2):
            os.dup2(nowhere.fileno(), stream)
        try:
            yield
        finally:
            for stream, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, stream)
                os.close(copy)
