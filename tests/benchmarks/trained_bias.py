"""A known truth of `python -m models groups`: the gap of a model that was trained on a biased set.

In every text one word is what it means, and is right as often in both groups. Another, the marker,
only goes along with the label, and more often in group A, of which the training texts have most. A
bag of words that trusts the marker alone has the gap that was put in; one that reads the meaning
alone has none. There are so few different texts that the true gaps of a trained classifier are
computed and not sampled.

Counted are the repetitions in which the intervals of all gaps hold the truth of the classifier that
was trained. Exit status 1 if it is fewer than promised, less three standard errors.
"""

import argparse
import sys
from itertools import product

import numpy as np

from models.evaluation.baselines import bag_of_words
from models.evaluation.statistics import Flags, Floats, Indices
from models.group_report.figures import Answers, figures

PROMISED = 0.95
GROUPS, LABELS = ("A", "B"), ("negative", "positive")
MEANINGS = (("dull", "slow", "rude", "stale"), ("good", "kind", "fast", "fresh"))
MARKERS = (("monday", "rain", "basement", "winter"), ("sunday", "sun", "garden", "summer"))
NOUNS = ("film", "book", "phone", "hotel")
MEANING_AGREES = 0.85
MARKER_AGREES = {"A": 0.95, "B": 0.80}
PUT_IN = MARKER_AGREES["A"] - MARKER_AGREES["B"]
SHARE_OF_A = 0.9
"""In the training texts; of the others that are measured, half."""

WORDS = [
    (meaning, marker, f"{MEANINGS[meaning][a]} {noun} {MARKERS[marker][b]}")
    for meaning, marker, a, noun, b in product(range(2), range(2), range(4), NOUNS, range(4))
]
TEXTS = [text for *_, text in WORDS]


def chances(group: str) -> Floats:
    """Return how likely each of TEXTS with each label is in a group, (texts, labels)."""

    def agree(given: int, label: int, share: float) -> float:
        return share if given == label else 1 - share

    likely = [
        [
            agree(meaning, label, MEANING_AGREES) * agree(marker, label, MARKER_AGREES[group])
            for label in range(2)
        ]
        for meaning, marker, _ in WORDS
    ]
    return np.array(likely) / np.sum(likely)


def true_gaps(positive: Flags) -> list[float]:
    """Return the gaps of a classifier that answers `positive` to these of TEXTS, as `figures` does.

    They are of accuracy, then of recall and false-positive rate of each label.
    """
    of_groups = []
    for group in GROUPS:
        likely = chances(group)
        given = np.stack([~positive, positive], axis=1)
        accuracy = (likely * given).sum()
        rates = [
            (likely[:, of] * given[:, label]).sum() / likely[:, of].sum()
            for label in range(2)
            for of in (label, 1 - label)
        ]
        of_groups.append([accuracy, *rates])
    return np.abs(np.subtract(*of_groups)).tolist()


def drawn(generator: np.random.Generator, group: str, texts: int) -> tuple[Indices, Flags]:
    """Draw texts of a group: their places in TEXTS, and their labels, (texts, labels)."""
    likely = chances(group)
    at = generator.choice(likely.size, texts, p=likely.ravel())
    return at // 2, np.eye(2, dtype=np.bool_)[at % 2]


def both(generator: np.random.Generator, sizes: tuple[int, int]) -> tuple[Indices, Flags]:
    """Draw so many texts of each group."""
    found = [drawn(generator, *each) for each in zip(GROUPS, sizes, strict=True)]
    places, truth = zip(*found, strict=True)
    return np.concatenate(places), np.concatenate(truth)


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--trained", type=int, default=1000, help="texts that are trained on")
    parser.add_argument("--measured", type=int, default=1000, help="texts that are measured")
    options = parser.parse_args(arguments)
    many = round(SHARE_OF_A * options.trained)
    half = options.measured // 2
    columns = {"group": [GROUPS[0]] * half + [GROUPS[1]] * half}
    true, held, put_in_held, shown = [], 0, 0, 0
    for seed in range(options.seeds):
        generator = np.random.default_rng(seed)
        places, truth = both(generator, (many, options.trained - many))
        known = bag_of_words([TEXTS[at] for at in places], truth, TEXTS, "single_label")
        places, truth = both(generator, (half, half))
        everyone = np.ones(len(places), dtype=np.bool_)
        answers = Answers(LABELS, truth, known[places], everyone, multi_label=False)
        (column,) = figures({"trained": answers}, columns, "trained")["trained"]
        gaps = [each.gap for each in column.measures if each.gap]
        wanted = true_gaps(known[:, 1])
        true.append(wanted[0])
        held += all(gap.low <= value <= gap.high for gap, value in zip(gaps, wanted, strict=True))
        put_in_held += gaps[0].low <= PUT_IN <= gaps[0].high
        shown += gaps[0].low > 0
    print("| what | of the seeds |\n|---|--:|")
    print(f"| gap put in, points | {100 * PUT_IN:.1f} |")
    low, high = np.quantile(true, [0.025, 0.975])
    mean = 100 * np.mean(true)
    print(
        f"| true gap of those trained, points | {mean:.1f} ({100 * low:.1f} to {100 * high:.1f}) |"
    )
    for what, count in (
        ("all five intervals hold the truth, %", held),
        ("that of accuracy holds the gap put in, %", put_in_held),
        ("a gap in accuracy is shown, %", shown),
    ):
        print(f"| {what} | {100 * count / options.seeds:.1f} |")
    least = PROMISED - 3 * np.sqrt(PROMISED * (1 - PROMISED) / options.seeds)
    return int(held / options.seeds < least)


if __name__ == "__main__":
    sys.exit(main())
