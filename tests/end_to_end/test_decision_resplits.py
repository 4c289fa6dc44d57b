"""The program that counts how often thresholds miss: short, on drawn scores and tiny bundles."""

import pytest

from tests.benchmarks import decision_resplits
from tests.support.tone_family import write_tone


@pytest.fixture(autouse=True)
def fewer(monkeypatch):
    monkeypatch.setattr(decision_resplits, "POPULATION", 20_000)


def rows(capsys):
    lines = capsys.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if len(row) == 7 and "," in row[0]][1:]


def test_drawn_scores_keep_what_is_promised(capsys):
    assert decision_resplits.main(["--times", "3"]) == 0

    found = rows(capsys)
    assert len(found) == 4 + 6 + 2 + 2 + 1 + 6
    one_sided = [row for row in found if "may only" in row[0]]
    assert len(one_sided) == 4
    assert "a cascade that the same texts tested" in found[14][0]
    assert all(float(row[2]) == 100 for row in found if row not in one_sided)
    (own, truncated) = (row for row in found if "up to 20 windows" in row[0])
    assert float(own[4]) < 10 < float(truncated[4])
    assert truncated[3].startswith("100.0 ")


@pytest.mark.parametrize("long", ["truncate", "windows"])
def test_real_bundles_are_re_split_with_a_cascade_selected_anew(tmp_path, capsys, long):
    write_tone(tmp_path)
    given = ["--registry", str(tmp_path / "registry"), "--family", "tone", "--label", "positive"]
    given += ["--rate", "0.2", "--max-loss", "0.1", "--times", "3", "--long", long]

    assert decision_resplits.main([str(tmp_path / "build"), *given]) == 0

    found = rows(capsys)
    assert [row[0].partition(",")[0] for row in found] == [
        "small", "medium", "large", "cascade"
    ] * 2  # fmt: skip
    assert float(found[-1][2]) > 0
    assert all(float(row[4]) < 20 for row in found)


def test_the_status_is_1_if_more_miss_than_may(capsys, monkeypatch):
    """A threshold that lets ten times the errors pass."""
    allowed = decision_resplits.resplit.__globals__["allowances"]

    def careless(targets, truth, confidence):
        return allowed([each.model_copy(update={"max_false_positive_rate": 0.1})
                        if each.max_false_positive_rate else each for each in targets],
                       truth, confidence)  # fmt: skip

    monkeypatch.setitem(decision_resplits.resplit.__globals__, "allowances", careless)

    assert decision_resplits.main(["--times", "10"]) == 1
    assert "THE PROMISE IS BROKEN" in capsys.readouterr().out
