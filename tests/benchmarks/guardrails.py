"""A family as a guardrail: false alarms, recall and time of each variant, beside a list of words.

`python -m tests.benchmarks.guardrails FAMILY --label LABEL --registry REGISTRY --data DATA` takes
DATA from `python -m models data`. A variant is run by serving's tokenizer and reference engine, one
text a batch, long texts truncated. It flags a text by the family's own rule, and from the threshold
in the family's decisions.json on if there is one. All is counted on the test split.
`hard_negatives.csv` has harmless prompts with words that alarm. `--words FILE` has a word or phrase
a line; a text with one of them is flagged.
"""

import argparse
import csv
import json
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from models.data.labelled import label_matrix, read_labels, read_split
from models.evaluation.predictions import Predictor, predicted, probabilities
from models.evaluation.statistics import Flags, proportion
from serving.bundles.registry import read_registry

HARD_NEGATIVES = Path(__file__).with_name("hard_negatives.csv")
TIMED_TEXTS = 200
HEAD = (
    *("variant", "MB", "flags", "false positives, %", "recall, %", "hard negatives", "of them"),
    *("ms", "ms, full"),
)


class Texts(NamedTuple):
    """What is flagged or not; `truth` is whether a test text has the label."""

    test: list[str]
    truth: Flags
    hard: list[str]
    words: list[str]


class Flagged(NamedTuple):
    """Which test texts and hard negatives a rule flags."""

    rule: str
    test: Flags
    hard: Flags


def decided(registry: Path, family: str, label: str) -> dict[str, float]:
    """The label's threshold of each variant, from the family's decisions.json if it has one."""
    path = registry / family / "decisions.json"
    if not path.is_file():
        return {}
    return {
        decider["variant"]: each["threshold"]
        for decider in json.loads(path.read_text(encoding="utf-8"))["deciders"]
        for each in decider["labels"]
        if each["label"] == label
    }


def word_matcher(entries: list[str]) -> Callable[[str], bool]:
    """Whether a text has one of the words or phrases, in any case."""
    words = {" ".join(entry.lower().split()) for entry in entries} - {""}
    found = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, sorted(words)))})(?!\w)")
    return lambda text: bool(found.search(" ".join(text.lower().split())))


def variant_flags(bundle, predictor, texts, label, limit) -> list[Flagged]:
    """What a variant flags by its family's rule, and from the score `limit` on if there is one."""
    manifest = bundle.manifest
    at = manifest.labels.index(label)
    logits = [predictor.logits(some) for some in (texts.test, texts.hard)]
    found = [
        Flagged("its own", *(predicted(some, manifest.problem_type)[:, at] for some in logits))
    ]
    if limit is not None:
        scores = (
            probabilities(some, manifest.problem_type, manifest.temperature)[:, at]
            for some in logits
        )
        found.append(Flagged(f"from {limit:.4f}", *(some >= limit for some in scores)))
    return found


def row(name: str, size: str, times_ms: tuple[str, str], flagged: Flagged, texts: Texts) -> str:
    """A line of the table."""
    rates = (proportion(flagged.test[texts.truth == has]) for has in (False, True))
    by_words = Counter(
        words for words, it_is in zip(texts.words, flagged.hard, strict=True) if it_is
    )
    cells = (
        *(name, size, flagged.rule),
        *(
            f"{100 * rate.value:.1f} [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"
            for rate in rates
        ),
        f"{flagged.hard.sum()} of {len(flagged.hard)}",
        ", ".join(f"{words} {count}" for words, count in by_words.most_common()) or "-",
        *times_ms,
    )
    return f"| {' | '.join(cells)} |"


def word_row(path: Path, texts: Texts) -> str:
    """The line of a list of words."""
    entries = [*filter(str.strip, path.read_text(encoding="utf-8").splitlines())]
    matches = word_matcher(entries)
    test, hard = (np.array([*map(matches, some)]) for some in (texts.test, texts.hard))
    seconds = []
    for text in texts.test[:TIMED_TEXTS]:
        started_s = time.perf_counter()
        matches(text)
        seconds.append(time.perf_counter() - started_s)
    alone_ms = f"{1000 * statistics.median(seconds):.3f}"
    name = f"{path.name}, {len(entries)} entries"
    return row(name, "", (alone_ms, alone_ms), Flagged("has one", test, hard), texts)


def read_texts(data: Path, label: str) -> Texts:
    """Read the test split and the hard negatives."""
    labels = read_labels(data)
    if label not in labels.names:
        raise SystemExit(f"--label {label}: choose from {', '.join(labels.names)}")
    rows = read_split(data, "test")
    with HARD_NEGATIVES.open(encoding="utf-8", newline="") as file:
        hard = list(csv.DictReader(file))
    return Texts(
        test=[each.text for each in rows],
        truth=label_matrix(rows, labels)[:, labels.names.index(label)],
        hard=[each["text"] for each in hard],
        words=[each["words"] for each in hard],
    )


def main(arguments=None):
    options = parse(arguments)
    texts = read_texts(options.data, options.label)
    limits = decided(options.registry, options.family, options.label)
    print(f"| {' | '.join(HEAD)} |")
    print("|---|--:|---|--:|--:|--:|---|--:|--:|")
    for bundle in read_registry(options.registry)[options.family]:
        variant = bundle.manifest.variant
        predictor = Predictor(bundle)
        alone_ms = 1000 * statistics.median(predictor.latencies_s(texts.test[:TIMED_TEXTS]))
        full_ms = 1000 / predictor.texts_per_second(texts.test)
        times_ms = (f"{alone_ms:.2f}", f"{full_ms:.2f}")
        size = f"{bundle.manifest.bytes / 1e6:.1f}"
        limit = limits.get(variant)
        for flagged in variant_flags(bundle, predictor, texts, options.label, limit):
            print(row(variant, size, times_ms, flagged, texts), flush=True)
    for path in options.words:
        print(word_row(path, texts), flush=True)
    print("Next: put what is worth keeping into docs/development/benchmarks")


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.guardrails", description=__doc__.splitlines()[0]
    )
    parser.add_argument("family")
    parser.add_argument("--label", required=True, help="what is flagged")
    parser.add_argument("--registry", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data stage")
    parser.add_argument("--words", type=Path, nargs="+", default=[], help="lists of words")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
