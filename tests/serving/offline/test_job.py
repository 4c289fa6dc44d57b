"""`python -m serving classify`, a real process each time, on the tiny family."""

import itertools
import json
import math
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.bundles.bundle import read_bundle
from serving.bundles.registry import publish
from serving.offline.bulk_classifier import batches_of
from tests.support.bundles import write_bundle
from tests.support.offline_jobs import ADDED, ENDINGS, TEXTS, classify, read, write
from tests.support.processes import ROOT, serving


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
        "the text has 42 tokens and wide takes 32: shorten it, or use --long truncate or windows",
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
