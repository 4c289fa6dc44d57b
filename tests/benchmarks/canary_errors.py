"""How often a canary's sequential test errs, and how much feedback it needs.

`python -m tests.benchmarks.canary_errors`

Each stream of feedback is looked at after every single one. Errors are those at any look: a canary
as good as the live version withdrawn, one that is worse by exactly the margin promoted. Beside them
are those of a z-test that is looked at as often. Where rates drift, both versions' do, together.
"""

import argparse
import sys

import numpy as np
from scipy.stats import binomtest
from tqdm import tqdm

from models.reports.markdown import table
from tests.support.feedback_streams import (
    MARGIN,
    PROMOTE,
    WITHDRAW,
    counts_of,
    decided,
    errors,
    errors_of_z,
)

RATES = (0.6, 0.85, 0.97)
SHARES = (0.1, 0.5)
DIFFERENCES = (0.05, 0.02, 0.0, -0.05, -0.1)
ALPHA = 0.05
BLOCK = 50
DRIFT, DRIFT_STEP = 0.1, 100


def in_blocks(streams, generator, length, rates, share):
    for start in range(0, streams, BLOCK):
        yield counts_of(generator, min(BLOCK, streams - start), length, rates, share)


def error_row(null, streams, length):
    """Of one null: the share of streams with an error at any look."""
    name, test, rate, share = null
    generator = np.random.default_rng(0)
    drifts = name == "drifting"
    drift = DRIFT * np.sin(np.linspace(0, 6 * np.pi, length)) if drifts else 0.0
    rates = (rate + test.bound + drift, rate + drift)
    found, sizes = [], []
    for counts in in_blocks(streams, generator, length, rates, share):
        if drifts:
            seen = counts[:, :, DRIFT_STEP - 1 :: DRIFT_STEP]
            wrong, excluded = decided(seen, test).any(axis=1).mean(), np.nan
        else:
            wrong, excluded = errors(counts, test, rates)
        found.append((wrong, excluded, errors_of_z(counts, test)))
        sizes.append(counts.shape[1])
    shares = np.average(found, axis=0, weights=sizes)
    what = "withdrawn" if test is WITHDRAW else "promoted"
    says = ["" if np.isnan(each) else f"{100 * each:.1f}" for each in shares]
    return shares[0], (what, name, f"{rate:.2f}", f"{share:.0%}", *says)


def power_row(case, streams, length, step):
    """Of one difference: what is decided, and after how much feedback in the median."""
    rate, share, apart = case
    generator = np.random.default_rng(1)
    looks = np.arange(step - 1, length, step)
    ends = []
    for counts in in_blocks(streams, generator, length, (rate + apart, rate), share):
        seen = counts[:, :, looks]
        first = [_first(decided(seen, test), looks) for test in (WITHDRAW, PROMOTE)]
        ends.append(np.stack(first))
    withdrawn, promoted = np.concatenate(ends, axis=1)
    end = np.minimum(withdrawn, promoted)
    median = float(np.median(end))
    return (
        f"{rate:.2f}",
        f"{share:.0%}",
        f"{100 * apart:+.0f}",
        f"{100 * np.mean(withdrawn < promoted):.0f}",
        f"{100 * np.mean(promoted < withdrawn):.0f}",
        f"{median:,.0f}" if np.isfinite(median) else f"over {length:,}",
    )


def _first(hits, looks):
    return np.where(hits.any(axis=1), looks[hits.argmax(axis=1)] + 1.0, np.inf)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--length", type=int, default=20_000, help="feedbacks of a stream")
    parser.add_argument("--power-streams", type=int, default=100)
    parser.add_argument("--power-length", type=int, default=100_000)
    parser.add_argument("--step", type=int, default=500, help="of the looks for power")
    arguments = parser.parse_args()
    nulls = [
        (name, test, rate, share)
        for test in (WITHDRAW, PROMOTE)
        for name, rates in (("constant", RATES), ("drifting", RATES[1:2]))
        for rate in rates
        for share in SHARES
    ]
    worst, rows = 0.0, []
    for null in tqdm(nulls, "errors"):
        wrong, row = error_row(null, arguments.streams, arguments.length)
        worst = max(worst, wrong)
        rows.append(row)
    heads = ("error", "rates", "live", "canary's share", "errors, %", "truth left, %", "z-test, %")
    print(table(heads, rows))
    cases = [(r, s, d) for r in RATES for s in SHARES for d in DIFFERENCES if r + d < 1]
    sizes = (arguments.power_streams, arguments.power_length, arguments.step)
    rows = [power_row(case, *sizes) for case in tqdm(cases, "power")]
    heads = ("live", "canary's share", "difference", "withdrawn, %", "promoted, %", "feedback")
    print(table(heads, rows))
    print(f"margin {100 * MARGIN:g} points; feedback: the median until a decision")
    allowed = binomtest(round(ALPHA * arguments.streams), arguments.streams)
    return int(worst > allowed.proportion_ci(0.99, method="exact").high)


if __name__ == "__main__":
    sys.exit(main())
