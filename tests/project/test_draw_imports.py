from itertools import pairwise

from tests.project import draw_imports
from tests.project.imports import PACKAGES, circle


def test_a_circle_is_found():
    around = circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": set()})

    assert around[0] == around[-1]
    assert all(b in {"a": "b", "b": "c", "c": "a"}[a] for a, b in pairwise(around))


def test_the_drawing_shows_every_package_and_no_arrow_upwards(tmp_path):
    drawn = tmp_path / "imports.svg"

    assert draw_imports.main([str(drawn)]) == 0
    for package in PACKAGES:
        assert f">{package.replace('.', '/')}</text>" in drawn.read_text()


def test_a_circle_of_packages_is_named_instead_of_drawn(tmp_path, monkeypatch, capsys):
    around = {"serving.server": {"serving.bundles"}, "serving.bundles": {"serving.server"}}
    monkeypatch.setattr(draw_imports, "package_graph", lambda: around)

    assert draw_imports.main([str(tmp_path / "imports.svg")]) == 1
    assert "serving.server -> serving.bundles -> serving.server" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
