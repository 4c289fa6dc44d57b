"""What input normalisation costs a tokenizer: CPU a text with and without, and the worst texts.

Both take turns. The last column of the second table is 2 where the time grows with the length.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median

from serving.bundles.bundle import read_bundle
from serving.bundles.normalization import normalized
from serving.inference.tokenizer import Tokenizer
from tests.support.processes import ROOT

KINDS = ("invisible", "nfkc", "confusables")
SENTENCE = (
    "I did not expect much of this camera, but it takes sharp photos and its battery lasts for "
    "days: well worth the price."
)
ORDINARY = {
    "ASCII, 28 tokens": SENTENCE,
    "the same with an accent and a curly quote": SENTENCE.replace("its", "l\u2019\u00e9tui"),
    "the same with Cyrillic letters for each e": SENTENCE.replace("e", "\u0435"),
}
WORST = {
    "a Latin letter, then look-alikes": "\u0430",
    "look-alikes with marks": "\u0430\u0301\u0301\u0301",
    "a Latin word, then look-alikes": "abcdefghijklmnop-" + "\u0445" * 8,
    "Russian": "\u043f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440 ",
    "invisible characters": "\u200b\u200d",
}
LONGEST = 20_000


def seconds(tokenizer: Tokenizer, text: str, times: int) -> float:
    """Return the CPU time of encoding a text."""
    began_s = time.thread_time()
    for _ in range(times):
        tokenizer.encode([text])
    return (time.thread_time() - began_s) / times


def main(arguments: list[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--bundle", type=Path, default=ROOT / "models/registry/sentiment/medium-int8"
    )
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args(arguments)
    bundle = read_bundle(options.bundle)
    plain = Tokenizer(bundle.tokenizer_path, bundle.manifest.max_length)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "tokenizer.json"
        whole = json.loads(bundle.tokenizer_path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(normalized(whole, KINDS)), encoding="utf-8")
        normalising = Tokenizer(path, bundle.manifest.max_length)
    print("| text | as it is, µs | normalised, µs | more, µs |\n|---|--:|--:|--:|")
    for name, text in ORDINARY.items():
        pairs = [
            (seconds(plain, text, 200), seconds(normalising, text, 200))
            for _ in range(options.rounds)
        ]
        before, after = (1e6 * median(each) for each in zip(*pairs, strict=True))
        print(f"| {name} | {before:.0f} | {after:.0f} | {after - before:.0f} |")
    print(f"\n| {LONGEST:,} characters | as it is, ms | normalised, ms | to half of them |")
    print("|---|--:|--:|--:|")
    for name, unit in WORST.items():
        text = ("a" + unit * LONGEST)[:LONGEST]
        half = text[: LONGEST // 2]
        rounds = [
            (seconds(plain, text, 1), seconds(normalising, text, 1), seconds(normalising, half, 1))
            for _ in range(options.rounds)
        ]
        before, after, less = (1e3 * median(each) for each in zip(*rounds, strict=True))
        print(f"| {name} | {before:.0f} | {after:.0f} | {after / less:.1f} |")


if __name__ == "__main__":
    main()
