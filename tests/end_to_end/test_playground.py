"""The playground and the family's page in a real browser, against a real server."""

import json
import shutil

import httpx
import pytest
from selenium.webdriver.common.keys import Keys

from tests.support.bundles import write_registry
from tests.support.processes import ROOT, serving

HOSTILE = (
    "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'> & \u202eevil\u2066 film"
)
PAGES = ("", "playground/family.html")
MIXED = "A wonderful film with a terrible ending."


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    home = tmp_path_factory.mktemp("playground")
    with serving(write_registry(home / "registry", home)) as running:
        yield running


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    registry = tmp_path_factory.mktemp("shipped") / "registry"
    with serving(shutil.copytree(ROOT / "models" / "registry", registry)) as running:
        yield running


@pytest.fixture
def page(window, server):
    """The playground, loaded; whatever a test does, the page keeps quiet and asks one host."""
    window.width(1280)
    window.scheme("light")
    window.open(f"{server.url}/")
    window.wait("#variant option[value=tiny]")
    yield window
    assert window.messages() == []
    assert window.hosts() == {server.url.removeprefix("http://")}


def enter(page, text):
    page.run("document.getElementById('texts').value = arguments[0]", text)


def classify(page, text):
    enter(page, text)
    page.find("#classify").click()
    page.wait("article, .error")


def test_a_text_is_classified_with_its_probabilities_and_times(page):
    page.find("#texts").send_keys("a great film")
    page.find("#classify").click()
    answer = page.wait("article")

    assert "Answer: positive." in page.find("#status").text
    assert "answered by wide" in answer.text
    assert (
        answer.text.count(" %") == len(page.driver.find_elements("css selector", "progress")) == 2
    )
    times = page.find("#answer .facts").text
    assert all(word in times for word in ("tokenize", "queue", "engine", "HTTP as seen here"))


def test_a_list_and_a_csv_file_give_an_answer_for_each_text(page, tmp_path):
    page.find("#list").click()
    classify(page, "a great film\n\nan awful plot\n")
    page.says("2 texts are answered")
    table = tmp_path / "texts.csv"
    table.write_text('"a ""good"", long film",1\nbad,"x, y"\n"an awful\nplot",3\n')
    page.find("#file").send_keys(str(table))
    page.says("3 texts are read")

    assert page.find("#texts").get_property("value").splitlines() == [
        'a "good", long film',
        "bad",
        "an awful plot",
    ]
    page.find("#classify").click()
    page.says("3 texts are answered")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("TEXTS.CSV", b"a good film,1\nan awful plot,2\n"),
        ("old-mac.csv", b"a good film,1\ran awful plot,2\r"),
        ("texts.txt", b"a good film\n\nan awful plot\n"),
    ],
)
def test_a_file_is_read_by_its_rows_and_columns(page, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    page.find("#file").send_keys(str(tmp_path / name))
    page.says("2 texts are read")

    shown = page.find("#texts").get_property("value").splitlines()
    assert shown == ["a good film", "an awful plot"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b"text\n" + 200_001 * b"abcd\n",
            "has 1,000,010 bytes, and at most 1,000,000 are read here",
        ),
        ("un caf\u00e9".encode("latin-1"), "is not in UTF-8"),
    ],
    ids=["large", "latin-1"],
)
def test_a_file_that_is_too_large_or_not_utf_8_is_refused(page, tmp_path, content, said):
    path = tmp_path / "texts.csv"
    path.write_bytes(content)
    page.find("#file").send_keys(str(path))
    page.says(said)

    assert page.find("#texts").get_property("value") == ""


def test_all_sizes_are_compared_on_the_same_text(page):
    enter(page, "a good film")
    page.find("#compare").click()
    page.says("2 sizes are compared")

    rows = [row.text for row in page.driver.find_elements("css selector", "tbody tr")]
    assert sorted(row.split()[0] for row in rows) == ["tiny", "wide"]
    assert all("positive" in row and "ms" in row and "B" in row for row in rows)


def test_the_request_that_is_shown_is_the_one_that_was_sent(page, server):
    page.find("#variant option[value=tiny]").click()
    page.find("#deadline").send_keys("5000")
    classify(page, "it's a 'good' film")

    shown = page.find("#snippet").text
    assert "Bearer" not in shown
    body = json.loads(shown.partition("-d '")[2].removesuffix("'").replace("'\\''", "'"))
    assert body["texts"] == ["it's a 'good' film"]
    assert (body["variant"], body["deadline_ms"]) == ("tiny", 5000)
    assert httpx.post(f"{server.url}/v1/classify", json=body).status_code == 200


def test_the_keyboard_alone_is_enough(page):
    body = page.find("body")
    body.send_keys(Keys.TAB)
    assert page.driver.switch_to.active_element.text == "Skip to the content"
    for _ in range(12):
        if page.driver.switch_to.active_element.get_attribute("id") == "texts":
            break
        page.driver.switch_to.active_element.send_keys(Keys.TAB)
    field = page.driver.switch_to.active_element
    field.send_keys("a bad plot")
    field.send_keys(Keys.CONTROL, Keys.ENTER)
    page.says("Answer: negative.")


@pytest.mark.parametrize("text", [HOSTILE, (HOSTILE * 300)[:20_000]], ids=["short", "long"])
def test_hostile_text_is_shown_as_text(page, text):
    page.find("#long option:nth-of-type(3)").click()
    classify(page, text)

    assert page.run("return document.querySelector('.text').textContent") == text
    assert page.run("return window.hit ?? null") is None
    assert page.run("return document.querySelectorAll('main script, main img').length") == 0
    assert page.run("return document.documentElement.scrollWidth <= innerWidth")


def test_a_long_text_says_which_of_its_windows_decided(page):
    page.find("#long option:nth-of-type(4)").click()
    classify(page, "film " * 60 + "good")

    assert "3 windows; the highest score is from characters 155 to 304" in page.find("#answer").text


def test_the_history_stays_in_the_browser_until_it_is_cleared(page, server):
    classify(page, "a good plot")
    page.driver.get(f"{server.url}/")
    page.wait("#history button").click()
    assert page.find("#texts").get_property("value") == "a good plot"

    page.find("#clear").click()
    assert page.driver.find_elements("css selector", "#history button") == []


@pytest.mark.parametrize("path", PAGES, ids=["playground", "family"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("pixels", [1280, 390, 360])
def test_a_page_is_accessible_and_fits(page, server, path, scheme, pixels):
    page.width(pixels)
    page.scheme(scheme)
    page.driver.get(f"{server.url}/{path}")
    if path:
        page.wait("#variants article")
        page.wait("#chart canvas")
    else:
        classify(page, "a great film")
        page.find("#compare").click()
        page.wait("table")

    assert page.run("return document.documentElement.dataset.theme") == scheme
    assert page.run("return document.documentElement.scrollWidth") <= pixels
    assert page.violations() == []


def test_the_colours_can_be_changed_and_stay(page, server):
    page.find("#theme").click()
    page.driver.get(f"{server.url}/playground/family.html")

    assert page.run("return document.documentElement.dataset.theme") == "dark"


def test_the_family_shows_its_variants_and_what_the_server_does_now(page, server):
    page.driver.get(f"{server.url}/playground/family.html")
    page.wait("#variants article")
    cards = {
        card.get_attribute("data-variant"): card
        for card in page.driver.find_elements("css selector", "#variants article")
    }
    assert "90.0 % (88.0 % to 92.0 %)" in cards["wide"].text
    cards["tiny"].find_element("css selector", "button").click()
    assert "chosen" in cards["tiny"].get_attribute("class")

    page.wait("#live table")
    httpx.post(f"{server.url}/v1/classify", json={"texts": ["a film"] * 30, "variant": "tiny"})
    rate = "return [...document.querySelectorAll('#live tbody tr')].map(r => r.innerText).join('|')"
    page.until(lambda: any(f"tiny\t{n}" in page.run(rate) for n in (9, 10)))


def test_the_policy_refuses_an_inline_script_and_another_host(window, server):
    window.open(f"{server.url}/")
    window.run(
        "const made = document.createElement('script'); made.textContent = 'window.hit = 1';"
        "document.body.append(made); fetch('http://127.0.0.2:9/').catch(() => {});"
    )
    window.until(lambda: len(window.messages()) >= 2)

    assert window.run("return window.hit ?? null") is None
    assert window.hosts() == {server.url.removeprefix("http://")}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_are_painted_by_what_they_contribute(window, shipped, scheme):
    window.scheme(scheme)
    window.open(f"{shipped.url}/")
    window.wait("#variant option[value=small-int8]").click()
    window.find("#explain").click()
    classify(window, MIXED)
    window.says("Answer: positive.")

    assert window.find("article .words").text == MIXED
    assert "positive" in window.find("article summary").text
    window.find("article summary").click()
    rows = [row.text for row in window.driver.find_elements("css selector", "article tbody tr")]
    painted = window.driver.find_elements("css selector", "mark")
    marks = {mark.text: mark for mark in painted}
    told = dict(zip(marks, window.descriptions("mark"), strict=True))
    for word, css_class, sign, line in (
        ("wonderful", "plus", "+", "solid"),
        ("terrible", "minus", "\N{MINUS SIGN}", "dashed"),
    ):
        assert marks[word].get_attribute("class") == css_class
        # Not by colour alone: by the line, the description and a row of the table.
        assert marks[word].value_of_css_property("border-bottom-style") == line
        assert told[word][0] == sign
        contribution = float(told[word].replace("\N{MINUS SIGN}", "-"))
        assert f"{word} {contribution:.3f}" in rows
    colours = {mark: marks[mark].value_of_css_property("background-color") for mark in told}
    assert colours["wonderful"] != colours["terrible"]
    assert window.violations() == []
    assert window.messages() == []


def test_errors_are_shown_as_the_api_gives_them_and_the_key_opens_the_page(window, tmp_path):
    registry = write_registry(tmp_path / "registry", tmp_path)
    with serving(registry, api_key="a-long-secret") as running:
        window.open(f"{running.url}/")
        window.says("The server asks for a key")
        assert "401" in window.find(".error").text

        window.find("#key").send_keys("a-long-secret", Keys.TAB)
        window.wait("#variant option[value=tiny]")
        classify(window, "x" * 20_001)
        assert "too many characters" in window.find(".error").text
        assert "limit: 20000" in window.find(".error").text
        assert "a-long-secret" not in window.find("#snippet").text
