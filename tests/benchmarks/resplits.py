"""How often a cascade of real bundles loses more than it promises, over many re-splits.

`python -m tests.benchmarks.resplits DATA --registry REGISTRY --loss agreement --max-loss 0.02`

DATA is the folder of the family's data stage. Every variant runs on all held-out texts in batches
of eight, as in traffic, and the largest one also alone, one text a batch: its answers alone are the
standard. The whole selection is then repeated on parts drawn anew, and its true loss is that on all
texts. It ends with status 1 if a larger share of the re-splits loses more than the target than may.

What has been scored is kept in `--scores`, so after a kill the same command goes on.
"""

import argparse
import hashlib
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from models.cascade.costs import machine, measured
from models.cascade.coverage_check import WITH_REPLACEMENT, coverage, coverage_table, missed
from models.cascade.observations import BATCH_TEXTS
from models.cascade.options import parse_target
from models.cascade.scored_texts import LabelledLogits, Problem
from models.cascade.text_sets import read_text_set
from models.data.labelled import read_labels
from models.evaluation.predictions import Predictor, predicted
from models.evaluation.statistics import correct, proportion
from serving.bundles.registry import read_registry
from serving.inference.cpu import usable_cores
from serving.inference.engine import Resources
from serving.inference.engine_selection import choose
from serving.inference.tokenizer import open_tokenizer
from tests.support.processes import ROOT

SPLITS = ("validation", "calibration", "test")
MOST_BATCH_TOKENS = 4096
TIMED_TEXTS = 64


class Scores:
    """The logits of variants on the held-out texts, and what they cost; kept in a folder."""

    def __init__(self, folder, sets, engine):
        self._folder, self._engine = folder, engine
        self._texts = [text for each in sets for text in each.texts]
        self._timed = sets[0].texts[:TIMED_TEXTS]
        self._hash = hashlib.sha256("".join(each.sha256 for each in sets).encode()).hexdigest()
        self._predictor = None
        folder.mkdir(parents=True, exist_ok=True)

    def of(self, bundle, *parts):
        """Some of `batched`, `alone`, `cost_s` and `runs_as`; what is missing is made."""
        self._predictor = None
        return {part: self._part(bundle, part) for part in parts}

    def _part(self, bundle, part):
        manifest = bundle.manifest
        name = f"{manifest.variant}-{manifest.version}-{self._engine}-{self._hash[:16]}-{part}"
        path = self._folder / f"{name}.npy"
        if not path.is_file():
            aside = path.with_suffix(f".{os.getpid()}.npy")
            np.save(aside, self._made(bundle, part))
            aside.rename(path)
        return np.load(path)

    def _made(self, bundle, part):
        predictor = self._predictor = self._predictor or self._loaded(bundle)
        match part:
            case "batched":
                return predictor.logits(self._texts, BATCH_TEXTS)
            case "alone":
                return predictor.logits(self._texts)
            case "cost_s":
                return measured({bundle.manifest.variant: predictor}, self._timed).batched_s[0]
            case "runs_as":
                return np.array(predictor.runs_as)

    def _loaded(self, bundle):
        choice = choose(
            bundle,
            open_tokenizer(bundle),
            self._engine,
            Resources("cpu", usable_cores()),
            max_batch_tokens=MOST_BATCH_TOKENS,
        )
        return Predictor(bundle, choice.engine, choice.name)


def bundles_of(registry, family, variants):
    """The bundles of a family, the one with the most bytes last, or those that are named."""
    bundles = read_registry(registry)[family]
    wanted = set(variants.split(",")) if variants else {b.manifest.variant for b in bundles}
    found = [each for each in bundles if each.manifest.variant in wanted]
    assert len(found) == len(wanted) > 1, f"{registry} has not all of {sorted(wanted)}, or only one"
    return sorted(found, key=lambda each: each.manifest.bytes)


def parts_of(sets, scores):
    """The labelled logits of each set, against the last variant alone."""
    ends = np.cumsum([len(each.texts) for each in sets])[:-1]
    logits = np.split(np.stack([each["batched"] for each in scores]), ends, axis=1)
    alone = np.split(scores[-1]["alone"], ends)
    return [
        LabelledLogits(each.truth, *found) for each, *found in zip(sets, logits, alone, strict=True)
    ]


def figures(ways, target):
    """What the program found, for its last line."""
    found = ways[WITH_REPLACEMENT]
    losses = [each.loss for each in found if each.loss is not None]
    rest = next(runs for way, runs in ways.items() if way != WITH_REPLACEMENT)
    return {
        "target": target.model_dump(),
        "resplits": len(found),
        "promised": 1 - target.confidence,
        "missed": missed(found, target).model_dump(),
        "missed_on_the_rest": missed(rest, target).model_dump(),
        "found": len(losses) / len(found),
        "mean_loss": float(np.mean(losses)) if losses else None,
        "saved": float(np.mean([each.saved for each in found])),
        "saved_with_hindsight": float(np.mean([each.hindsight for each in found])),
    }


def holds(found):
    """Whether no more re-splits lose more than the target than may."""
    return found["missed"]["value"] <= found["promised"]


def parsed(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder of the family's data stage")
    parser.add_argument("--registry", type=Path, default=ROOT / "models" / "registry")
    parser.add_argument("--family", default="sentiment")
    parser.add_argument("--variants", default="", help="separated by commas; default: all")
    parser.add_argument("--engine", default="auto", choices=("auto", "onnxruntime", "openvino"))
    parser.add_argument("--loss", default="agreement", choices=("agreement", "accuracy"))
    parser.add_argument("--max-loss", type=float, default=0.02)
    parser.add_argument("--confidence", type=float, default=0.95)
    parser.add_argument("--each-label", action="store_true")
    parser.add_argument("--times", type=int, default=500)
    parser.add_argument("--scores", type=Path, default=ROOT / "build" / "resplits")
    return parser.parse_args(arguments)


def main(arguments=None):
    given = parsed(arguments)
    target = parse_target(
        loss=given.loss, max_loss=given.max_loss, confidence=given.confidence,
        each_label=given.each_label,
    )  # fmt: skip
    bundles = bundles_of(given.registry, given.family, given.variants)
    kind = read_labels(given.data).problem_type
    sets = [read_text_set(given.data, split) for split in SPLITS]
    store = Scores(given.scores, sets, given.engine)
    scores = [store.of(each, "batched", "cost_s", "runs_as") for each in bundles]
    scores[-1] |= store.of(bundles[-1], "alone")
    parts = parts_of(sets, scores)
    costs = np.array([float(each["cost_s"]) for each in scores])
    problem = Problem(target, kind, len(bundles) - 1, costs, tuple(range(len(bundles))))
    started_s = time.process_time()
    ways = coverage(parts, problem, given.times)
    batched = predicted(scores[-1]["batched"], kind)
    itself = proportion(~correct(predicted(scores[-1]["alone"], kind), batched))
    found = figures(ways, target) | {
        "texts": [len(each.texts) for each in sets],
        "reference": bundles[-1].manifest.variant,
        "variants": {
            each.manifest.variant: {
                "version": each.manifest.version,
                "engine": str(own["runs_as"]),
                "cost_ms": 1000 * float(own["cost_s"]),
                "accuracy": float(correct(
                    np.concatenate([part.truth for part in parts]), predicted(own["batched"], kind)
                ).mean()),
            }
            for each, own in zip(bundles, scores, strict=True)
        },
        "disagreement_of_the_reference_with_itself": itself.model_dump(),
        "machine": machine(),
        "cpu_s": time.process_time() - started_s,
        "holds": True,
    }  # fmt: skip
    found["holds"] = holds(found)
    print(coverage_table(ways, target))
    if not found["holds"]:
        print("THE PROMISE IS BROKEN: more re-splits lose more than the target than may")
    print(json.dumps(found))
    return 0 if found["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
