"""The development pages are complete, and what they name exists."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "development"
DECISIONS = sorted((PAGES / "decisions").glob("2*.md"))
BENCHMARKS = sorted((PAGES / "benchmarks").glob("2*.md"))
DATED = re.compile(r"\d{4}-\d\d-\d\d")
# It may follow settings, and be broken between two lines.
COMMAND = r"`(?:[A-Z_]+=\S+\s)*(?:\S*python\s-m|make|pytest|podman)\s\w"
# Pages of one day keep the names of that day.
CURRENT = ("architecture.md", "where-to-change.md", "index.md")


def allowed_imports():
    """The house test's table of packages, by program."""
    house = ast.parse((ROOT / "tests" / "project" / "test_house.py").read_text())
    (table,) = (
        node.value
        for node in house.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "PACKAGES"
    )
    return ast.literal_eval(table)


def rows(section):
    """The cells of each row of a section's table, without its head."""
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_says_what_was_decided_what_was_tried_and_the_verdict(page):
    title, _, about, *rest = page.read_text().splitlines()

    assert title.startswith("# ")
    assert re.fullmatch(rf"{DATED.match(page.name)[0]}, [A-Z].+", about)
    parts = re.findall(r"^\*\*(\w+)\.\*\* \S", "\n".join(rest), re.MULTILINE)
    assert parts == ["Decision", "Tried", "Verdict"]


def test_the_index_of_decisions_lists_each_once_by_subject_and_date():
    index = (PAGES / "decisions" / "index.md").read_text()
    listed = [
        (subject, *row)
        for subject, section in re.findall(r"^## (.+)\n\n((?:.+\n?)+)", index, re.MULTILINE)
        for row in rows(section)
        if DATED.match(row[0])
    ]
    expected = []
    for page in DECISIONS:
        title, _, about, *_ = page.read_text().splitlines()
        date, subject = about.split(", ", 1)
        expected.append((subject, date, f"[{title.removeprefix('# ')}]({page.name})"))

    assert len(DECISIONS) > 60
    assert sorted(listed) == sorted(expected)


def test_the_index_of_benchmarks_lists_each_page():
    index = (PAGES / "benchmarks" / "index.md").read_text()

    assert BENCHMARKS
    assert re.findall(r"^\| \[([\w-]+)\]\(\1\.md\) \|", index, re.MULTILINE) == [
        page.stem for page in BENCHMARKS
    ]


@pytest.mark.parametrize("page", BENCHMARKS, ids=lambda page: page.stem)
def test_the_commands_of_a_benchmark_page_are_programs_that_exist(page):
    named = set(
        re.findall(r"python -m ((?:tests|loadtest|models|serving)[\w.]*)", page.read_text())
    )

    assert named
    for name in named:
        path = ROOT.joinpath(*name.split("."))
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), name


def test_every_section_of_a_benchmark_page_has_command_commit_machine_and_date():
    """A page's first paragraph, before its sections, speaks for all that name no other."""
    for page in BENCHMARKS:
        title, *sections = re.split(r"^## (.+)\n", page.read_text(), flags=re.MULTILINE)
        date = DATED.match(page.stem)[0]
        assert title.startswith(f"# {date}"), f"{page.name} names no date"
        for name, text in zip(sections[::2], sections[1::2], strict=True):
            where = f"{page.name}, {name}"
            assert "Machine: " in title + text, f"{where}: on which machine?"
            assert re.search(r"\b(?=\w*\d)[0-9a-f]{7}\b", title + text), f"{where}: which commit?"
            assert re.search(COMMAND, text), f"{where}: by which command?"


@pytest.mark.parametrize("program", ["serving", "models", "loadtest"])
def test_architectures_tables_are_the_house_tests(program):
    text = (PAGES / "architecture.md").read_text()
    section = re.search(rf"^### {program}\n(.*?)(?=^##|^!\[)", text, re.MULTILINE | re.DOTALL)[1]
    table = {
        name.strip("`"): set(re.findall(r"\w+", imports))
        for name, _, imports in rows(section)
        if name.startswith("`")
    }

    assert table == allowed_imports()[program]


@pytest.mark.parametrize("page", CURRENT)
def test_every_file_that_a_page_names_exists(page):
    named = re.findall(
        r"`((?:serving|models|loadtest|tests|helm|docs)/[\w./-]+)`", (PAGES / page).read_text()
    )

    assert named
    for name in named:
        assert "NAME" in name or "YYYY" in name or (ROOT / name).exists(), f"{page} names {name}"


def test_the_glossary_gives_each_word_one_meaning():
    glossary = (ROOT / "docs" / "concepts" / "glossary.md").read_text()
    words = Counter(re.findall(r"\*\*([^*]+)\*\*", glossary))

    assert len(words) > 60
    assert [word for word, count in words.items() if count > 1] == []
