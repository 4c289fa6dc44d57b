import os
import shutil
from unittest.mock import Mock

import pytest
import torch

from models.training import teacher_states
from models.training.loop import outputs
from models.training.teacher_states import TeacherStates

TEXTS = [[2, 5, 9, 3], [2, 7, 3], [2, 4, 4, 6, 8, 3]]
BATCHES = ([0, 1, 2], [2, 0], [1], [1, 2])

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "output"
    path.mkdir()
    return path


@pytest.fixture
def asked(monkeypatch):
    """The texts that a teacher reads, one call after the other."""
    calls = []

    def asking(model, encodings, *given, **more):
        calls.append([TEXTS.index(each) for each in encodings])
        return outputs(model, encodings, *given, **more)

    monkeypatch.setattr(teacher_states, "outputs", asking)
    return calls


def layers_of(model):
    return list(range(model.config.num_hidden_layers))


def alone(model, text):
    """The states of one text's tokens after each layer: (tokens, layers, width)."""
    states = outputs(model, [TEXTS[text]], output_hidden_states=True).hidden_states
    return torch.stack([each[0] for each in states[1:]], dim=1)


def check(states, model, batches=BATCHES):
    for batch in batches:
        wanted = torch.cat([alone(model, text) for text in batch])
        torch.testing.assert_close(states.of(batch), wanted, rtol=1e-3, atol=2e-3)


def test_each_text_is_read_once(model, asked, folder):
    check(TeacherStates(model, TEXTS, layers_of(model), "fp32", folder), model)

    assert asked == [[0, 1, 2]]


def test_only_texts_that_have_not_been_seen_are_read(model, asked, folder):
    states = TeacherStates(model, TEXTS, layers_of(model), "fp32", folder)

    check(states, model, ([1], [2, 1], [0, 1, 2]))

    assert asked == [[1], [2], [0]]


@pytest.mark.parametrize(
    ("room", "calls"),
    [
        (7, [[0, 1, 2], [2], [2]]),
        (6, [[0, 1, 2], [2], [1], [1, 2]]),
        (0, list(BATCHES)),
    ],
)
def test_texts_that_there_is_no_room_for_are_read_again(model, asked, folder, room, calls):
    bytes_a_token = 2 * len(layers_of(model)) * model.config.hidden_size
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(teacher_states, "_MOST_BYTES", room * bytes_a_token)
        states = TeacherStates(model, TEXTS, layers_of(model), "fp32", folder)

    check(states, model)

    assert asked == calls


def test_half_of_what_is_free_on_the_disk_is_left(model, asked, folder, monkeypatch):
    free = 2 * 7 * 2 * len(layers_of(model)) * model.config.hidden_size
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(free, 0, free))

    check(TeacherStates(model, TEXTS, layers_of(model), "fp32", folder), model)

    assert asked == [[0, 1, 2], [2], [2]]


@pytest.mark.parametrize("written", [OSError(28, "No space left on device"), 7])
def test_what_a_full_disk_does_not_take_is_asked_for_again(
    model, asked, folder, monkeypatch, written
):
    monkeypatch.setattr(os, "pwrite", Mock(side_effect=[written] * 99))

    check(TeacherStates(model, TEXTS, layers_of(model), "fp32", folder), model)

    assert asked == list(BATCHES)


def test_its_file_has_no_name_and_goes_with_it(model, folder):
    states = TeacherStates(model, TEXTS, layers_of(model), "fp32", folder)
    states.of([0])
    descriptor = states._file.fileno()
    assert os.fstat(descriptor).st_size
    assert not list(folder.iterdir())

    del states

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
