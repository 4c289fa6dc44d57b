"""The family: recipes of two variants that train in seconds, and the commands run on it."""

import json
import os
import subprocess
import sys

from models.data.downloads import fetch
from models.data.labelled import read_labels, read_split
from models.monitoring.figures import LiveAccuracy
from tests.benchmarks.refresh_loop import texts
from tests.support.processes import ROOT, clean_environ

FAMILY, ROOT_VARIANT, QUANTISED_VARIANT = "opinions", "static-fp32", "static-int8"
STATIC = """
[static]
max_length = 128
vocabulary = "learnt"
vocabulary_words = 8000
width = 64
epochs = 4
batch_texts = 64
learning_rate = 3e-3
seed = {seed}
"""
_ROOT = """
family = "opinions"
[data]
files = ["../usual.jsonl"]
group = "group"
[evaluate]
allow_below_baseline = true
min_accuracy = {least}
"""
_QUANTISED = """
family = "opinions"
parent = "static-fp32"
[quantize]
max_accuracy_drop = 0.02
[evaluate]
allow_below_baseline = true
min_accuracy = {least}
"""
LEAST_ACCURACY = 0.72
"""A gate of the recipes; 0 opens it."""
_TOLD = ("versions", "refused", "outcome", "reason", "collected", "old_test", "new_test")


class Workplace:
    """The folder in which the commands are run: recipes, build, registry, reports, text log."""

    def __init__(self, folder):
        self.folder = folder
        self.registry = folder / "registry"
        self.log, self.keys = folder / "text-log", folder / "text-log-keys"
        self.live = folder / "reports" / FAMILY / "live.json"
        self.worth_labelling = folder / "reports" / FAMILY / "worth-labelling.csv"
        self.data = folder / "build" / FAMILY / ROOT_VARIANT / "data"

    def pools(self):
        """The pools of both kinds of texts, which are downloaded the first time."""
        kinds = (*texts.USUAL, *texts.SHIFTED)
        names = {f"sentences/{kind}.jsonl" for kind in kinds}
        folder = fetch(self.folder / "build" / "cache", names) / "sentences"
        usual = texts.pools(texts.opinions(folder, texts.USUAL), texts.USUAL_POOLS)
        shifted = texts.pools(texts.opinions(folder, texts.SHIFTED), texts.SHIFTED_POOLS)
        texts.write_table(self.folder / "usual.jsonl", usual.pop("rest"))
        return usual | shifted

    def recipes(self, least=LEAST_ACCURACY):
        """A folder of recipes whose gate is this accuracy on the test split."""
        folder = self.folder / f"recipes-{least:g}"
        folder.mkdir(exist_ok=True)
        root = _ROOT.format(least=least) + STATIC.format(seed=0)
        (folder / f"{ROOT_VARIANT}.toml").write_text(root)
        (folder / f"{QUANTISED_VARIANT}.toml").write_text(_QUANTISED.format(least=least))
        return folder.name

    def build(self):
        """Make the first versions."""
        self.must("all", self.recipes(), "--registry", "registry")
        return {}

    def models(self, *arguments):
        """Run `python -m models`; (exit status, what it said)."""
        ran = subprocess.run(
            [sys.executable, "-m", "models", *map(str, arguments)],
            cwd=self.folder, env=clean_environ() | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        with (self.folder / "commands.log").open("a") as file:
            file.write(f"$ models {' '.join(map(str, arguments))}\n{ran.stdout}\n")
            file.flush()
            os.fsync(file.fileno())
        return ran.returncode, ran.stdout

    def must(self, *arguments):
        """Run a command that has to succeed."""
        status, said = self.models(*arguments)
        assert status == 0, f"models {arguments} ended with {status}:\n{said[-3000:]}"

    def look(self, exported=200):
        """What `models live` says: (right answers by feedback in figures, whether it alarms)."""
        self.must(
            "live", FAMILY, "--registry", "registry", "--log", "text-log", "--keys",
            "text-log-keys", "--export", exported,
        )  # fmt: skip
        said = json.loads(self.live.read_text())
        accuracies = [LiveAccuracy.model_validate(each) for each in said["accuracies"]]
        return {
            "feedback": said["feedback"],
            "accuracy": accuracies[0].accuracy.model_dump() if accuracies else None,
            "is_lower": any(each.is_lower for each in accuracies),
            "drifted": said["drifted"],
        }

    def refresh(self, *arguments):
        """Start or go on with a turn; what its record says."""
        status, said = self.models(
            "refresh", FAMILY, "--registry", "registry", "--log", "text-log", "--keys",
            "text-log-keys", *arguments,
        )  # fmt: skip
        assert status in (0, 2), said[-3000:]
        return self.turn()

    def turn(self):
        """What the record says of the last turn."""
        record = json.loads((self.folder / "build/refresh" / FAMILY / "record.json").read_text())
        turn = record["turns"][-1]
        told = {name: turn[name] for name in _TOLD}
        return told | {"pooled": turn["verdict"] and turn["verdict"]["pooled"]}

    def versions(self):
        """The version and the canary of each variant, as files of the registry say."""
        folder = self.registry / FAMILY
        path = folder / "traffic.json"
        traffic = json.loads(path.read_text()) if path.exists() else {}
        return {
            variant: (
                json.loads((folder / variant / "manifest.json").read_text())["version"],
                traffic.get(variant, {}).get("canary", {}).get("version"),
            )
            for variant in (ROOT_VARIANT, QUANTISED_VARIANT)
        }

    def test_split(self):
        """The family's own test split, as opinions."""
        names = read_labels(self.data).names
        rows = read_split(self.data, "test")
        return [texts.Opinion(row.text, names[row.labels[0]], "") for row in rows]


def alarms(look):
    """Whether a look at the log says that something is wrong."""
    return look["is_lower"] or bool(look["drifted"])
