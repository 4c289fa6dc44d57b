"""`python -m tests.benchmarks.refresh_loop`: a family that gets better with use.

A family learns from rated sentences of one kind, and a server answers others of that kind, then of
another. A caller says of half of the answers what would have been right: the ratings know. `models
live` raises the alarm and says which texts are worth labelling; `models refresh` makes new
versions, tries them as canaries and promotes them. A second turn gets swapped labels, and its
versions must be withdrawn. The server runs all the while. Prints a table, writes a picture and
JSON, and ends with status 1 if a promise is broken: an alarm before the traffic has changed, none
afterwards, a request lost, bad versions promoted or good ones not.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from cryptography.fernet import Fernet
from tqdm import tqdm

from tests.benchmarks.refresh_loop import promises, report
from tests.benchmarks.refresh_loop.family import FAMILY, Workplace
from tests.benchmarks.refresh_loop.loop import Loop
from tests.benchmarks.refresh_loop.steps import Steps
from tests.benchmarks.refresh_loop.traffic import Caller
from tests.support.api_keys import write_callers
from tests.support.processes import serving

LOGGING = {
    "feedback_texts": 100_000, "text_log_share": 1, "text_log_texts_per_s": 10_000,
    "text_log_flush_s": 1,
}  # fmt: skip
STEPS = {
    "before": Loop.before,
    "alarm": Loop.alarm,
    "accuracy_before": Loop.accuracies,
    "labelling": Loop.labelling,
    "refresh": Loop.refresh,
    "accuracy_between": Loop.accuracies,
    "canary": Loop.canary,
    "accuracy_after": Loop.accuracies,
    "poison": Loop.poison,
    "poison_past_the_gate": Loop.poison_past_the_gate,
    "bad_canary": Loop.bad_canary,
    "accuracy_end": Loop.accuracies,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, help="folder in which a run that was killed goes on")
    parser.add_argument("--seeds", type=int, default=10, help="of the comparison of labelled texts")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (arguments.work or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        figures = run(Workplace(folder), arguments.seeds)
        output = arguments.work or Path("reports/refresh-loop")
        output.mkdir(parents=True, exist_ok=True)
        (output / "loop.json").write_text(report.as_json(figures))
        report.draw(figures, output / "loop.png")
    print(report.table(figures))
    for sentence in promises.broken(figures):
        print(f"BROKEN: {sentence}")
    return int(bool(promises.broken(figures)))


def run(place, seeds):
    """Take all steps that are left; return the figures of all."""
    with tqdm(total=len(STEPS) + 1, unit="step") as bar:
        steps = Steps(place.folder / "steps.json", lambda _name: bar.update())
        pools = place.pools()
        # Only once: it would take the place of what was promoted since.
        steps.take("build", place.build)
        if not place.keys.exists():
            place.keys.write_bytes(Fernet.generate_key())
        headers = write_callers(place.folder / "callers.json", visitor={"text_log": True})
        with serving(
            place.registry, text_log=place.log, text_log_keys=place.keys, scan_ms=500,
            callers=place.folder / "callers.json", default_model=FAMILY, **LOGGING,
        ) as server:  # fmt: skip
            caller = Caller(server, headers["visitor"], FAMILY)
            loop = Loop(place, pools, caller, seeds)
            for name, step in STEPS.items():
                bar.set_description(name)
                steps.take(name, lambda step=step: step(loop) | {"statuses": caller.taken()})
    return steps.figures


if __name__ == "__main__":
    sys.exit(main())
