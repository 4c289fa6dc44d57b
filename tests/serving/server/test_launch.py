"""What a server prints to try once it is ready: it works as printed."""

import json
import re
import shlex
import subprocess

import pytest

from serving.bundles.registry import publish
from tests.support.bundles import write_bundle
from tests.support.processes import serving
from tests.support.registries import wait_for

FIRST, SECOND = ({"family": "tone"}, {"family": "verse"})
PAIRS = {"family": "mood", "pairs": True}


@pytest.mark.parametrize(
    ("families", "settings", "model"),
    [
        ([FIRST], {}, None),
        ([FIRST, SECOND], {"default_model": "verse"}, None),
        ([FIRST, SECOND], {}, "tone"),
        ([FIRST, SECOND], {"http_processes": 1}, "tone"),
        ([PAIRS, FIRST], {}, "tone"),
        ([FIRST, SECOND], {"memory_bytes": 1}, "tone"),
    ],
    ids=["one", "a default", "two", "an HTTP process", "one of pairs", "one rests"],
)
def test_the_command_names_a_model_where_a_request_has_to(tmp_path, families, settings, model):
    for made in families:
        write_bundle(tmp_path / made["family"], **made)
        publish(tmp_path / made["family"], tmp_path / "registry")
    with serving(tmp_path / "registry", **settings) as server:
        wait_for(lambda: "Sizewise is ready" in server.log())
        printed = re.search(r"^ *(curl .*?'\n)", server.log(), re.DOTALL | re.MULTILINE)[1]
        command = shlex.split(printed.replace("\\\n", ""))
        said = subprocess.run(command, capture_output=True, check=True).stdout

    assert json.loads(command[-1]).get("model") == model
    answer = json.loads(said)
    assert len(answer.get("results", [])) == 2, answer
