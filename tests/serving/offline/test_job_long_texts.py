"""Long texts of a job are answered as by the server."""

import json

import pytest

from serving.bundles.registry import publish
from serving.bundles.windows import WINDOWS_NAME
from tests.support.bundles import write_bundle
from tests.support.offline_jobs import ENDINGS, classify, read, write
from tests.support.processes import serving

TEXTS = ["film " * 60 + "awful", "good film", "great " + "plot " * 40, "", "bad " * 200]
FEW = {"max_windows": 4, "engine": "onnxruntime"}


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("long")
    write_bundle(scratch / "tiny", problem_type="multi_label")
    publish(scratch / "tiny", scratch / "registry")
    (scratch / "registry/tone" / WINDOWS_NAME).write_text('{"long": "windows", "overlap": 0.1}')
    return scratch / "registry"


@pytest.mark.parametrize("ending", ENDINGS)
def test_windows_are_those_of_the_server_with_their_characters(tmp_path, registry, ending):
    source = write(tmp_path / f"in{ending}", [{"text": text} for text in TEXTS])
    output = tmp_path / f"out{ending}"

    status, said = classify(source, output, registry, **FEW)
    with serving(registry, **FEW) as running:
        body = {"texts": TEXTS[:3]}
        asked = running.classify(body).json()["results"]

    assert status == 0, said
    found = read(output)
    for row, result in zip(found[:3], asked, strict=True):
        windows, scores = row["windows"] or None, row["scores"]
        if ending == ".csv":
            windows, scores = windows and json.loads(windows), json.loads(scores)
        assert windows == result.get("windows")
        assert scores == pytest.approx(result["scores"])
        assert row["truncated"] in (False, "false")
    assert found[3]["error"] == "the text is empty"
    assert "takes 8 windows of tiny, but SIZEWISE_MAX_WINDOWS allows 4" in found[4]["error"]
    assert "2 could not be classified" in said


def test_a_job_says_what_becomes_of_long_texts(tmp_path, registry):
    source = write(tmp_path / "in.jsonl", [{"text": text} for text in TEXTS[:3]])
    found = {}
    for long in ("refuse", "truncate", "windows"):
        output = tmp_path / f"{long}.jsonl"
        status, said = classify(source, output, registry, "--long", long, **FEW)
        assert status == 0, said
        found[long] = [(row["error"] is None, row["truncated"]) for row in read(output)]
    both = classify(source, output, registry, "--long", "windows", "--truncate", **FEW)

    assert found == {
        "refuse": [(False, None), (True, False), (False, None)],
        "truncate": [(True, True), (True, False), (True, True)],
        "windows": [(True, False), (True, False), (True, False)],
    }
    assert both[0] == 2
    assert "not allowed with argument" in both[1]
