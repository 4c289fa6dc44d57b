"""`python -m serving classify`, a real process each time, on the tiny family."""

import csv
import io
import itertools
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.bundles.bundle import read_bundle
from serving.bundles.registry import publish
from serving.errors import StartError
from serving.offline import job as offline_job
from serving.offline.bulk_classifier import batches_of
from serving.offline.job import Job
from serving.offline.tables import CHUNK_ROWS
from serving.settings import Settings
from tests.support.bundles import write_bundle
from tests.support.processes import ROOT, clean_environ, serving

ADDED = ["label", "labels", "score", "scores", "variant", "version", "truncated", "error"]
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


@pytest.fixture(scope="module")
def many(tmp_path_factory, tiny_registry):
    """Files of six chunks, and what an unbroken run makes of them."""
    folder = tmp_path_factory.mktemp("many")
    rows = opinions(6 * CHUNK_ROWS - 77)
    for ending in ENDINGS:
        write(folder / f"in{ending}", rows)
    status, said = classify(folder / "in.jsonl", folder / "unbroken.jsonl", tiny_registry)
    assert status == 0, said
    return folder


@pytest.mark.parametrize("ending", ENDINGS)
def test_columns_and_order_are_kept_and_answers_are_the_servers(
    tmp_path, tiny_registry, server, ending
):
    rows = [{"id": str(i), "text": text, "note": f"n,{i}"} for i, text in enumerate(TEXTS)]
    source, output = write(tmp_path / f"in{ending}", rows), tmp_path / f"out{ending}"

    status, said = classify(source, output, tiny_registry)

    assert status == 0, said
    assert "3 could not be classified: column error says why" in said
    found, given = read(output), read(source)
    assert [list(row) for row in found] == [["id", "text", "note", *ADDED]] * len(rows)
    assert [{name: row[name] for name in given[0]} for row in found] == given
    assert list(tmp_path.iterdir()) in ([source, output], [output, source])
    for row, text in zip(found, TEXTS, strict=True):
        asked = server.classify({"texts": [text]})
        if row["error"]:
            assert asked.status_code == 422
            assert not row["label"]
            continue
        result = asked.json()["results"][0]
        scores = json.loads(row["scores"]) if ending == ".csv" else row["scores"]
        assert scores == pytest.approx(result["scores"], abs=1e-6)
        assert float(row["score"]) == pytest.approx(result["score"], abs=1e-6)
        kept = ("label", "variant", "version")
        assert [row[name] for name in kept] == [result[name] for name in kept]
        assert row["truncated"] in (False, "false")
    assert [row["error"] for row in found if row["error"]] == [
        "the text is empty",
        "the text is empty" if ending == ".csv" else "there is no text",
        "the text has 42 tokens and wide takes 32: shorten it or use --truncate",
    ]


@pytest.mark.parametrize("ending", ENDINGS)
def test_pairs_and_several_labels_are_answered_as_by_the_server(tmp_path, ending):
    bundle = {"pairs": True, "problem_type": "multi_label"}
    write_bundle(tmp_path / "bundle", **bundle)
    publish(tmp_path / "bundle", tmp_path / "registry")
    pairs = [("good", "bad"), ("awful", "great film"), ("film", "plot"), ("", "good")]
    rows = [{"premise": first, "claim": second} for first, second in pairs]
    source, output = write(tmp_path / f"in{ending}", rows), tmp_path / f"out{ending}"
    columns = ("--text", "premise", "--text-pair", "claim")

    status, said = classify(source, output, tmp_path / "registry", *columns)
    refused = classify(source, tmp_path / f"o{ending}", tmp_path / "registry", *columns[:2])
    with serving(tmp_path / "registry") as running:
        asked = running.classify({"texts": pairs[:3]}).json()["results"]

    assert status == 0, said
    found = read(output)
    held = [row["labels"] for row in found[:3]]
    assert [json.loads(each) if ending == ".csv" else each for each in held] == [
        result["labels"] for result in asked
    ]
    assert found[3]["error"] == "the text is empty"
    assert refused[0] == 2
    assert "--text-pair" in refused[1]


def test_a_named_variant_truncates_and_a_prefix_makes_room(tmp_path, tiny_registry):
    source = write(tmp_path / "in.jsonl", [{"body": "bad " * 40, "label": "?"}, {"body": "good", "label": "?"}])  # fmt: skip # noqa: E501
    output = tmp_path / "out.jsonl"
    more = ["--text", "body", "--variant", "tiny", "--truncate", "--prefix", "predicted_"]

    status, said = classify(source, output, tiny_registry, *more)

    assert status == 0, said
    assert [
        [row[n] for n in ("label", "predicted_label", "predicted_variant", "predicted_truncated")]
        for row in read(output)
    ] == [["?", "negative", "tiny", True], ["?", "positive", "tiny", False]]


def test_a_line_of_json_is_kept_as_it_is_written(tmp_path, tiny_registry):
    lines = [
        '\ufeff{ "text" : "good", "n": 1.10, "big": 123456789012345678901234567890 }',
        "",
        '{"text":"b\\u00e4d {}", "nested": {"a": [1, 2]}}  ',
    ]
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("\n".join(lines), encoding="utf-8")

    assert classify(source, output, tiny_registry)[0] == 0
    found = output.read_text(encoding="utf-8").splitlines()
    assert found[0].startswith(
        '{ "text" : "good", "n": 1.10, "big": 123456789012345678901234567890,'
    )
    assert found[1].startswith('{"text":"b\\u00e4d {}", "nested": {"a": [1, 2]},"label":')
    assert len(found) == len([json.loads(line) for line in found]) == 2


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())], ids=str)  # fmt: skip # noqa: E501
def test_every_kind_of_parquet_string_is_read_and_written_as_it_was(tmp_path, tiny_registry, kind):
    texts = pa.array(["good", None, "bad"]).cast(kind)
    table = pa.table({"text": texts, "when": pa.array([1, 2, 3], pa.timestamp("us", "UTC"))})
    source, output = tmp_path / "in.parquet", tmp_path / "out.parquet"
    pq.write_table(table, source, row_group_size=2)

    status, said = classify(source, output, tiny_registry)

    assert status == 0, said
    found = pq.read_table(output)
    assert found.column_names == ["text", "when", *ADDED]
    assert found.select(["text", "when"]).equals(pq.read_table(source))
    assert found["label"].to_pylist() == ["positive", None, "negative"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_killed_and_run_again_nothing_is_lost_or_repeated(tmp_path, tiny_registry, many, ending):
    source, output = many / f"in{ending}", tmp_path / f"out{ending}"
    parts = tmp_path / f"out{ending}.parts"
    kept = []
    for _ in range(2):
        process = begin(source, output, tiny_registry, threads=1)
        wait_for_a_part(process, output)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kept.append({part.name: part.stat().st_mtime_ns for part in parts.glob("*.part")})
    assert not output.exists()
    assert kept[0].items() <= kept[1].items(), "a finished part was made again"
    assert len(kept[1]) < 6, "it was killed too late to show anything"

    status, said = classify(source, output, tiny_registry)

    assert status == 0, said
    assert "of them by a run before" in said
    assert not parts.exists()
    if ending == ".jsonl":
        assert output.read_bytes() == (many / "unbroken.jsonl").read_bytes()
        return
    found, unbroken = read(output), read(many / "unbroken.jsonl")
    assert [int(row["id"]) for row in found] == list(range(len(unbroken)))
    for name in ("label", "score", "error"):
        assert [str(row[name] or "") for row in found] == [str(row[name] or "") for row in unbroken]


def test_a_signal_ends_it_promptly_and_says_how_to_go_on(tmp_path, tiny_registry, many):
    output = tmp_path / "out.jsonl"
    for number in (signal.SIGINT, signal.SIGTERM):
        process = begin(many / "in.jsonl", output, tiny_registry, threads=1)
        wait_for_a_part(process, output)
        process.send_signal(number)
        said = process.communicate(timeout=20)[0]

        assert process.returncode == 128 + number, said
        assert "Stopped. Run the same command again" in said
        assert "Traceback" not in said
    assert classify(many / "in.jsonl", output, tiny_registry)[0] == 0
    assert output.read_bytes() == (many / "unbroken.jsonl").read_bytes()


@pytest.fixture
def stopped(tmp_path, tiny_registry, many):
    """(input, output, registry) of a job that was killed, all to be spoilt."""
    registry = shutil.copytree(tiny_registry, tmp_path / "registry")
    source = shutil.copyfile(many / "in.jsonl", tmp_path / "in.jsonl")
    output = tmp_path / "out.jsonl"
    process = begin(source, output, registry, threads=1)
    wait_for_a_part(process, output)
    held = classify(source, output, registry)
    assert held[0] == 2
    assert "another job writes" in held[1]
    process.kill()
    process.communicate()
    return source, output, registry


def test_what_has_changed_is_refused_until_it_is_begun_anew(tmp_path, stopped):
    source, output, registry = stopped

    truncating = classify(*stopped, "--truncate")
    write_bundle(tmp_path / "new", variant="wide", scale=-2.5, ballast_bytes=1000)
    publish(tmp_path / "new", registry)
    republished = classify(*stopped)
    source.write_text('{"text": "good"}\n')
    replaced = classify(*stopped)
    anew = classify(*stopped, "--restart")

    assert [status for status, _ in (truncating, republished, replaced, anew)] == [2, 2, 2, 0]
    assert "begun with another --truncate: go back to that, or begin anew" in truncating[1]
    assert "begun with another version:" in republished[1]
    assert "begun with another input and version:" in replaced[1]
    assert [row["label"] for row in read(output)] == ["negative"]
    again = classify(*stopped)
    assert again[0] == 2
    assert "is there already: use --restart to replace it" in again[1]


BROKEN = {
    "no.txt": ("good", "ends in none of .csv, .jsonl, .parquet"),
    "column.csv": ("body,id\ngood,1\n", "has no column 'text' but ['body', 'id']: name one with"),
    "taken.csv": ("text,label\ngood,1\n", "has a column 'label' already: use --prefix"),
    "twice.csv": ("text,a,a\ngood,1,2\n", "names a column twice"),
    "fields.csv": ("text,id\ngood,1\ngood, bad,2\n", "line 3 has 3 fields and the header 2"),
    "quote.csv": ('text,id\n"good,1\n', "after line 2: unexpected end of data"),
    "empty.csv": ("", "has no column 'text' but []"),
    "latin.csv": (b"text\nsch\xf6n\n", "'utf-8' codec can't decode byte 0xf6"),
    "line.jsonl": ('{"text": "a"}\n\n{"text": }\n', "line 3 is not JSON: expected value at column"),
    "latin.jsonl": (b'{"text": "sch\xf6n"}\n', "line 1 is not JSON"),
    "surrogate.jsonl": ('{"text": "\\ud800"}\n', "line 1 is not JSON"),
    "list.jsonl": ('["good"]\n', "line 1 is not a JSON object"),
    "number.jsonl": ('{"text": "a"}\n{"text": 5}\n', "line 2: text is 5, not a string: quote it"),
    "missing.jsonl": ('{"text": "a"}\n{"t": "a"}\n', "line 2 has no column 'text' but ['t']"),
    "garbage.parquet": ("PAR1", "cannot be read as Parquet"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_cannot_be_read_is_one_sentence_and_leaves_nothing(
    tmp_path, tiny_registry, name
):
    content, sentence = BROKEN[name]
    source, output = tmp_path / name, tmp_path / f"out{(tmp_path / name).suffix}"
    source.write_bytes(content if isinstance(content, bytes) else content.encode())

    job = Job(source, output, "text", None, None, "auto", truncate=False, prefix="")
    with pytest.raises(StartError) as raised:
        offline_job.classify(job, Settings(registry=tiny_registry), io.StringIO())

    assert sentence in raised.value.detail
    assert "\n" not in raised.value.detail
    assert list(tmp_path.iterdir()) == [source]


def test_numbers_in_a_parquet_column_are_refused(tmp_path, tiny_registry):
    source = write(tmp_path / "in.parquet", [{"text": 5}])

    status, said = classify(source, tmp_path / "out.parquet", tiny_registry)

    assert status == 2
    assert "text holds int64, not strings: cast it" in said


@pytest.mark.parametrize(
    ("output", "more", "sentence"),
    [
        ("in.csv", [], "is the input: name another output"),
        ("out.jsonl", [], "must end in .csv, like the input"),
        ("no/out.csv", [], "no is not a folder: make it first"),
        ("out.csv", ["--model", "mood"], "name one of the models tone with --model"),
        ("out.csv", ["--variant", "huge"], "there is no variant 'huge': name one of"),
    ],
)
def test_what_cannot_be_asked_for_is_one_sentence(tmp_path, tiny_registry, output, more, sentence):
    source = write(tmp_path / "in.csv", [{"text": "good"}])

    status, said = classify(source, tmp_path / output, tiny_registry, *more)

    assert status == 2
    assert sentence in said
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize(("rows", "expected"), [(["", ""], 1), (["", "good"], 0), ([], 0)])
def test_the_exit_status_says_whether_any_text_was_classified(
    tmp_path, tiny_registry, rows, expected
):
    source, output = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("id,text\n" + "".join(f"1,{text}\n" for text in rows))

    status, said = classify(source, output, tiny_registry)

    assert status == expected, said
    assert len(read(output)) == len(rows)


def test_a_text_that_the_graph_cannot_answer_does_not_stop_its_neighbours(tmp_path):
    write_bundle(tmp_path / "bundle", scale=math.inf)
    publish(tmp_path / "bundle", tmp_path / "registry")
    source = write(tmp_path / "in.jsonl", [{"text": t} for t in ("film", "good film", "plot")])
    output, options = tmp_path / "out.jsonl", {"engine": "onnxruntime"}

    status, said = classify(source, output, tmp_path / "registry", **options)
    hopeless = write(tmp_path / "bad.jsonl", [{"text": "good"}, {"text": "bad"}])
    stopped = classify(hopeless, tmp_path / "o.jsonl", tmp_path / "registry", **options)

    assert status == 0, said
    assert [row["error"] for row in read(output)] == [
        None, "the graph answered a non-finite logit for one of 1 texts", None,
    ]  # fmt: skip
    assert stopped[0] == 2
    assert "not one text of many was answered" in stopped[1]


def test_without_pyarrow_parquet_names_the_remedy_and_the_others_work(tmp_path, tiny_registry):
    (tmp_path / "hidden").mkdir()
    gone = "raise ModuleNotFoundError(\"No module named 'pyarrow'\", name='pyarrow')"
    (tmp_path / "hidden" / "pyarrow.py").write_text(gone)
    parquet = write(tmp_path / "in.parquet", [{"text": "good"}])
    lines = write(tmp_path / "in.jsonl", [{"text": "good"}])
    hidden = os.environ | {"PYTHONPATH": str(tmp_path / "hidden")}

    def run(source):
        command = [sys.executable, "-m", "serving", "classify", "--registry", str(tiny_registry)]
        command += ["--input", source, "--output", tmp_path / f"out{source.suffix}"]
        return subprocess.run(
            command, cwd=ROOT, env=hidden, capture_output=True, text=True, check=False
        )

    refused, done = run(parquet), run(lines)

    assert refused.returncode == 2
    assert "pip install 'sizewise[offline]'" in refused.stderr
    assert done.returncode == 0, done.stderr


@given(st.lists(st.integers(1, 600)), st.integers(1, 1000), st.booleans())
def test_every_text_is_in_one_batch_and_batches_keep_the_budget(lengths, budget, packed):
    batches = batches_of(lengths, budget, packed=packed)

    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    flat = [lengths[index] for batch in batches for index in batch]
    assert flat == sorted(lengths, reverse=True)
    for batch in batches:
        assert batch
        sizes = [lengths[index] for index in batch]
        cells = sum(sizes) if packed else len(sizes) * max(sizes)
        assert len(batch) == 1 or cells <= budget
    for batch, after in itertools.pairwise(batches):
        joined = [lengths[index] for index in (*batch, after[0])]
        cells = sum(joined) if packed else len(joined) * max(joined)
        assert cells > budget, "there was room for the next"


def test_the_shipped_bundles_are_read_by_the_job_that_the_readme_shows(tmp_path):
    manifest = read_bundle(ROOT / "models/registry/sentiment/small-int8").manifest
    source = write(tmp_path / "in.csv", [{"text": "A warm, funny and moving film."}, {"text": "It broke after two days."}])  # fmt: skip # noqa: E501
    output = tmp_path / "out.csv"

    status, said = classify(source, output, ROOT / "models/registry", "--variant", "small-int8")

    assert status == 0, said
    assert [row["label"] for row in read(output)] == ["positive", "negative"]
    assert {row["version"] for row in read(output)} == {manifest.version}
