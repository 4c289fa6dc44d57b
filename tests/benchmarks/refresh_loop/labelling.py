"""Are texts that the log's report chooses worth more, once they are labelled, than random ones?

Each seed takes a random half of the texts without feedback: the first 200 of it in the order of
worth-labelling.csv, or any 200 of it, join the training texts of the family, whose root is then
trained with that seed. Validation is the family's own; accuracy is that on held-out texts.
"""

import csv
import random

import numpy as np
from scipy.stats import t as student_t
from tqdm import tqdm

from models.data.labelled import read_labels, read_split
from models.data.splits import SPLITS
from models.evaluation.predictions import Predictor
from serving.bundles.bundle import read_bundle
from serving.bundles.evaluation import Estimate
from tests.benchmarks.refresh_loop import texts
from tests.benchmarks.refresh_loop.family import STATIC

LABELLED = 200
WAYS = ("none", "random", "chosen")
_NAME = "labelling"
_RECIPE = """
family = "labelling"
[data]
files = [{files}]
[data.splits]
validation = ["validation.jsonl"]
calibration = ["calibration.jsonl"]
test = ["test.jsonl"]
"""


def ranked(path):
    """The texts of worth-labelling.csv, in its order."""
    with path.open(encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)]


def picked(ranking, seed, count=LABELLED):
    """Of a random half of the texts: the first ones, and random ones."""
    chosen = random.Random(seed)
    half = sorted(chosen.sample(range(len(ranking)), len(ranking) // 2))
    return {
        "chosen": [ranking[at] for at in half[:count]],
        "random": [ranking[at] for at in chosen.sample(half, count)],
    }


def write_recipes(place, ranking, oracle, seeds):
    """A recipe for each way and seed, with their tables."""
    folder = place.folder / _NAME
    folder.mkdir(exist_ok=True)
    names = read_labels(place.data).names
    for split in SPLITS:
        rows = read_split(place.data, split)
        its = [texts.Opinion(row.text, names[row.labels[0]], "") for row in rows]
        texts.write_table(folder / f"{split}.jsonl", its)
    for seed in range(seeds):
        own = picked(ranking, seed)
        for way in WAYS:
            files = ['"train.jsonl"']
            if way in own:
                table = folder / f"{way}-{seed}.jsonl"
                texts.write_table(table, [oracle[text] for text in own[way]])
                files.append(f'"{table.name}"')
            recipe = _RECIPE.format(files=", ".join(files)) + STATIC.format(seed=seed)
            (folder / f"{way}-{seed}.toml").write_text(recipe)


def shares(ranking, seeds, shifted):
    """How many of the texts that are picked in each way are shifted ones."""
    both = [picked(ranking, seed) for seed in range(seeds)]
    return {
        way: float(np.mean([text in shifted for its in both for text in its[way]]))
        for way in ("random", "chosen")
    }


def compare(place, ranking, oracle, held_out, seeds):
    """Accuracy on held-out texts in each way by seed, and what is gained."""
    write_recipes(place, ranking, oracle, seeds)
    for stage in ("data", "static", "export"):
        place.must(stage, _NAME)
    hits = {
        way: np.array([_hits(place, f"{way}-{seed}", held_out) for seed in range(seeds)])
        for way in tqdm(WAYS, _NAME, unit="way", leave=False)
    }
    gains = {"random": "none", "chosen": "none", "chosen over random": "random"}
    return {
        "texts": len(ranking),
        "accuracy": {way: its.mean(axis=1).tolist() for way, its in hits.items()},
        "gain": {
            name: gain(hits[name.partition(" ")[0]], hits[of]).model_dump()
            for name, of in gains.items()
        },
    }


def gain(mine, other):
    """The mean difference of accuracy, from hits of shape (seeds, texts), with a 95 % interval.

    Its variance is that over seeds and that over texts together, which is no less than the true
    one, and Student's quantile is that of the seeds.
    """
    difference = mine.astype(float) - other
    seeds, count = difference.shape
    over_seeds = difference.mean(axis=1).var(ddof=1) / seeds
    over_texts = difference.mean(axis=0).var(ddof=1) / count
    value = difference.mean()
    half = student_t.ppf(0.975, seeds - 1) * (over_seeds + over_texts) ** 0.5
    return Estimate(value=value, low=value - half, high=value + half)


def _hits(place, variant, held_out):
    bundle = read_bundle(place.folder / "build" / _NAME / variant / "export")
    logits = Predictor(bundle).logits([each.text for each in held_out], 64, shown=False)
    labels = bundle.manifest.labels
    answers = [labels[at] for at in logits.argmax(axis=1)]
    return [mine == each.label for mine, each in zip(answers, held_out, strict=True)]
