import json

import httpx
import pytest

from tests.support.bundles import write_bundle
from tests.support.processes import serving
from tests.support.registries import wait_for


@pytest.fixture
def folder(tmp_path):
    """A Hugging Face folder with an ONNX graph."""
    write_bundle(tmp_path / "my-model")
    (tmp_path / "my-model" / "manifest.json").unlink()
    return tmp_path / "my-model"


def answered(server):
    response = httpx.post(f"{server.url}/v1/classify", json={"texts": ["good"]}, timeout=30)
    assert response.status_code == 200
    return response.json()["model"], response.json()["results"][0]["label"]


def refused(server):
    return httpx.get(f"{server.url}/v1/models", timeout=30).json()["refused"]


@pytest.mark.parametrize("http_processes", [0, 1])
def test_the_folder_of_one_model_is_served_and_followed(folder, http_processes):
    with serving(folder, http_processes=http_processes, scan_ms=100) as server:
        assert answered(server) == ("my-model", "positive")
        tokenizer = (folder / "tokenizer.json").read_text()

        (folder / "tokenizer.json").write_text("{")
        wait_for(lambda: refused(server))
        assert "tokenizer.json is not JSON" in refused(server)[str(folder)]
        assert answered(server) == ("my-model", "positive")

        (folder / "tokenizer.json").write_text(tokenizer)
        config = {"id2label": {"0": "dull", "1": "warm"}}
        (folder / "config.json").write_text(json.dumps(config))
        wait_for(lambda: answered(server)[1] == "warm")
        assert refused(server) == {}


def test_a_snapshot_of_links_to_nameless_blobs_is_served(folder, tmp_path):
    """The cache of the Hugging Face hub has a model so."""
    (tmp_path / "blobs").mkdir()
    for number, file in enumerate(sorted(folder.iterdir())):
        file.symlink_to(file.rename(tmp_path / "blobs" / str(number)))

    with serving(folder) as server:
        assert answered(server) == ("my-model", "positive")
