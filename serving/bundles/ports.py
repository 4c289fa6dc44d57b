"""The inputs and outputs of a graph as its runtime declares them; which output is the answer."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from serving.errors import BundleError

LOGITS = "logits"
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
    found = fitting(outputs, labels)
    if len(found) == 1:
        return found[0].name
    wanted = f"floating-point numbers of the shape [batch, {labels}]"
    raise BundleError(
        f"{model} answers {', '.join(map(str, outputs))}: "
        + (
            f"more than one has {wanted}: name the one with the logits logits"
            if found
            else f"none has {wanted}, one for each label: export the classifier's logits"
        )
    )


def fitting(outputs: Sequence[Port], labels: int = 0) -> list[Port]:
    """Return the outputs that may be the answer for so many labels; 0 allows any number.

    One that says how many numbers it has is before those that leave it open.
    """
    candidates = [port for port in outputs if port.name == LOGITS] or outputs
    found = [port for port in candidates if _fits(port, labels)]
    exact = [port for port in found if labels and port.size(1) == labels]
    return exact or found


def _fits(port: Port, labels: int) -> bool:
    if port.kind not in _FLOATS:
        return False
    if port.shape is None:
        return True
    return len(port.shape) == 2 and (not labels or port.shape[1] in {None, labels})
