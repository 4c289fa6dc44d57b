from loadtest.measure.subprocesses import python_subprocess


def test_a_subprocess_imports_nothing_that_lies_in_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "wave.py").write_text("raise SystemExit('the wrong module')")
    monkeypatch.chdir(tmp_path)

    with python_subprocess(["-c", "import wave, loadtest"], tmp_path / "log") as process:
        assert process.wait(30) == 0, (tmp_path / "log").read_text()
