"""`python -m serving classify`, killed or stopped and run again."""

import shutil
import signal

import pytest

from serving.bundles.registry import publish
from serving.offline.tables import CHUNK_ROWS
from tests.support.bundles import write_bundle
from tests.support.offline_jobs import (
    ENDINGS,
    begin,
    classify,
    opinions,
    read,
    wait_for_a_part,
    write,
)


@pytest.fixture(scope="module")
def many(tmp_path_factory, tiny_registry):
    """Files of six chunks, and what an unbroken run makes of them."""
    folder = tmp_path_factory.mktemp("many")
    rows = opinions(6 * CHUNK_ROWS - 77)
    for ending in ENDINGS:
        write(folder / f"in{ending}", rows)
    status, said = classify(folder / "in.jsonl", folder / "unbroken.jsonl", tiny_registry)
    assert status == 0, said
    return folder


@pytest.mark.parametrize("ending", ENDINGS)
def test_killed_and_run_again_nothing_is_lost_or_repeated(tmp_path, tiny_registry, many, ending):
    source, output = many / f"in{ending}", tmp_path / f"out{ending}"
    parts = tmp_path / f"out{ending}.parts"
    kept = []
    for _ in range(2):
        process = begin(source, output, tiny_registry, threads=1)
        wait_for_a_part(process, output)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kept.append({part.name: part.stat().st_mtime_ns for part in parts.glob("*.part")})
    assert not output.exists()
    assert kept[0].items() <= kept[1].items(), "a finished part was made again"
    assert len(kept[1]) < 6, "it was killed too late to show anything"

    status, said = classify(source, output, tiny_registry)

    assert status == 0, said
    assert "of them by a run before" in said
    assert not parts.exists()
    if ending == ".jsonl":
        assert output.read_bytes() == (many / "unbroken.jsonl").read_bytes()
        return
    found, unbroken = read(output), read(many / "unbroken.jsonl")
    assert [int(row["id"]) for row in found] == list(range(len(unbroken)))
    for name in ("label", "score", "error"):
        assert [str(row[name] or "") for row in found] == [str(row[name] or "") for row in unbroken]


def test_a_signal_ends_it_promptly_and_says_how_to_go_on(tmp_path, tiny_registry, many):
    output = tmp_path / "out.jsonl"
    for number in (signal.SIGINT, signal.SIGTERM):
        process = begin(many / "in.jsonl", output, tiny_registry, threads=1)
        wait_for_a_part(process, output)
        process.send_signal(number)
        said = process.communicate(timeout=20)[0]

        assert process.returncode == 128 + number, said
        assert "Stopped. Run the same command again" in said
        assert "Traceback" not in said
    assert classify(many / "in.jsonl", output, tiny_registry)[0] == 0
    assert output.read_bytes() == (many / "unbroken.jsonl").read_bytes()


@pytest.fixture
def stopped(tmp_path, tiny_registry, many):
    """(input, output, registry) of a job that was killed, all to be spoilt."""
    registry = shutil.copytree(tiny_registry, tmp_path / "registry")
    source = shutil.copyfile(many / "in.jsonl", tmp_path / "in.jsonl")
    output = tmp_path / "out.jsonl"
    process = begin(source, output, registry, threads=1)
    wait_for_a_part(process, output)
    held = classify(source, output, registry)
    assert held[0] == 2
    assert "another job writes" in held[1]
    process.kill()
    process.communicate()
    return source, output, registry


def test_what_has_changed_is_refused_until_it_is_begun_anew(tmp_path, stopped):
    source, output, registry = stopped

    truncating = classify(*stopped, "--truncate")
    write_bundle(tmp_path / "new", variant="wide", scale=-2.5, ballast_bytes=1000)
    publish(tmp_path / "new", registry)
    republished = classify(*stopped)
    source.write_text('{"text": "good"}\n')
    replaced = classify(*stopped)
    anew = classify(*stopped, "--restart")

    assert [status for status, _ in (truncating, republished, replaced, anew)] == [2, 2, 2, 0]
    assert "begun with another --long: go back to that, or begin anew" in truncating[1]
    assert "begun with another version:" in republished[1]
    assert "begun with another input and version:" in replaced[1]
    assert [row["label"] for row in read(output)] == ["negative"]
    again = classify(*stopped)
    assert again[0] == 2
    assert "is there already: use --restart to replace it" in again[1]
