"""The family `tone` with a cascade, and the command that decides it."""

import pytest

from models.__main__ import main
from models.cascade import build as cascade_build
from tests.support.tone_family import cascade_options, measured, write_tone


@pytest.fixture(scope="module")
def tone(tmp_path_factory):
    """A folder with the registry, a cascade and the held-out texts of `tone`."""
    home = tmp_path_factory.mktemp("tone")
    write_tone(home)
    cascade_build.run(cascade_options(home), home / "reports", measured)
    return home


@pytest.fixture
def decide(tone, monkeypatch, capsys):
    """Run the command; return its status and what it printed."""
    monkeypatch.setattr("models.__main__.BUILD", tone / "build")

    def run(*options, family="tone"):
        paths = ["--registry", str(tone / "registry"), "--output", str(tone / "reports")]
        status = main(["decide", family, *options, *paths, "--engine", "onnxruntime"])
        said = capsys.readouterr()
        return status, said.out if status == 0 else said.err.splitlines()[-1]

    return run
