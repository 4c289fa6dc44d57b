"""Sizewise beside what one writes with FastAPI: the real peers answer alike."""

import subprocess
import sys
from contextlib import ExitStack

import pytest

from tests.benchmarks.path_cost import running
from tests.benchmarks.path_servers import Server
from tests.benchmarks.plain_fastapi import PEERS, check_answers, servers
from tests.support.exported_folders import WORDS, export_folder
from tests.support.processes import ROOT

BODY = b'{"texts": ["a warm film"]}'
TEXTS = ["a warm film", "dull", " ".join(WORDS)]


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain_fastapi")
    exported, registry = folder / "exported", folder / "registry"
    export_folder(exported, inputs=("input_ids", "attention_mask"))
    importing = ("--family", "film", "--variant", "fp32", "--registry", registry)
    subprocess.run(
        [sys.executable, "-m", "models", "import", exported, *importing],
        cwd=ROOT, check=True, timeout=100,
    )  # fmt: skip
    return servers(registry / "film" / "fp32", exported, folder / "alone")


def test_every_peer_gives_the_scores_that_sizewise_gives(every):
    assert list(every) == ["sizewise", *PEERS]
    with ExitStack() as stack:
        urls = {
            name: stack.enter_context(running(name, server, BODY))[1]
            for name, server in every.items()
        }

        check_answers(urls, TEXTS)


def test_a_peer_with_other_scores_ends_the_program(every, tmp_path):
    export_folder(tmp_path, inputs=("input_ids", "attention_mask"), ends_in="softmax")
    other = Server(every["plain"].command, ROOT, every["plain"].environ | {"PEER_EXPORT": tmp_path})
    with (
        running("sizewise", every["sizewise"], BODY) as (_, ours),
        running("plain", other, BODY) as (_, theirs),
        pytest.raises(SystemExit, match="plain's scores differ from Sizewise's by up to"),
    ):
        check_answers({"sizewise": ours, "plain": theirs}, TEXTS)
