"""The page of a report: self-contained, escaped, with the figures of report.json."""

import base64
import hashlib
import html
import json
import re
from pathlib import Path

import pytest

from loadtest.report import build, html_page
from loadtest.report.html_parts import table
from loadtest.report.markdown import markdown
from loadtest.report.plots import plots
from tests.support.written_runs import ACCURACY, ROUNDS, write_run

DEPLOY = {"rps": 600, "min_accuracy": 0.85, "price_per_node_hour": 0.4}
HOSTILE = "</script><script>window.hit=1</script><img src=x onerror=alert(1)>&\"'"
SERVED = Path("serving/playground/vendor")


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return build.build(write_run(tmp_path_factory.mktemp("run"), deploy=DEPLOY))


def copied(report):
    return json.loads(json.dumps(report))


def data_of(page):
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(found[1])


def first_screen(page):
    """The words before the first chart."""
    shown = page.partition("<main>")[2].partition("How much load one replica handles")[0]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", shown)).split())


def test_the_first_screen_answers_the_five_questions(report):
    shown = first_screen(html_page.html_page(report, {}))
    choice = report["recommendation"]["choice"]

    assert f"Deploy tone/{choice['variant']} on {choice['replicas']} replica" in shown
    assert "Predicted at the upper ends" in shown
    assert f"Which variant? tone/{choice['variant']}" in shown
    assert f"How many replicas? {choice['replicas']} replica" in shown
    assert f"What does it cost? {choice['cost_per_hour']:.3g} an hour" in shown
    assert f"Can I trust it? All {2 * 4 * ROUNDS} phases count" in shown
    assert "What changed? Not compared" in shown
    assert f"p99, predicted {choice['p99_ms']:.1f} ms SLO: at most 50 ms · kept" in shown
    assert f"load of each replica {choice['rate_rps']:.0f} requests/s capacity:" in shown
    assert "answered within the SLO" in shown


def test_the_charts_draw_the_figures_of_the_report(report):
    data = data_of(html_page.html_page(report, {}))
    small = next(each for each in report["variants"] if each["variant"] == "small")
    (curve,) = (each for each in data["curves"] if each["name"] == "tone/small")

    assert [each["load"] for each in curve["points"]] == ["open-20", "open-40", "open-60"]
    for point in curve["points"]:
        p99 = small["loads"][point["load"]]["latency_ms"]["p99"]
        assert {key: point[key] for key in ("low", "high")} == {k: p99[k] for k in ("low", "high")}
        assert point["y"] == p99["value"]
    by_name = {each["name"]: each for each in data["costs"]}
    assert by_name["tone/small"]["accuracy"]["value"] == ACCURACY["small"]
    price = by_name["tone/small"]["costs"]["price of a million texts, saturated"]
    saturated_rps = small["loads"]["closed"]["achieved_rps"]["value"]
    assert price == pytest.approx(DEPLOY["price_per_node_hour"] / 3600 / saturated_rps * 1e6)
    drawn = data["loads"]["tone/small"]["open-20"]
    load = small["loads"]["open-20"]
    assert drawn["timeline"] == load["timeline"]
    assert drawn["p99_ms"] == load["latency_ms"]["p99"]["value"]
    assert drawn["within_slo"] == load["within_slo"]


def test_the_page_and_the_text_call_their_parts_alike(report):
    headings = re.findall("^## (.*)$", markdown(report), re.MULTILINE)
    page = html_page.html_page(report, {})

    assert len(headings) == 5
    assert [each for each in headings if f"<h2>{each}</h2>" not in page] == []


def test_a_load_beyond_what_the_server_keeps_up_with_is_not_drawn_as_a_latency(report):
    changed = copied(report)
    changed["variants"][0]["curve"][-1]["p99_ms"] = None
    curve = data_of(html_page.html_page(changed, {}))["curves"][0]

    assert [each["load"] for each in curve["points"]] == ["open-20", "open-40"]


def test_what_comes_from_outside_is_escaped_everywhere(report):
    changed = copied(report)
    changed |= {"command": HOSTILE, "started_utc": HOSTILE, "url": HOSTILE}
    changed["machine"] |= {"cpu": HOSTILE, "system": HOSTILE, "python": HOSTILE}
    changed["machine"]["versions"] = {HOSTILE: HOSTILE}
    changed["refused"] = changed["findings"] = [HOSTILE]
    for variant in changed["variants"]:
        variant |= {"model": HOSTILE, "variant": variant["variant"] + HOSTILE, "engine": HOSTILE}
        variant |= {"precision": HOSTILE, "stages": [HOSTILE, HOSTILE]}
        variant["loads"] = {f"{name}{HOSTILE}": load for name, load in variant["loads"].items()}
    changed["reference_load"] += HOSTILE
    changed["changes"] = {
        "folder": HOSTILE, "started_utc": HOSTILE, "alternated": False, "refused": None,
        "changes": [dict(zip(("variant", "load", "figure", "before", "after", "ratio", "p_value",
                              "verdict"), [HOSTILE] * 3 + [1.0] * 4 + ["worse"], strict=True))],
    }  # fmt: skip
    page = html_page.html_page(changed, {})

    assert page.count("<script") == page.count("</script>") == 2
    assert page.count("<img") == 0
    assert HOSTILE in data_of(page)["curves"][0]["name"]
    plain = page.partition('<script type="application/json"')[0]
    assert plain.count(html.escape(HOSTILE)) > 30


def test_the_page_asks_no_host_and_runs_no_script_but_its_own(report):
    page = html_page.html_page(report, plots(report))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    script = page.rpartition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()

    assert {"default-src 'none'", "base-uri 'none'", "form-action 'none'"} <= {*policy.split("; ")}
    assert f"script-src 'sha256-{digest}'" in policy
    without_names = page.replace("http://www.w3.org", "").replace("https://github.com/leeoniya", "")
    assert not re.search(r"https?://", without_names)
    assert not re.search(r'(src|href)="(?!#)(?!data:)', page)


def test_the_static_plots_remain_for_paper_and_for_readers_without_scripts(report):
    page = html_page.html_page(report, plots(report))

    assert page.count('<figure tabindex="0" class="static"><svg') == 2
    assert ".scripted .static { display: none; }" in page


def test_a_table_marks_its_intervals_and_keeps_the_words():
    made = table(["a", "b"], [["0.9 [0.8, ?]", "<b> [c"]], 'na"me')

    assert '0.9 <span class="interval">[0.8, ?]</span>' in made
    assert "&lt;b&gt; [c" in made
    assert 'aria-label="na&quot;me"' in made
    assert "<tbody>" in made


@pytest.mark.parametrize("name", sorted(path.name for path in SERVED.iterdir()))
def test_the_charting_library_is_the_one_of_the_playground(name):
    assert (Path(html_page.__file__).parent / "vendor" / name).read_bytes() == (
        SERVED / name
    ).read_bytes()
