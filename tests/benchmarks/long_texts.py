"""Long texts by windows, beside truncation: accuracy, ms by length, and a needle at any place.

The documents are those of the sentences that the shipped family is made from: editorials and
product reviews, of which each sentence is rated. A document's label is the sign of its mean rating;
none that trained the family is used. With a smaller `--limit` the same model reads less at once.
"""

import argparse
import csv
import json
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import httpx

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
REPEATS = 15


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


def one_ms(server, text, **fields):
    began_s = time.perf_counter()
    answer = httpx.post(
        f"{server.url}/v1/classify", json={"texts": [text], **fields}, headers=FRESH, timeout=60
    )
    elapsed_s = time.perf_counter() - began_s
    return elapsed_s * 1e3, answer.raise_for_status().json()


def milliseconds(registry, words):
    """Print the medians of interleaved requests, by length and variant."""
    print("\n## ms by length, one request at a time\n")
    print("| variant | tokens | windows | ms truncated | ms in windows | ratio |")
    print("|---|--:|--:|--:|--:|--:|")
    with serving(registry, max_text_chars=200_000) as server:
        for variant in ("small-int8", "medium-int8"):
            for count in (128, 256, 512, 1024, 2048, 4096):
                text = " ".join((words * (count // len(words) + 1))[:count])
                taken = {"truncate": [], "windows": []}
                for _ in range(REPEATS):
                    for long, its in taken.items():
                        ms, answer = one_ms(server, text, long=long, variant=variant)
                        its.append(ms)
                windows = answer["results"][0].get("windows", {"count": 1})["count"]
                cut, all_of = (statistics.median(its) for its in taken.values())
                tokens = answer["usage"]["tokens"]
                print(
                    f"| {variant} | {tokens} | {windows} | {cut:.1f} | {all_of:.1f} | "
                    f"{all_of / cut:.1f} |",
                    flush=True,
                )


def needles(registry, found, texts):
    """Print at how many places the window of `negative` holds the needle; and what cutting sees."""
    mild = [row["text"] for rows in found for row in rows if 0 <= row["rating"] < 0.7]
    held = defaultdict(list)
    with serving(registry, max_text_chars=200_000) as server:
        for number in range(texts):
            hay = mild[number * 100 : number * 100 + 60]
            for place in range(PLACES):
                at = round(place * len(hay) / (PLACES - 1))
                text = " ".join([*hay[:at], NEEDLE, *hay[at:]])
                start = text.index(NEEDLE)
                _, whole = one_ms(server, text, long="windows", variant="medium-int8")
                _, cut = one_ms(server, text, long="truncate", variant="medium-int8")
                _, plain = one_ms(server, " ".join(hay), long="truncate", variant="medium-int8")
                its = whole["results"][0]["windows"]["labels"]["negative"]
                held["windows"].append(its["start"] <= start + len(NEEDLE) // 2 < its["end"])
                moved = [each["results"][0]["scores"]["negative"] for each in (cut, plain)]
                held["truncated"].append(abs(moved[0] - moved[1]) > 1e-3)
    print(f"\n## a needle at {PLACES} places of {texts} texts of 60 sentences\n")
    for how, its in held.items():
        print(f"{how}: noticed at {sum(its)} of {len(its)}", flush=True)


def main():
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--registry", type=Path, default=Path("models/registry"))
    parser.add_argument("--cache", type=Path, default=Path("build/cache"))
    parser.add_argument(
        "--data", type=Path, required=True, help="the data folder of the family's build"
    )
    parser.add_argument("--limit", type=int, nargs="+", default=[256, 64])
    parser.add_argument("--texts", type=int, default=10, help="with a needle")
    options = parser.parse_args()
    found = documents(options.cache, options.data)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        count = write_labelled(scratch / "texts.csv", found)
        print(f"{len(found)} documents that trained nothing, {count} with a label")
        accuracy(options.registry, options.limit, scratch / "texts.csv", scratch)
        words = [word for rows in found for row in rows for word in row["text"].split()]
        milliseconds(options.registry, words)
        own = limited(options.registry, 256, scratch / "needle")
        (own / FAMILY / WINDOWS_NAME).write_text('{"rule": "max"}')
        needles(own, found, options.texts)


if __name__ == "__main__":
    main()
