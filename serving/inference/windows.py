"""Long texts as overlapping windows: where they are cut, and how they become one answer. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from serving.bundles.bundle import Manifest
from serving.bundles.windows import Rule, Windows
from serving.errors import TextTooLong
from serving.inference.inputs import Encoding

_Floats = npt.NDArray[np.float64]
UNBOUNDED = 1 << 30
"""As many windows as there are."""


@dataclass(frozen=True, slots=True)
class Windowing:
    """How a variant answers texts in windows; see Windows. `temperature` is of joined logits.

    `most` bounds the windows of a text, `most_together` those of a request.
    """

    rule: Rule
    overlap: float
    temperature: float
    most: int
    most_together: int


def windowing_of(
    windows: Windows, manifest: Manifest, most: int, most_together: int = UNBOUNDED
) -> Windowing:
    """Return how a variant answers texts in windows."""
    temperature = windows.temperatures.get(manifest.version, 1.0)
    return Windowing(windows.rule_for(manifest), windows.overlap, temperature, most, most_together)


class WholeText(NamedTuple):
    """The tokens of a whole text, special ones included, or of a pair.

    Those from `first` to before `stop` are the text's own, or the second text's of a pair, and
    `spans` holds the characters of each of them. The others belong into each window.
    """

    ids: list[int]
    types: list[int] | None
    first: int
    stop: int
    spans: list[tuple[int, int]]


class Cut(NamedTuple):
    """A text as windows, and the characters of the text that each one holds."""

    windows: list[Encoding]
    spans: list[tuple[int, int]]


def windows_of(text: WholeText, manifest: Manifest, windowing: Windowing) -> Cut:
    """Cut a text that is too long into windows. Raises TextTooLong."""
    own = text.stop - text.first
    room = manifest.max_length - (len(text.ids) - own)
    if room < 1:
        raise TextTooLong(
            f"the first text leaves no room in the {manifest.max_length} tokens of "
            f"{manifest.variant} for a window of the second: shorten it",
            limit=manifest.max_length,
            value=len(text.ids),
        )
    starts = starts_of(own, room, windowing)
    if len(starts) > windowing.most:
        raise TextTooLong(
            f"the text takes {len(starts)} windows of {manifest.variant}, but SIZEWISE_MAX_WINDOWS "
            f"allows {windowing.most}: shorten it, or have it truncated",
            limit=windowing.most,
            value=len(starts),
        )
    return _cut(text, room, starts)


def starts_of(tokens: int, room: int, windowing: Windowing) -> list[int]:
    """Return the token at which each window of `room` tokens begins.

    All windows are full and evenly spread, so each may share more than the overlap with the next;
    the first begins with the text, the last ends with it, and all tokens are in a window, unless
    only the first and the last are wanted.
    """
    if tokens <= room:
        return [0]
    stride = room - int(room * windowing.overlap)
    gaps = -(-(tokens - room) // stride)
    wanted = (0, gaps) if windowing.rule == "first_and_last" else range(gaps + 1)
    return [index * (tokens - room) // gaps for index in wanted]


def _cut(text: WholeText, room: int, starts: Sequence[int]) -> Cut:
    """Cut a text into windows that begin at `starts`, each with all special tokens."""
    head, tail = slice(0, text.first), slice(text.stop, None)
    windows, spans = [], []
    for start in starts:
        its = slice(text.first + start, min(text.first + start + room, text.stop))
        ids = text.ids[head] + text.ids[its] + text.ids[tail]
        types = text.types and text.types[head] + text.types[its] + text.types[tail]
        windows.append(Encoding(ids, len(ids), types))
        # Some tokens have no characters of their own.
        held = [span for span in text.spans[start : start + room] if span[0] < span[1]]
        begin = min((first for first, _ in held), default=0)
        spans.append((begin, max((end for _, end in held), default=begin)))
    return Cut(windows, spans)


class Joined(NamedTuple):
    """The logits of a text, and for each label the window in which its score is highest."""

    logits: list[float]
    deciding: list[int]


def joined(rows: Sequence[Sequence[float]], manifest: Manifest, windowing: Windowing) -> Joined:
    """Join the logits of a text's windows, of shape (windows, labels).

    With the manifest's temperature, the logits give the text's scores. Of equal windows the first
    decides.
    """
    logits = np.array(rows, dtype=np.float64)
    highest = windowing.rule == "max"
    if manifest.problem_type == "regression":
        values = logits.max(axis=0) if highest else logits.mean(axis=0)
        return Joined(values.tolist(), logits.argmax(axis=0).tolist())
    logits /= manifest.temperature
    if manifest.multi_label:
        held = logits  # what is likelier has a higher logit
        found = held.max(axis=0) if highest else _log_odds_of_mean(logits)
    else:
        held = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        found = held.max(axis=0) if highest else np.logaddexp.reduce(held, axis=0)
    found *= manifest.temperature / windowing.temperature
    return Joined(found.tolist(), held.argmax(axis=0).tolist())


def _log_odds_of_mean(logits: _Floats) -> _Floats:
    """Return the log odds of each label's mean probability, without leaving the logarithms."""
    applies = np.logaddexp.reduce(-np.logaddexp(0.0, -logits), axis=0)
    fails = np.logaddexp.reduce(-np.logaddexp(0.0, logits), axis=0)
    return np.asarray(applies - fails)
