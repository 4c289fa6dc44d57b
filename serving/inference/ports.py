"""The inputs and outputs of a graph as its runtime declares them; which output is the answer."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from serving.errors import BundleError

_FLOATS = {"float16", "bfloat16", "float32", "float64"}


class Port(NamedTuple):
    """One input or output: `kind` as NumPy names it, and its shape.

    A size of None is dynamic; a shape of None is not known.
    """

    name: str
    kind: str
    shape: tuple[int | None, ...] | None = None

    def __str__(self) -> str:
        """Describe it: its name, kind and shape."""
        sizes = "?" if self.shape is None else ", ".join(str(size or "?") for size in self.shape)
        return f"{self.name} ({self.kind} [{sizes}])"

    def size(self, axis: int) -> int:
        """Return the fixed size of an axis; 0 if it is dynamic."""
        shape = self.shape or ()
        return (shape[axis] or 0) if axis < len(shape) else 0


def answer_of(outputs: Sequence[Port], labels: int, model: Path) -> str:
    """Name the output with a row of numbers for each text: `logits`, or the only one of that shape.

    Raises BundleError if no output, or more than one, may be it.
    """
    candidates = [port for port in outputs if port.name == "logits"] or outputs
    fitting = [port for port in candidates if _fits(port, labels)]
    exact = [port for port in fitting if port.size(1) == labels]
    for found in (exact, fitting):
        if len(found) == 1:
            return found[0].name
    wanted = f"floating-point numbers of the shape [batch, {labels}]"
    raise BundleError(
        f"{model} answers {', '.join(map(str, outputs))}: "
        + (
            f"more than one has {wanted}: name the one with the logits logits"
            if fitting
            else f"none has {wanted}, one for each label: export the classifier's logits"
        )
    )


def _fits(port: Port, labels: int) -> bool:
    if port.kind not in _FLOATS:
        return False
    return port.shape is None or (len(port.shape) == 2 and port.shape[1] in {None, labels})
