"""A family's windows.json: what becomes of a text that is longer than the model reads."""

import hashlib
import json
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from serving.bundles.bundle import VERSION_HEX_DIGITS, Bundle, Manifest
from serving.bundles.evaluation import Estimate, Paired
from serving.bundles.family_file import read_beside
from serving.bundles.files import MOST, Frozen, Name, Sha256
from serving.errors import BundleError

WINDOWS_NAME = "windows.json"
Long = Literal["refuse", "truncate", "windows"]
"""What becomes of a text that is too long."""
Rule = Literal["max", "mean", "first_and_last"]
"""How the scores of a text's windows become the text's.

`max` takes each label's highest score, `mean` the mean of them, `first_and_last` the mean of the
first and the last window, and only these run. The scores of single-label families are then scaled
to a sum of 1.
"""


class MeasuredWindows(Frozen):
    """What the windows of one variant were worth on whole texts that had no part in the choice."""

    version: str
    """The version that was measured."""
    n: Annotated[int, Field(gt=0, le=MOST)]
    """Texts that are too long for it."""
    truncated: Estimate
    """Accuracy on them when they are truncated."""
    joined: Estimate
    """Accuracy on them by windows."""
    versus: Paired
    """Windows against truncation."""


class Windows(Frozen):
    """How a family answers long texts; also what is so without a file."""

    format_version: Literal[1] = 1
    """Version of this format."""
    long: Long = "refuse"
    """What becomes of long texts in requests that do not say it."""
    rule: Rule | None = None
    """How windows are joined; null is `max` for multi-label families and `mean` for all others."""
    overlap: Annotated[float, Field(ge=0, le=0.9)] = 0.25
    """Share of a window that the next one repeats, at least."""
    temperatures: dict[
        Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")], Annotated[float, Field(ge=0.01, le=100)]
    ] = Field(default={})
    """Divisor of the joined logits, by version of a variant; other versions have 1."""
    texts_sha256: Sha256 | None = None
    """Hash of the texts that rule, overlap and temperatures are from; null if nobody measured."""
    measured: dict[Name, MeasuredWindows] = Field(default={})
    """What was found, by variant."""

    def rule_for(self, manifest: Manifest) -> Rule:
        """Return how the windows of a variant are joined."""
        return self.rule or ("max" if manifest.multi_label else "mean")

    def fingerprint(self, manifests: Iterable[Manifest]) -> str:
        """A hash of what decides these variants' scores in windows, the same on all servers."""
        deciding = [
            (self.rule_for(each), self.overlap, self.temperatures.get(each.version, 1.0))
            for each in manifests
        ]
        return hashlib.sha256(json.dumps(deciding).encode()).hexdigest()[:VERSION_HEX_DIGITS]


def check_windows(windows: Windows, manifests: Iterable[Manifest]) -> None:
    """Raise BundleError if a family of these variants has no windows."""
    if windows.long == "windows" and any(each.tensors for each in manifests):
        raise BundleError(f"{WINDOWS_NAME}: a model of tensors has no windows")


def windows_beside(bundle: Bundle) -> Windows:
    """Read the windows.json of a bundle's family. Raises BundleError."""
    windows = read_beside(bundle, Windows, WINDOWS_NAME) or Windows()
    check_windows(windows, [bundle.manifest])
    return windows
