"""`python -m serving classify`, a real process each time, and the files that it reads."""

import csv
import json
import random
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.processes import ROOT, clean_environ

ADDED = [
    "label",
    "labels",
    "score",
    "scores",
    "variant",
    "version",
    "truncated",
    "windows",
    "error",
]
TEXTS = [
    "good film",
    'a "great" plot, really\nwith a second line',
    "awful — ужасно 悪い 🙁",
    "",
    None,
    "bad " * 40,
    "\ttab, comma; and 'quotes'\r\n",
]
ENDINGS = [".csv", ".jsonl", ".parquet"]


def begin(source, output, registry, *more, **settings):
    names = {f"SIZEWISE_{name.upper()}": str(value) for name, value in settings.items()}
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "serving", "classify", "--input", str(source)),
            *("--output", str(output), "--registry", str(registry), *more),
        ],
        cwd=ROOT, env=clean_environ() | names, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip


def classify(*arguments, **settings):
    """The exit status, and what was said."""
    process = begin(*arguments, **settings)
    said = process.communicate(timeout=100)[0]
    assert "Traceback" not in said, said
    return process.returncode, said


def wait_for_a_part(process, output):
    """One more than there is: a process takes longer to begin than this to count."""

    def parts():
        return len(list(output.parent.glob(f"{output.name}.parts/*.part")))

    before = parts()
    while parts() == before:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.005)


def write(path, rows):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
    return path


def read(path):
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def opinions(count):
    words, draw = ["good", "bad", "great", "awful", "film", "plot"], random.Random(7)
    return [
        {"id": number, "text": " ".join(draw.choices(words, k=draw.randint(0, 25)))}
        for number in range(count)
    ]
