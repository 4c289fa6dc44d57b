import pytest

from models.__main__ import main
from tests.support.broken_data import TABLE

REST = """
[train]
base = "base"
epochs = 1
learning_rate = 1e-3
max_length = 32
"""


def test_at_least_twenty_broken_inputs_are_tried():
    assert len({broken.name for broken in TABLE}) >= 20


@pytest.mark.parametrize("broken", TABLE, ids=lambda broken: broken.name)
def test_broken_data_ends_with_status_2_and_one_sentence(broken, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, content in broken.files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "teacher.toml").write_text(f'family = "mine"\n[data]\n{broken.data}\n{REST}')

    assert main(["data", "teacher.toml"]) == 2

    told = capsys.readouterr().err
    assert told.startswith(broken.message)
    assert len(told.splitlines()) == 1
    assert not (tmp_path / "build" / "mine" / "teacher" / "data").exists()
