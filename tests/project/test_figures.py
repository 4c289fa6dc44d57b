"""Every figure that a user reads has its source: a measurement, a line of code, or the reader."""

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from loadtest.scenario import SCENARIOS, read_scenario
from models.evaluation.noninferiority import texts_needed
from serving.bundles.registry import read_registry
from tests.project.figures import DOCS, ROOT, blocks, numbers, sections_near

# What is set, not measured, fills the other pages: limits of connections, thresholds of alerts.
READ = [
    *("README.md", "docs/index.md", "docs/getting-started.md"),
    *(f"docs/operations/{name}.md" for name in ("autoscaling", "gpu-nodes", "on-call", "sizing")),
    *(
        path.relative_to(ROOT).as_posix()
        for folder in ("concepts", "guides")
        for path in sorted((DOCS / folder).glob("*.md"))
    ),
]
SOURCES = tomllib.loads(Path(__file__).with_name("figure_sources.toml").read_text())

FAMILY = "docs/development/benchmarks/2026-11-23.md#load-test-of-the-family"
SCORES = "docs/development/benchmarks/2026-11-23.md#the-family"


def without_source(page, text, sources):
    """The figures of a page that nothing explains, and the sources that explain one."""
    found, used, parts = [], set(), blocks(text)
    for at, block in enumerate(parts):
        for figure in block.figures:
            measured = sections_near(page, parts, at, figure)
            if figure.is_among(numbers(measured, figure) | block.given(figure.unit)):
                continue
            if str(figure) in sources:
                used.add(str(figure))
            else:
                found.append(f"{figure}, in: {block.text.strip()[:80]}")
    return found, used


@pytest.mark.parametrize("name", READ)
def test_every_figure_has_a_source(name):
    """Link the section of a benchmark page that has the figure, or say where it is set.

    The link stands in the figure's own paragraph or list, for a table or a fenced block also in
    the one before or after it. What the reader types, in code of the same section, needs no source,
    nor does the default of a setting that is named beside it.
    """
    sources = SOURCES["*"] | SOURCES.get(name, {})
    found, used = without_source(ROOT / name, (ROOT / name).read_text(), sources)

    assert found == []
    assert used >= SOURCES.get(name, {}).keys(), "a source that no figure needs"


def test_every_source_says_what_it_is_named_for():
    assert set(SOURCES) <= {"*", *READ}
    for figures in SOURCES.values():
        for figure, source in figures.items():
            path, _, text = source.partition(": ")
            assert text in (ROOT / path).read_text(), f"{figure}: {path} does not say {text!r}"


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("It answers 900 requests/s.", ["900 requests/s"]),
        ("It is 2.6 to 4.1 times as fast.", ["2.6 times", "4.1 times"]),
        ("It takes nine minutes.", ["nine minutes"]),
        (f"It [takes]({SCORES}) 0.6 % of it.", ["0.6 %"]),
        ("It misses 3 % of\nthem.\n\n`SIZEWISE_MAX_X=4`", ["3 %"]),
        ("A row\n\n| p99 | 12 ms |", ["12 ms"]),
        ("It says:\n```\none\n\n12 ms\n```\n3 % of it.", ["12 ms", "3 %"]),
        (f"It [says]({FAMILY}):\n\n```\none\n\n491 requests/s\n```\n", []),
        (f"It [says]({FAMILY}):\n\n```\none\n\n493 ms\n```\n", ["493 ms"]),
        (f"It [says]({FAMILY}) this.\n\nOr that.\n\n```\none\n\n491 ms\n```\n", ["491 ms"]),
        (f"It [says]({FAMILY}) this.\n\nOr 491 ms.", ["491 ms"]),
        ("When texts wait for more than `SIZEWISE_BROWNOUT_MS` (250 s).", ["250 s"]),
        ("Ask for 200 ms.\n\n```\ncurl -d '{\"deadline_ms\": 200}'\n```\n", []),
        ("When texts wait for more than `SIZEWISE_BROWNOUT_MS` (250 ms).", []),
        (f"[491 requests/s]({FAMILY}).", []),
        (f"[495 requests/s]({FAMILY}).", ["495 requests/s"]),
        (f"[491 %]({FAMILY}).", ["491 %"]),
        (f"[medium-int8 has 86.9 %]({SCORES}).", []),
        (f"[medium-int8 has 87.1 %]({SCORES}).", ["87.1 %"]),
        (f"[491 requests/s]({FAMILY}), [0.01 %]({SCORES})", ["0.01 %"]),
    ],
)
def test_a_figure_without_a_source_is_found(text, missing):
    found, _ = without_source(ROOT / "README.md", text, {})
    assert [each.partition(", in: ")[0] for each in found] == missing


def moved(page, block, figure, measured):
    """For each step of the last digit: whether the figure that is wrong by it has a source."""
    digits = len(figure.number.partition(".")[2])
    known = numbers(measured, figure) | block.given(figure.unit)
    sources = SOURCES["*"] | SOURCES.get(page, {})
    for step in (-3, -2, -1, 1, 2, 3):
        value = float(figure.number.replace(",", "")) + step * 10.0**-digits
        if value > 0.0:
            wrong = replace(figure, number=f"{value:,.{digits}f}")
            yield wrong.is_among(known) or str(wrong) in sources


def test_nearly_all_figures_that_are_moved_in_the_last_digit_lose_their_source():
    """Of one digit, and in the dense tables of re-splits, many a neighbour is measured as well."""
    one, precise, kept = [], [], []
    for name in READ:
        parts = blocks((ROOT / name).read_text())
        for at, block in enumerate(parts):
            for figure in block.figures:
                if figure.number[0].isdigit():
                    measured = sections_near(ROOT / name, parts, at, figure)
                    found = list(moved(name, block, figure, measured))
                    kept += found
                    if figure.precision == 1:
                        one += found
                    if figure.precision >= 3:
                        precise += found

    assert len(kept) > 500
    assert sum(kept) / len(kept) < 0.13
    assert len(one) > 50
    assert sum(one) / len(one) < 0.3
    assert len(precise) > 100
    assert sum(precise) / len(precise) < 0.05


def test_the_minutes_of_a_load_test_are_those_of_its_scenarios():
    """The guide's 4.4 minutes and 20 s."""
    seconds = {
        path.stem: scenario.rounds
        * sum(
            scenario.warmup_s + (load.measured_s or scenario.measured_s) for load in scenario.loads
        )
        for path in SCENARIOS.glob("*.toml")
        for scenario in (read_scenario(path),)
    }
    guide = (DOCS / "guides" / "load-test-and-size.md").read_text()

    assert f"each variant for {seconds['default'] / 60:.1f} minutes" in guide
    assert f"quick.toml` for {seconds['quick']:.0f} s" in guide


def test_the_texts_that_a_bound_takes_are_those_of_the_test():
    guide = " ".join((DOCS / "guides" / "train-and-compress.md").read_text().split())
    named = re.search(r"it takes (\d+) texts to show ([\d.]+), (\d+) .* (\d+) .* ([\d.]+);", guide)
    cascades = " ".join((DOCS / "guides" / "cascades.md").read_text().split())

    assert [texts_needed(loss) for loss in (0.02, 0.01, 0.005)] == [149, 299, 598]
    assert named
    assert "149 texts to show 0.02, 299 to show 0.01 and 598 to show 0.005" in guide
    assert "at most 0.5 % at 95 % confidence takes at least 598 texts" in cascades


def test_the_sizes_of_what_ships_are_those_of_the_manifests():
    shipped = read_registry(ROOT / "models" / "registry")["sentiment"]
    first, second = sorted((bundle.manifest.bytes for bundle in shipped), reverse=True)
    page = (DOCS / "getting-started.md").read_text()

    assert f"classifiers of {first / 1e6:.0f} and {second / 1e6:.0f} MB" in page
