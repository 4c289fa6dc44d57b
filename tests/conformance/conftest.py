"""Tiny classifiers that several tests alter copies of, exported once a worker."""

import shutil

import pytest
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tests.conformance.architectures import Saved, saved
from tests.conformance.exporting import export
from tests.conformance.quiet import quietly


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Makes each architecture once: its folder with weights, tokenizer and model.onnx."""
    made = {}

    def _exported(architecture):
        if architecture not in made:
            folder = tmp_path_factory.mktemp(architecture)
            with quietly():
                made[architecture] = saved(architecture, folder)
                export(
                    made[architecture].model, made[architecture].tokenizer, folder / "model.onnx"
                )
        return made[architecture]

    return _exported


@pytest.fixture
def copy_of(exported, tmp_path):
    """A copy of an exported classifier's folder, to be altered."""

    def _copy_of(architecture):
        return shutil.copytree(exported(architecture).folder, tmp_path / "altered")

    return _copy_of


@pytest.fixture
def loaded():
    """A folder as transformers reads it."""

    def _loaded(folder):
        with quietly():
            model = AutoModelForSequenceClassification.from_pretrained(
                folder, attn_implementation="eager"
            )
            return Saved(folder, model.eval(), AutoTokenizer.from_pretrained(folder))

    return _loaded
