"""Long texts by windows, beside truncation: accuracy, ms by length, and a needle at any place.

The documents are those of the sentences that the shipped family is made from: editorials and
product reviews, of which each sentence is rated. A document's label is the sign of its mean rating;
none that trained the family is used. With a smaller `--limit` the same model reads less at once.
"""

import argparse
import csv
import itertools
import json
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import psutil

from models.data.downloads import fetch
from models.published.texts import Columns
from models.published.windows import calibrate
from serving.bundles.registry import publish
from serving.bundles.windows import WINDOWS_NAME
from tests.support.bundles import alter
from tests.support.processes import FRESH, serving

FAMILY = "sentiment"
SETS = ("news", "products")
CLEAR = 0.3
"""The mean rating, of -4 to 4, from which a document has a label."""
PLACES = 20
NEEDLE = "It is a terrible, awful and disgusting piece of garbage, and I hate it."
SENTENCES = 60
MOVED = 1e-3
"""A score that a needle changes by more has seen it."""
VARIANTS = ("small-int8", "medium-int8")
LENGTHS = (128, 256, 512, 1024, 2048)
"""In words."""
REPEATS = 9
LONGEST_MS = 60_000
PARTS = ("accuracy", "length", "needle")


def documents(cache, data):
    """Each document's sentences with their ratings, without those that trained the family."""
    trained = {json.loads(line)["text"] for line in (data / "train.jsonl").read_text().splitlines()}
    sources = fetch(cache, [f"sentences/{name}.jsonl" for name in SETS])
    found = []
    for name in SETS:
        groups = defaultdict(list)
        for line in (sources / f"sentences/{name}.jsonl").read_text().splitlines():
            row = json.loads(line)
            groups[row["group"]].append(row)
        found += [rows for rows in groups.values() if not trained & {row["text"] for row in rows}]
    return found


def write_labelled(path, found):
    """A table of the documents that have a label; the number of them."""
    count = 0
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "label"])
        for rows in found:
            mean = statistics.mean(row["rating"] for row in rows)
            if abs(mean) >= CLEAR:
                text = " ".join(row["text"] for row in rows)
                table.writerow([text, "positive" if mean > 0 else "negative"])
                count += 1
    return count


def limited(registry, limit, folder):
    """The family's bundles in a registry of their own, made to read at most `limit` tokens."""
    for source in sorted((registry / FAMILY).iterdir()):
        if (source / "manifest.json").exists():
            made = alter(source, folder / "made" / source.name, max_length=limit)
            publish(made, folder / "registry")
    return folder / "registry"


def accuracy(registry, limits, labelled, scratch):
    """Print what `models windows` says of each limit."""
    for limit in limits:
        folder = scratch / str(limit)
        own = limited(registry, limit, folder)
        print(f"\n## at most {limit} tokens at once", flush=True)
        calibrate(FAMILY, [labelled], Columns(label="label"), own, output=folder / "reports")


def asked(server, text, **fields):
    """The answer, and the ms that it took."""
    body = {"texts": [text], "deadline_ms": LONGEST_MS, **fields}
    began_s = time.perf_counter()
    answer = server.classify(body, headers=FRESH)
    elapsed_s = time.perf_counter() - began_s
    return answer.raise_for_status().json(), elapsed_s * 1e3


def milliseconds(registry, words):
    """Print medians of interleaved requests, and the server's CPU, by length and variant."""
    print("\n## by length, one text at a time\n")
    print("| variant | tokens | windows | | median ms | CPU ms |\n|---|--:|--:|---|--:|--:|")
    with serving(registry, max_text_chars=200_000, max_deadline_ms=LONGEST_MS) as server:
        process = psutil.Process(server.process.pid)
        for variant, count in itertools.product(VARIANTS, LENGTHS):
            text = " ".join(itertools.islice(itertools.cycle(words), count))
            taken_ms, used_s = {"truncate": [], "windows": []}, Counter()
            for _, long in itertools.product(range(REPEATS), taken_ms):
                before = sum(process.cpu_times()[:2])
                answer, its_ms = asked(server, text, long=long, variant=variant)
                used_s[long] += sum(process.cpu_times()[:2]) - before
                taken_ms[long].append(its_ms)
            windows = answer["results"][0].get("windows", {"count": 1})["count"]
            for long, its_ms in taken_ms.items():
                print(
                    f"| {variant} | {answer['usage']['tokens']} | {windows} | {long} | "
                    f"{statistics.median(its_ms):.1f} | {1e3 * used_s[long] / REPEATS:.1f} |",
                    flush=True,
                )


def needles(registry, found, texts):
    """Print at how many places the window of `negative` holds the needle, and what cutting saw."""
    mild = [row["text"] for rows in found for row in rows if 0 <= row["rating"] < 0.7]
    seen = Counter()
    variant = VARIANTS[-1]
    with serving(registry, max_text_chars=200_000, max_deadline_ms=LONGEST_MS) as server:
        for number in range(texts):
            hay = mild[number * SENTENCES : (number + 1) * SENTENCES]
            plain, _ = asked(server, " ".join(hay), long="truncate", variant=variant)
            for place in range(PLACES):
                at = round(place * len(hay) / (PLACES - 1))
                text = " ".join([*hay[:at], NEEDLE, *hay[at:]])
                middle = text.index(NEEDLE) + len(NEEDLE) // 2
                whole, _ = asked(server, text, long="windows", variant=variant)
                cut, _ = asked(server, text, long="truncate", variant=variant)
                its = whole["results"][0]["windows"]["labels"]["negative"]
                seen["windows"] += its["start"] <= middle < its["end"]
                before, after = (each["results"][0]["scores"]["negative"] for each in (plain, cut))
                seen["truncate"] += abs(after - before) > MOVED
    print(f"\n## a needle at {PLACES} places of {texts} texts of {SENTENCES} sentences\n")
    for how, count in seen.items():
        print(f"{how}: {count} of {PLACES * texts}", flush=True)


def main():
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--registry", type=Path, default=Path("models/registry"))
    parser.add_argument("--cache", type=Path, default=Path("build/cache"))
    parser.add_argument(
        "--data", type=Path, required=True, help="the data folder of the family's build"
    )
    parser.add_argument("--limit", type=int, nargs="+", default=[256, 64])
    parser.add_argument("--texts", type=int, default=5, help="with a needle")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    found = documents(options.cache, options.data)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        count = write_labelled(scratch / "texts.csv", found)
        print(f"{len(found)} documents that trained nothing, {count} with a label")
        if "accuracy" in options.only:
            accuracy(options.registry, options.limit, scratch / "texts.csv", scratch)
        if "length" in options.only:
            words = [word for rows in found for row in rows for word in row["text"].split()]
            milliseconds(options.registry, words)
        if "needle" in options.only:
            for limit in options.limit:
                own = limited(options.registry, limit, scratch / f"needle-{limit}")
                (own / FAMILY / WINDOWS_NAME).write_text('{"rule": "max"}')
                print(f"\n## at most {limit} tokens at once", flush=True)
                needles(own, found, options.texts)


if __name__ == "__main__":
    main()
