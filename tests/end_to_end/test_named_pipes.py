"""What a recipe or a command names is refused if it is no file: a named pipe could never end."""

import os

import pytest

from loadtest.measure.workload import texts_from
from loadtest.scenario import read_scenario
from loadtest.sizing.autoscaling import read_trace
from models.data.readers import _READERS
from models.data.text_files import FOUND_OUT
from models.recipe import RecipeError, read_recipe
from serving.bundles.onnx_file import read_outline
from serving.errors import BundleError


@pytest.fixture
def pipe(tmp_path):
    def made(name):
        os.mkfifo(tmp_path / name)
        return tmp_path / name

    return made


@pytest.mark.parametrize("suffix", _READERS)
def test_a_table_that_is_a_pipe(pipe, suffix):
    with pytest.raises(RecipeError, match="is not a"):
        list(_READERS[suffix](pipe(f"data{suffix}"), ["text"], FOUND_OUT))


def test_a_recipe_that_is_a_pipe(pipe):
    with pytest.raises(RecipeError, match="is not a file"):
        read_recipe(pipe("own.toml"))


@pytest.mark.parametrize(
    ("read", "name"), [(read_scenario, "a.toml"), (read_trace, "a.csv"), (texts_from, "a.txt")]
)
def test_what_the_load_test_reads_that_is_a_pipe(pipe, read, name):
    with pytest.raises(ValueError, match="is not a file"):
        read(pipe(name))


def test_a_graph_that_is_a_pipe(pipe):
    with pytest.raises(BundleError, match="is not a file"):
        read_outline(pipe("model.onnx"))
