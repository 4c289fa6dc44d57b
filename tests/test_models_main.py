import pytest

from models.__main__ import main


def test_a_broken_recipe_ends_with_status_2_and_one_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd.toml").write_text('family = "tone"\nflavour = 1\n')

    assert main(["all", "odd.toml"]) == 2

    refusal = capsys.readouterr().err
    assert "flavour" in refusal
    assert len(refusal.splitlines()) == 1


def test_an_unusable_folder_is_not_imported(tmp_path, capsys):
    options = ["--family", "f", "--variant", "v", "--registry", str(tmp_path / "registry")]

    assert main(["import", str(tmp_path), *options]) == 2

    assert "export the model to ONNX" in capsys.readouterr().err


def test_an_unknown_command_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["prime"])

    assert "invalid choice" in capsys.readouterr().err
