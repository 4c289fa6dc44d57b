"""Sizewise beside what one writes with FastAPI: the real peers answer alike, and their ratios."""

import subprocess
import sys
from contextlib import ExitStack

import pytest

from tests.benchmarks.path_cost import running
from tests.benchmarks.path_servers import Server
from tests.benchmarks.plain_fastapi import MOST_DIFFERENT, check_answers, scores, servers, summary
from tests.support.exported_folders import WORDS, export_folder
from tests.support.processes import ROOT

BODY = b'{"texts": ["a warm film"]}'
TEXTS = [" ".join(WORDS), "a warm film", "dull", "not very good"]


@pytest.fixture(scope="module")
def servers_by_name(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain_fastapi")
    exported, registry = folder / "exported", folder / "registry"
    export_folder(exported, inputs=("input_ids", "attention_mask"))
    importing = ("--family", "film", "--variant", "fp32", "--registry", registry)
    subprocess.run(
        [sys.executable, "-m", "models", "import", exported, *importing],
        cwd=ROOT, check=True, timeout=100,
    )  # fmt: skip
    return servers(registry / "film" / "fp32", exported, folder / "alone")


@pytest.fixture(scope="module")
def urls(servers_by_name):
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(running(name, server, BODY))[1]
            for name, server in servers_by_name.items()
        }


def test_every_peer_gives_the_scores_that_sizewise_gives(urls):
    check_answers(urls, TEXTS)


@pytest.mark.parametrize("name", ["sizewise", "plain", "plain_async", "batcher"])
def test_texts_that_run_together_get_the_scores_that_each_gets_alone(urls, name):
    alone = [scores(urls[name], [text])[0] for text in TEXTS]

    assert scores(urls[name], TEXTS) == [pytest.approx(each, abs=MOST_DIFFERENT) for each in alone]


def test_a_peer_with_other_scores_is_refused(servers_by_name, urls, tmp_path):
    export_folder(tmp_path, inputs=("input_ids", "attention_mask"), ends_in="softmax")
    plain = servers_by_name["plain"]
    softmax_twice = Server(plain.command, ROOT, plain.environ | {"PEER_EXPORT": str(tmp_path)})
    with (
        running("plain", softmax_twice, BODY) as (_, url),
        pytest.raises(SystemExit, match="plain's scores differ from Sizewise's by up to"),
    ):
        check_answers({"sizewise": urls["sizewise"], "plain": url}, TEXTS)


def test_ratios_are_sizewise_to_the_peer_round_by_round():
    def figures(texts_per_s, p99_ms, cpu_ms, bad):
        return {
            "texts_per_s": texts_per_s, "p50_ms": 1, "p99_ms": p99_ms, "cpu_ms": cpu_ms, "bad": bad
        }  # fmt: skip

    found = summary(
        {
            "sizewise": [figures(400, 10, 1, 0), figures(100, 20, 4, 0), figures(900, 9, 3, 0)],
            "plain": [figures(200, 40, 2, 1), figures(100, 10, 4, 0), figures(300, 30, 4, 2)],
        }
    )

    assert found["plain"]["sizewise_texts_per_s_ratio"] == 2
    assert found["plain"]["sizewise_p99_ms_ratio"] == pytest.approx(0.3)
    assert found["plain"]["sizewise_cpu_ms_ratio"] == pytest.approx(0.75)
    assert (found["sizewise"]["texts_per_s"], found["plain"]["bad"]) == (400, 3)
