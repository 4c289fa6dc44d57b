"""The documentation site builds, needs no network, and its reference says what the code does."""

import html
import re
import shlex
from pathlib import Path

import httpx
import pytest
import yaml
from mkdocs.exceptions import PluginError

from docs.generator import command_lines, http_api
from docs.generator.hook import on_page_markdown
from docs.generator.parts import PARTS
from loadtest.sizing.helm_values import upgrade_command
from serving.errors import served_errors
from serving.observability.metrics import Metrics
from serving.settings import PREFIX, Settings
from tests.support.processes import ROOT, serving
from tests.support.site import build, build_with, cells

PAGES = {
    path.relative_to(ROOT / "docs").as_posix(): path.read_text()
    for path in sorted((ROOT / "docs").rglob("*.md"))
}
OURS = {name: text for name, text in PAGES.items() if not name.startswith("development/")} | {
    "README.md": (ROOT / "README.md").read_text()
}
VALUES = yaml.safe_load((ROOT / "helm" / "values.yaml").read_text())
# What a browser fetches by itself; a link that one may follow is none of it.
LOADED = re.compile(
    r"<(?:script|img|iframe|source)[^>]*\ssrc=[\"']?([^\"' >]+)"
    r"|<link[^>]*rel=[\"']?(?:stylesheet|preconnect|preload|icon)[^>]*"
    r"href=[\"']?([^\"' >]+)"
)
SCHEMAS = (
    "manifest.json", "cascade.json", "decisions.json", "traffic.json", "policy.json",
    "windows.json", "callers file", "recipe", "scenario", "native API", "admin API",
)  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    status, said = build(folder)
    assert status == 0, said
    return folder


def test_the_pages_ask_no_other_host_for_anything(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        loaded = LOADED.findall(page.read_text())
        assert loaded
        for link in ("".join(each) for each in loaded):
            assert not re.match(r"(https?:)?//", link), f"{page} loads {link}"
        # Material would load Mermaid's script from elsewhere.
        assert 'class="mermaid"' not in page.read_text()
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//", style.read_text())


def test_search_finds_what_is_generated(site):
    index = (site / "search" / "search_index.json").read_text()

    assert "SIZEWISE_BROWNOUT_MS" in index
    assert "sizewise_queue_duration_seconds" in index


def test_a_broken_link_and_a_broken_anchor_fail_the_build(tmp_path):
    broken = "[page](no-such-page.md) and [anchor](settings.md#no-such-anchor)"
    status, told = build_with(tmp_path, "reference/errors.md", broken)

    assert status != 0
    assert "'no-such-page.md', but the target" in told
    assert "does not contain an anchor '#no-such-anchor'" in told
    assert "Aborted with 2 warnings" in told


def test_an_unknown_part_fails_the_build_and_names_those_that_are_known():
    page = type("Page", (), {"file": type("File", (), {"src_uri": "x.md"})})
    with pytest.raises(PluginError, match=r"x\.md: no part 'nothing': use one of .*settings"):
        on_page_markdown("<!-- generated: nothing -->", page)


def test_every_part_is_on_one_page_of_the_reference():
    asked = [
        name
        for path, text in PAGES.items()
        for name in re.findall(r"^<!-- generated: (.+?) -->$", text, re.MULTILINE)
    ]

    assert sorted(asked) == sorted(PARTS)


def test_every_setting_is_on_the_built_page(site):
    shown = cells(site / "reference" / "settings" / "index.html")

    for name, field in Settings.model_fields.items():
        row = shown[shown.index(PREFIX + name.upper()) :][:4]
        assert html.unescape(row[3]) == field.description.replace("`", "")


@pytest.mark.parametrize("error", list(served_errors()), ids=lambda error: error.code)
def test_every_error_is_on_the_built_page(site, error):
    shown = cells(site / "reference" / "errors" / "index.html")
    at = shown.index(error.code)

    assert shown[at - 1] == str(error.status)
    assert len(shown[at + 1]) > 10


def test_every_metric_is_on_the_built_page(site):
    shown = cells(site / "reference" / "metrics" / "index.html")

    families = list(Metrics().registry.collect())
    assert len(families) > 30
    for family in families:
        at = shown.index(family.name + ("_total" if family.type == "counter" else ""))
        assert shown[at + 1] == family.type
        assert shown[at + 3] == family.documentation


def test_labels_of_a_metric_are_those_that_it_counts_by(site):
    metrics = Metrics()
    metrics.record_request("/v1/classify", "tone", 200, 0.1)
    shown = cells(site / "reference" / "metrics" / "index.html")
    (sample,) = [
        each
        for family in metrics.registry.collect()
        for each in family.samples
        if each.name == "sizewise_requests_total" and each.labels["model"] == "tone"
    ]

    assert shown[shown.index("sizewise_requests_total") + 2].split(", ") == list(sample.labels)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_field_of_a_file_or_an_object_has_its_meaning(name):
    rows = [line for line in PARTS[name]().splitlines() if line.startswith("| `")]

    assert rows
    assert [row for row in rows if row.endswith("|  |")] == []


def test_every_command_and_subcommand_has_its_help(site):
    page = (site / "reference" / "command-lines" / "index.html").read_text()
    text = html.unescape(re.sub(r"<[^>]+>", "", page))

    commands = command_lines.subcommands(command_lines.parser_of("sizewise"))
    assert {"serve", "models", "loadtest"} <= set(commands)
    for name, parser in commands.items():
        assert f"usage: sizewise {name} " in text
        for below in command_lines.subcommands(parser):
            assert f"usage: sizewise {name} {below} " in text


def unknown_words(program, words):
    """The subcommand or the flags of a command line that its program does not have."""
    parser = command_lines.parser_of(program)
    for name in (word for word in words if not word.startswith("-") and word.upper() != word):
        below = command_lines.subcommands(parser)
        if not below:
            break
        if name not in below:
            return [name]
        parser = below[name]
    known = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", parser.format_help()))
    flags = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    return [flag for flag in flags if flag not in known]


def test_every_command_line_on_a_page_has_only_flags_that_there_are():
    commands = [
        (path, program or "sizewise", shlex.split(rest.replace("\\\n", ""), comments=True))
        for path, text in OURS.items()
        for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        if language not in {"json", "toml", "yaml"}
        for program, rest in re.findall(
            r"^(?:\w+=\S+ )*(?:sizewise|python -m (serving|models|loadtest))\b((?:.*\\\n)*.*)$",
            block,
            re.MULTILINE,
        )
    ]

    assert len(commands) > 30
    assert "README.md" in {path for path, _, _ in commands}
    for path, program, words in commands:
        assert unknown_words(program, words) == [], f"{path}: python -m {program} {words}"


def test_a_wrong_flag_or_subcommand_is_seen():
    assert unknown_words("models", ["cascade", "FAMILY", "--max-los", "0.1"]) == ["--max-los"]
    assert unknown_words("loadtest", ["recomend", "--rps", "2"]) == ["recomend"]
    assert unknown_words("loadtest", ["recommend", "--rps=2", "--check"]) == []
    assert unknown_words("sizewise", ["models", "cascade", "F", "--max-los=1"]) == ["--max-los"]


def test_endpoints_need_a_key_where_the_table_says_so(tiny_registry):
    with serving(tiny_registry, api_key="a-key-of-the-test") as server:
        for path, method, _ in http_api.operations(http_api.document()):
            given = path.format(model="tone", version="tiny", request_id="one")
            status = httpx.request(method, server.url + given, json={}).status_code
            assert (status == 401) == (path not in http_api.NEED_NO_KEY), f"{method} {path}"


def test_every_setting_that_a_page_names_is_one():
    known = {PREFIX + name.upper() for name in Settings.model_fields}

    for path, text in OURS.items():
        for name in re.findall(r"`(SIZEWISE_[A-Z_]+)`", text):
            assert name in known, f"{path} names {name}"


def test_every_metric_that_a_page_names_is_one():
    known = {family.name for family in Metrics().registry.collect()}

    for path, text in OURS.items():
        for name in re.findall(r"`(sizewise_\w+)`", text):
            plain = re.sub(r"_(total|sum|count|bucket)$", "", name)
            assert plain in known | {"sizewise_queue_seconds"}, f"{path} names {name}"


def test_what_operations_quotes_from_the_server_is_what_it_says():
    sources = "".join(path.read_text() for path in (ROOT / "serving").rglob("*.py"))
    refused = PAGES["operations/alerts/SizewiseBundleRefused.md"]
    _, _, events = PAGES["operations/logs-and-traces.md"].partition("Other events to know: ")
    events = events.partition("\n\n")[0]

    for phrase in re.findall(r'"([a-z ]+)"', refused):
        assert phrase in sources
    for event in re.findall(r"`(\w+)`", events):
        assert re.search(rf'(log|error|exception)\(\s*"{event}"', sources), event
    assert events


def test_every_value_that_operations_names_is_one_of_the_chart():
    named = {
        (path, name)
        for path, text in PAGES.items()
        if path.startswith("operations/")
        for name in re.findall(r"(?:`|--set '?)(\w+(?:\.\w+)+)[`=]", text)
        if name.partition(".")[0] in VALUES
    }

    assert len(named) > 10
    for path, name in named:
        found = VALUES
        for part in name.split("."):
            # `settings` holds any setting of the server.
            known = found is VALUES["settings"] and part in Settings.model_fields
            assert known or part in found, f"{path} names {name}"
            found = None if known else found[part]


def test_no_upgrade_drops_what_was_set_before():
    """`helm upgrade -f` alone sets everything else back to the chart's defaults."""
    sources = [
        *PAGES.items(),
        ("NOTES.txt", (ROOT / "helm/templates/NOTES.txt").read_text()),
        ("python -m loadtest recommend", upgrade_command(Path("values.recommended.yaml"))),
    ]
    upgrades = [
        (name, command)
        for name, text in sources
        for command in re.findall(r"^ *(helm upgrade (?:.*\\\n)*.*)$", text, re.MULTILINE)
    ]

    assert len(upgrades) > 3
    for name, command in upgrades:
        keeps = "--reset-then-reuse-values" in command or command.count(" -f ") > 1
        assert keeps, f"{name}: {command}"


def test_every_install_names_the_image_that_you_pushed():
    installs = [
        command
        for text in PAGES.values()
        for command in re.findall(r"^(helm install (?:.*\\\n)*.*)$", text, re.MULTILINE)
    ]

    assert installs
    for command in installs:
        assert "image.repository=" in command
