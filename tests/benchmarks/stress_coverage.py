"""How often the intervals of `python -m models stress` hold together, by simulation.

Two variants lose texts of the same difficulty at known rates, under as many conditions as the
command has. Counted are the repetitions in which every interval of the gap holds its truth, and for
comparison those in which intervals of 95 % each would. Exit status 1 if it is fewer than promised,
less three standard errors.
"""

import argparse
import sys

import numpy as np

from models.evaluation import simultaneous
from models.evaluation.statistics import Floats

CONDITIONS = 26
PROMISED = 0.95
_SHARED = 0.7
_TRUTH_TEXTS = 1_000_000
_RATES = np.geomspace(0.002, 0.4, CONDITIONS)
"""Share of its texts that the small variant loses; the other loses four fifths of that."""


def drawn(generator: np.random.Generator, texts: int) -> Floats:
    """Return what the small variant loses beyond the other, of shape (conditions, texts)."""
    hard = generator.random(texts)
    rows = []
    for rate in _RATES:
        own = generator.random((2, texts))
        lost = _SHARED * hard + (1 - _SHARED) * own < np.array([[rate], [0.8 * rate]])
        rows.append(lost[0].astype(np.float64) - lost[1])
    return np.stack(rows)


def main(arguments: list[str] | None = None) -> int:
    """Print a row for each number of texts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=500)
    parser.add_argument("--texts", type=int, nargs="+", default=[200, 1000, 2000])
    options = parser.parse_args(arguments)
    truth = drawn(np.random.default_rng(0), _TRUTH_TEXTS).mean(axis=1)
    least = PROMISED - 3 * np.sqrt(PROMISED * (1 - PROMISED) / options.repetitions)
    kept = True
    print("| texts | all hold together, % |\n|--:|--:|")
    for texts in options.texts:
        generator, together = np.random.default_rng(1), 0
        for _ in range(options.repetitions):
            values = drawn(generator, texts)
            apart = np.abs(values.mean(axis=1) - truth)
            reach = [each.high - each.value for each in simultaneous.means(values)]
            together += bool((apart <= reach).all())
        print(f"| {texts:,} | {100 * together / options.repetitions:.1f} |", flush=True)
        kept &= bool(together / options.repetitions >= least)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
