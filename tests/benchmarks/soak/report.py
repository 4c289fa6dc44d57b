"""The report of a soak: Markdown tables, a plot of memory, and the same as JSON."""

import json
from pathlib import Path

import matplotlib as mpl

from tests.benchmarks.soak.flat import JUDGED_REQUESTS

SHARES = (0.01, 0.1, 0.5, 1.0)
_MB = 1e6


def at_shares(samples, requests):
    """The first sample at or after each share of the requests."""
    found = {}
    for share in SHARES:
        after = [each for each in samples if each.requests >= share * requests]
        if after or share == SHARES[-1]:
            found[share] = (after or samples[-1:])[0]
    return found


def table(head, rows):
    aligned = ["---", *("--:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in (head, aligned, *rows))


def sizes_table(samples, requests):
    rows = [
        (
            f"{share:.0%}", f"{each.requests:,}", f"{each.seconds:.0f}", f"{each.rss / _MB:.1f}",
            f"{each.pss / _MB:.1f}", each.descriptors, each.threads, each.files, each.label_sets,
            each.versions, f"{each.log_bytes / max(1, each.requests):.0f}",
        )
        for share, each in at_shares(samples, requests).items()
    ]  # fmt: skip
    head = ("at", "requests", "s", "RSS, MB", "PSS, MB", "descriptors", "threads", "files",
            "label sets", "swaps", "log bytes a request")  # fmt: skip
    return table(head, rows)


def verdicts_table(verdicts):
    rows = []
    for each in verdicts:
        unit = _MB if each.name in {"rss", "pss"} else 1
        early, late, bound, day, low = (
            f"{value / unit:,.1f}"
            for value in (each.early, each.late, each.bound, each.a_day, each.low)
        )
        rows.append((each.name, early, late, bound, day, low, "yes" if each.flat else "NO"))
    head = ("what", "at 10 to 20 %", "at 90 to 100 %", "may grow by", "slope, a day",
            "at least, a day", "flat")  # fmt: skip
    return table(head, rows)


def checks_table(checks):
    rows = [(each.name, each.sent, each.counted, "yes" if each.equal else "NO") for each in checks]
    return table(("count", "by the clients", "by the server", "right"), rows)


def plot(samples, path):
    """Memory over requests, as PNG."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  after the choice of the back end

    figure, axes = plt.subplots(figsize=(8, 4))
    requests = [each.requests for each in samples]
    for name in ("rss", "pss"):
        values = [getattr(each, name) / _MB for each in samples]
        axes.plot(requests, values, label=f"{name.upper()} of all processes")
    axes.set(xlabel="requests answered", ylabel="MB", ylim=(0, None), title="Memory in the soak")
    axes.legend()
    figure.savefig(path, dpi=100, bbox_inches="tight")
    plt.close(figure)


class Report:
    """All that a soak has found."""

    def __init__(self, samples, requests, verdicts, checks, faults, **found):
        self.samples, self.requests, self.verdicts = samples, requests, verdicts
        self.checks, self.faults, self.found = checks, faults, found
        self.judged = samples[-1].requests >= JUDGED_REQUESTS

    @property
    def right(self):
        flat = all(each.flat for each in self.verdicts) or not self.judged
        return flat and not self.faults and all(each.equal for each in self.checks)

    def print(self, folder):
        """Print the tables and, in the last line, JSON; write the plot and all samples."""
        print(f"\n{sizes_table(self.samples, self.requests)}\n")
        print(verdicts_table(self.verdicts))
        if not self.judged:
            print(f"Below {JUDGED_REQUESTS:,} requests, growth is not judged.")
        print(f"\n{checks_table(self.checks)}\n")
        for name, value in self.found.items():
            print(f"{name.replace('_', ' ')}: {value}")
        for fault in self.faults:
            print(f"FAULT: {fault}")
        if folder:
            folder = Path(folder)
            folder.mkdir(parents=True, exist_ok=True)
            plot(self.samples, folder / "memory.png")
            (folder / "samples.json").write_text(json.dumps([s.as_dict() for s in self.samples]))
        print(json.dumps(self.as_dict()))

    def as_dict(self):
        return {
            "right": self.right,
            "requests": self.samples[-1].requests,
            "at": {
                f"{share:.0%}": each.as_dict()
                for share, each in at_shares(self.samples, self.requests).items()
            },
            "growth": {v.name: round(v.late - v.early) for v in self.verdicts},
            "not_flat": [v.name for v in self.verdicts if self.judged and not v.flat],
            "wrong": [each._asdict() for each in self.checks if not each.equal],
            "faults": self.faults,
            **self.found,
        }
