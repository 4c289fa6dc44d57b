"""The shipped family, served as `make run` serves it."""

import json
import re
import subprocess

import httpx
import pytest

from serving.bundles.bundle import read_bundle, verify
from serving.bundles.registry import read_registry
from tests.support.processes import ROOT, serving

SHIPPED = ROOT / "models" / "registry"
MAX_BYTES = 24_000_000


@pytest.fixture(scope="module")
def shipped():
    with serving(SHIPPED) as server:
        yield server


def test_the_readmes_curl_is_answered_correctly(shipped):
    readme = (ROOT / "README.md").read_text()
    command = re.search(r"^curl .*?'\n", readme, re.DOTALL | re.MULTILINE).group()

    output = subprocess.run(
        command.replace("http://127.0.0.1:8000", shipped.url),
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert [r["label"] for r in json.loads(output)["results"]] == ["positive", "negative"]


def test_every_shipped_variant_tells_plain_praise_from_plain_blame(shipped):
    praise = ["An absolute delight from start to finish.", "I love this camera, it works great."]
    blame = ["Dull, clumsy and far too long.", "It broke after a week. A waste of money."]
    listed = httpx.get(f"{shipped.url}/v1/models").json()["models"][0]

    for variant in listed["variants"]:
        body = {"texts": praise + blame, "variant": variant["variant"]}
        results = shipped.classify(body).json()["results"]
        assert [r["label"] for r in results] == ["positive"] * 2 + ["negative"] * 2


def test_the_shipped_family_is_whole_small_and_as_good_as_promised():
    bundles = read_registry(SHIPPED)["sentiment"]

    assert len(bundles) >= 2
    for bundle in bundles:
        verify(read_bundle(bundle.folder))
        assert bundle.manifest.precision == "int8"
        assert bundle.manifest.evaluations["test"].n >= 2000
        assert bundle.manifest.evaluations["test"].accuracy.value >= 0.805
    assert sum(bundle.manifest.bytes for bundle in bundles) <= MAX_BYTES
