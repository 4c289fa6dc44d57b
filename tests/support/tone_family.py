"""`tone`: three tiny bundles, of which the smaller ones read only the first words of a text."""

import json
import random

import numpy as np

from models.cascade.costs import Costs
from models.cascade.options import CascadeOptions, parse_target
from serving.bundles.registry import publish
from tests.support.bundles import WEIGHTS, write_bundle

READS = {"large": 32, "medium": 6, "small": 4}
LABELS = ["negative", "positive"]
COSTS_S = {"large": 9e-3, "medium": 3e-3, "small": 1e-3}
SPLITS = {"validation": 400, "calibration": 400, "test": 500}


def text_and_label(chosen):
    """Up to seven words, of which the first say most; some labels are wrong."""
    words = chosen.choices(list(WEIGHTS), k=chosen.randint(1, 2))
    words += chosen.choices([*WEIGHTS, *["film", "plot"] * 6], k=chosen.randint(0, 5))
    positive = sum(WEIGHTS.get(word, 0) for word in words) > 0
    return " ".join(words), int(positive != (chosen.random() < 0.05))


def write_tone(home):
    """The family's `registry`, and its held-out texts in `build`; return the folder of these."""
    for variant, max_length in READS.items():
        ballast = {"large": 3000, "medium": 2000, "small": 0}[variant]
        write_bundle(home / variant, variant=variant, max_length=max_length, ballast_bytes=ballast)
        publish(home / variant, home / "registry")
    data = home / "build" / "tone" / "large" / "data"
    data.mkdir(parents=True)
    (data / "data.json").write_text(json.dumps({"labels": LABELS, "problem_type": "single_label"}))
    chosen = random.Random(0)
    for split, count in SPLITS.items():
        rows = [text_and_label(chosen) for _ in range(count)]
        lines = (json.dumps({"text": text, "labels": [label]}) + "\n" for text, label in rows)
        (data / f"{split}.jsonl").write_text("".join(lines))
    return data


def measured(loaded, _texts):
    costs = np.array([COSTS_S[name] for name in loaded])
    return Costs(costs, np.repeat(costs[:, None], 2, axis=1))


def cascade_options(home, **fields):
    target = parse_target(loss="agreement", max_loss=0.1, confidence=0.95, each_label=False)
    return CascadeOptions("tone", home / "registry", home / "build", target, **fields)
