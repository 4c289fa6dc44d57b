"""report.html in a real browser, from a file."""

import csv
import io
from urllib.parse import unquote

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from loadtest.report.build import read_report, rebuild
from tests.support import written_runs
from tests.support.written_runs import write_run

QUESTIONS = (
    "Which variant?", "How many replicas?", "What does it cost?", "Can I trust it?",
    "What changed?",
)  # fmt: skip


LOADS = ("closed", "open-20", "open-40", "open-60")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    home = tmp_path_factory.mktemp("reports")
    rebuild(write_run(home / "before"))
    deploy = {"rps": 600, "min_accuracy": 0.85, "price_per_core_hour": 0.04}
    written = write_run(home / "after", deploy=deploy, disturbed=[("small", "open-40", 1)])
    rebuild(written, before=home / "before")
    return written


@pytest.fixture
def page(window, run):
    """The report, opened; whatever a test does, the page keeps quiet and asks no host."""
    window.width(1280)
    window.scheme("light")
    window.driver.get_log("browser")
    window.driver.get_log("performance")
    window.driver.get((run / "report.html").as_uri())
    window.wait("#timeline canvas")
    yield window
    assert window.messages() == []
    assert window.hosts() == {""}


def region(name):
    return f'[aria-label="{name}"]'


def column(page, name, number):
    cells = f"{region(name)} tbody td:nth-child({number})"
    return [cell.text for cell in page.driver.find_elements("css selector", cells)]


def test_the_first_screen_answers_every_question(page):
    inside = "return [...document.querySelectorAll('.verdict, .tile')].every((each) => "
    assert page.run(inside + "each.getBoundingClientRect().bottom <= 900)")
    shown = page.find("main").text
    assert all(question in shown for question in QUESTIONS)
    assert "23 of 24 phases count, 1 is left out" in shown


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("pixels", [1280, 390])
def test_the_page_is_accessible_and_fits(page, scheme, pixels):
    page.width(pixels)
    page.scheme(scheme)
    page.driver.refresh()
    page.wait("#timeline canvas")

    assert page.run("return document.documentElement.scrollWidth") <= pixels
    wide = "return [...document.querySelectorAll('canvas, .bar, .stack')].filter((each) => "
    assert page.run(wide + "each.getBoundingClientRect().right > innerWidth).length") == 0
    dark = page.run("return getComputedStyle(document.body).backgroundColor") == "rgb(18, 20, 28)"
    assert dark is (scheme == "dark")
    assert page.violations() == []


def test_a_table_sorts_by_its_figures_in_both_directions_with_the_keyboard(page):
    button = page.find(f"{region('Variants')} th:nth-child(9) button")
    figures = [float(each.strip(">= ")) for each in column(page, "Variants", 9)]
    for direction in ("ascending", "descending"):
        button.send_keys(Keys.ENTER)
        shown = [float(each.strip(">= ")) for each in column(page, "Variants", 9)]

        assert shown == sorted(figures, reverse=direction == "descending")
        head = page.find(f"{region('Variants')} th:nth-child(9)")
        assert head.get_attribute("aria-sort") == direction


def test_a_table_is_saved_as_csv_with_all_that_it_shows(page):
    page.run(
        "document.querySelector('[aria-label=Loads] tbody td').textContent = '=1+1, \"x\"';"
        "document.addEventListener('click', (event) => event.preventDefault());"
        "document.querySelector('[aria-label=\"Save as CSV: Loads\"]').click()"
    )
    href = page.find('[aria-label="Save as CSV: Loads"]').get_attribute("href")
    rows = list(csv.reader(io.StringIO(unquote(href.partition(",")[2]))))

    assert rows[0][:3] == ["model/variant", "load", "offered/s"]
    assert rows[1][0] == '\'=1+1, "x"'
    assert [row[1] for row in rows[1:]] == column(page, "Loads", 2)
    assert len({len(row) for row in rows}) == 1


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("-2+3+cmd|' /C calc'!A0", "'-2+3+cmd|' /C calc'!A0"),
        ("-2 [=cmd|'x'!A0]", "'-2 [=cmd|'x'!A0]"),
        ("-1,234.5", '"-1,234.5"'),
        ("-0.12 [-0.30, ?]", '"-0.12 [-0.30, ?]"'),
        ("0.910 [0.905, 0.915]", '"0.910 [0.905, 0.915]"'),
    ],
)
def test_a_cell_runs_as_no_formula_and_a_figure_stays_one(page, text, cell):
    assert page.run("return csvCell(arguments[0])", text) == cell


@pytest.mark.parametrize(
    ("chart", "said"), [("distribution", "% took at most "), ("timeline", "p99 ")]
)
def test_the_pointer_is_told_what_it_is_near(page, chart, said):
    page.run(f"document.getElementById('{chart}').scrollIntoView()")
    ActionChains(page.driver).move_to_element(page.find(f"#{chart} .u-over")).perform()

    assert said in page.wait(f"#{chart} .tip").text


def described(page, chart):
    """What a reader who does not see the chart is told of it."""
    place = page.find(f"#{page.find(f'#{chart}').get_attribute('aria-describedby')}")
    assert place.is_displayed()
    return place.text


def test_another_variant_and_load_are_drawn_and_described_when_they_are_chosen(page, run):
    pixels = "return document.querySelector('#distribution canvas').toDataURL()"
    before = page.run(pixels)
    page.find("#variant option[value='tone/small']").click()
    page.find("#load option[value='open-20']").click()

    page.until(lambda: page.run(pixels) != before)
    report = read_report(run)
    small = next(each for each in report["variants"] if each["variant"] == "small")
    load = small["loads"]["open-20"]
    latency_ms = {q: load["latency_ms"][q]["value"] for q in ("p50", "p99")}
    said = described(page, "distribution")
    assert said.startswith(f"{sum(load['histogram']['counts'])} requests, all answered with 200: ")
    assert f"p50 {latency_ms['p50']:.3g} ms, p99 {latency_ms['p99']:.3g} ms, 100 % within" in said
    highest_ms = max(load["timeline"]["p99_ms"])
    assert f" to {highest_ms:.3g} ms; all answered with 200." in described(page, "timeline")


def test_failures_are_drawn_and_told_alike_even_if_nothing_was_answered(page):
    page.run(
        "drawTimeline({slice_s: 1, round: [0, 1], start_s: [0, 0], requests: [150, 150],"
        "failed: [150, 150], p50_ms: [null, null], p99_ms: [null, null]});"
        "drawDistribution({edges_ms: [], counts: [], unanswered: 300},"
        "{p50_ms: null, p99_ms: null, within_slo: 0})"
    )
    page.wait("#timeline canvas")

    assert page.run("return drawn.get('timeline').data[3]") == [150, 150]
    assert "p99 unknown; 300 not answered with 200." in described(page, "timeline")
    said = described(page, "distribution")
    assert said.startswith("300 requests, 300 not answered with 200 and not drawn")
    assert "p99 unanswered, 0 % within the SLO" in said


def test_a_slice_of_few_requests_is_said_to_have_no_p99(page):
    page.run(
        "drawTimeline({slice_s: 4, round: [0], start_s: [0], requests: [80], failed: [1],"
        "p50_ms: [5], p99_ms: [null]})"
    )
    assert described(page, "timeline") == (
        "Slices of 4 s: p50 from 5 to 5 ms, p99 unknown; 1 not answered with 200. "
        "A slice of fewer than 100 requests has no p99."
    )


def test_a_share_is_never_rounded_up_to_all(page):
    assert page.run("return [0.99996, 0.57, 1].map(percentDown)") == ["99.99 %", "57 %", "100 %"]


def test_more_variants_than_colours_can_be_told_apart(page):
    page.run(
        "const [one] = data.curves;"
        "data.curves = Array.from({length: 21}, (_, at) => ({...one, name: `${at}`}));"
        "drawCurves()"
    )
    looks = (
        "return drawn.get('curves').series.slice(1).map((each) => `${each.stroke()} ${each.dash}`)"
    )
    swatches = (
        "return [...document.querySelectorAll('#curve-keys li')]"
        ".map((each) => getComputedStyle(each, '::before').backgroundImage)"
    )
    for found in (page.run(looks), page.run(swatches)):
        assert len(found) == len(set(found)) == 21


def test_on_paper_the_static_plots_stand_for_the_charts(page):
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    shown = (
        "return [...document.querySelectorAll(arguments[0])].map((each) => each.checkVisibility())"
    )
    try:
        assert set(page.run(shown, ".static")) == {True}
        assert set(page.run(shown, ".live, .tools")) == {False}
    finally:
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_a_report_in_which_no_phase_counts_says_so_and_draws_nothing(window, tmp_path):
    every = [(name, load, n) for name in ("large", "small") for load in LOADS for n in range(3)]
    deploy = {"rps": 600, "min_accuracy": 0.85}
    rebuild(write_run(tmp_path, deploy=deploy, disturbed=every))
    window.driver.get((tmp_path / "report.html").as_uri())

    assert "is unknown: too many phases were left out" in window.find("h1").text
    assert "0 of 24 phases count, 24 are left out" in window.find("main").text
    assert window.find("#distribution-said").text == "No round of this load counts."
    assert window.messages() == []


@pytest.mark.parametrize("pixels", [1280, 360])
def test_the_longest_names_fit(window, tmp_path, monkeypatch, pixels):
    longest = {f"{letter}{62 * 'v'}": 300.0 for letter in "ab"}
    monkeypatch.setattr(written_runs, "CAPACITY_RPS", longest)
    monkeypatch.setattr(written_runs, "ACCURACY", dict.fromkeys(longest, 0.9))
    rebuild(write_run(tmp_path))
    window.width(pixels)
    window.driver.get((tmp_path / "report.html").as_uri())
    window.wait("#timeline canvas")

    assert window.run("return document.documentElement.scrollWidth") <= pixels
