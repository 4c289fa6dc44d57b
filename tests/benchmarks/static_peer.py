"""A static classifier beside model2vec's: accuracy on the test split, and texts/s on one core.

`python -m tests.benchmarks.static_peer BASE DATA BUNDLE`

BASE is the folder of the base model, such as build/cache/sources/base; DATA the folder of the data
stage, such as build/sentiment/static-fp32/data; BUNDLE the static bundle. model2vec (an environment
with `pip install model2vec[distill,train]`) is distilled from the base, and its classifier trained
on the training split. Both are timed in turns on the whole test split, tokenization included, by
CPU time, since other programs may run on the core; rates and their ratio are medians.
"""

import argparse
import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

from model2vec.distill import distill  # noqa: E402  after its threads are bound
from model2vec.train import StaticModelForClassification  # noqa: E402

from models.data.labelled import read_labels, read_split  # noqa: E402
from serving.bundles.bundle import read_bundle  # noqa: E402
from serving.inference.engine import Resources  # noqa: E402
from serving.inference.engine_selection import choose  # noqa: E402
from serving.inference.tokenizer import Tokenizer  # noqa: E402
from serving.offline.bulk_classifier import Bulk, LengthLimits  # noqa: E402

ROUNDS = 9
MOST_TOKENS = 16_384


def peer(base, data):
    """Return model2vec's function from texts to labels, and its bytes."""
    splits = {split: read_split(data, split) for split in ("train", "validation")}
    texts = {split: [row.text for row in rows] for split, rows in splits.items()}
    labels = {split: [row.labels[0] for row in rows] for split, rows in splits.items()}
    with tempfile.TemporaryDirectory() as folder:
        distill(model_name=str(base)).save_pretrained(f"{folder}/base")
        trained = StaticModelForClassification.from_pretrained(model_name=f"{folder}/base")
        trained.fit(
            texts["train"], labels["train"], X_val=texts["validation"], y_val=labels["validation"]
        )
        pipeline = trained.to_pipeline()
        pipeline.save_pretrained(f"{folder}/classifier")
        size = sum(path.stat().st_size for path in Path(folder, "classifier").iterdir())
    return lambda given: [int(label) for label in pipeline.predict(given)], size


def own(bundle, data):
    """Return the bundle's function from texts to labels, as an offline job runs it."""
    manifest = bundle.manifest
    order = [read_labels(data).names.index(name) for name in manifest.labels]
    tokenizer = Tokenizer(bundle.tokenizer_path, manifest.max_length)
    chosen = choose(
        bundle, tokenizer, "onnxruntime", Resources("cpu", 1), max_batch_tokens=MOST_TOKENS
    )
    bulk = Bulk(
        manifest, tokenizer, chosen.engine, ThreadPoolExecutor(1),
        budget_tokens=chosen.lane.max_batch_tokens, limits=LengthLimits(10**6, truncate=True),
    )  # fmt: skip

    def classify(texts):
        answers = bulk.answers(texts, lambda _: None)
        return [order[max(range(len(order)), key=each.scores.__getitem__)] for each in answers]

    return classify


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("base", "data", "bundle"):
        parser.add_argument(name, type=Path)
    options = parser.parse_args()
    rows = read_split(options.data, "test")
    texts, truth = [row.text for row in rows], [row.labels[0] for row in rows]
    bundle = read_bundle(options.bundle)
    theirs, their_bytes = peer(options.base, options.data)
    programs = {"model2vec": theirs, bundle.manifest.variant: own(bundle, options.data)}
    sizes = {"model2vec": their_bytes, bundle.manifest.variant: bundle.manifest.bytes}
    rates = {name: [] for name in programs}
    for name, classify in programs.items():
        correct = sum(map(int.__eq__, classify(texts), truth))
        print(f"{name}: {correct / len(truth):.4f} of {len(truth)}, {sizes[name]:,} bytes")
    for _ in range(ROUNDS):
        for name, classify in programs.items():
            started_s = time.process_time()
            classify(texts)
            rates[name].append(len(texts) / (time.process_time() - started_s))
    for name, seen in rates.items():
        print(f"{name}: {statistics.median(seen):,.0f} texts a second of CPU")
    ratio = statistics.median(b / a for a, b in zip(*rates.values(), strict=True))
    print(f"ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
