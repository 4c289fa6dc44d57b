"""How far a score moves with the other texts of its batch, for each bundle and engine.

`python -m tests.benchmarks.batch_mates`

Every text runs alone, and then in several batches with others drawn at random. A dynamically
quantized graph rounds its activations by the largest of the whole batch; any other graph moves by
the last bits only.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from loadtest.measure.workload import seeded_texts
from serving.bundles.probabilities import activation
from serving.bundles.registry import read_registry
from serving.errors import BundleError
from serving.inference.engine import Resources
from serving.inference.engine_selection import ENGINES
from serving.inference.tokenizer import open_tokenizer
from tests.support.processes import ROOT


@dataclass(frozen=True)
class Moved:
    """How far the scores moved: `moves` of each text in each batch, (batches, texts).

    `margins` are how far each text's scores alone are from where its labels would change;
    `changed` tells whether they changed in any batch, both of shape (texts,).
    """

    moves: np.ndarray
    margins: np.ndarray
    changed: np.ndarray

    @property
    def furthest_margin(self):
        """The largest margin of a text whose labels changed; 0 if none did."""
        return float(self.margins[self.changed].max(initial=0.0))


def moved(engine, manifest, items, *, mates, rounds, seed=0):
    """Run items alone, and `rounds` times in random batches of `mates` and one more."""
    score = activation(manifest)

    def scores(order, size):
        found = np.empty((len(items), len(manifest.labels)))
        for start in range(0, len(items), size):
            batch = order[start : start + size]
            for index, row in zip(batch, engine.run([items[i] for i in batch]), strict=True):
                found[index] = score(row.tolist(), manifest.temperature)
        return found

    alone = scores(range(len(items)), 1)
    random = np.random.default_rng(seed)
    together = np.stack([scores(random.permutation(len(items)), mates + 1) for _ in range(rounds)])
    if manifest.multi_label:
        margins = np.abs(alone - 0.5).min(axis=1)
        differ = ((together >= 0.5) != (alone >= 0.5)).any(axis=2)
    else:
        ranked = np.sort(alone, axis=1)
        margins = (ranked[:, -1] - ranked[:, -2]) / 2
        differ = together.argmax(axis=2) != alone.argmax(axis=1)
    return Moved(np.abs(together - alone).max(axis=2), margins, differ.any(axis=0))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--registry", type=Path, default=ROOT / "models" / "registry")
    parser.add_argument("--texts", type=int, default=400)
    parser.add_argument("--mates", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=4)
    given = parser.parse_args()
    texts = seeded_texts(given.texts, seed=0)
    print("| bundle | engine | median | 99th percentile | largest | labels changed | margin |")
    print("|---|---|--:|--:|--:|--:|--:|")
    for bundles in read_registry(given.registry).values():
        for bundle in bundles:
            manifest = bundle.manifest
            items = open_tokenizer(bundle).encode(texts)
            for name, make in ENGINES.items():
                try:
                    engine = make(bundle, Resources("cpu", threads=1))
                except BundleError as error:
                    print(f"| {manifest.variant} | {name} | cannot: {error.detail} |")
                    continue
                found = moved(engine, manifest, items, mates=given.mates, rounds=given.rounds)
                median, late, most = np.percentile(found.moves, [50, 99, 100])
                print(
                    f"| {manifest.family}/{manifest.variant} | {name} | {median:.4f} | {late:.4f} "
                    f"| {most:.4f} | {found.changed.sum()} of {len(texts)} "
                    f"| {found.furthest_margin:.4f} |"
                )


if __name__ == "__main__":
    main()
