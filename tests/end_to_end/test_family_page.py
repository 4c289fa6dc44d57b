"""The family's page of a family with a cascade, in a real browser against a real server."""

import re

import httpx

from serving.bundles.decisions import Point
from serving.bundles.registry import read_registry
from tests.support.bundles import write_registry
from tests.support.cascades import write_cascade
from tests.support.decisions import decider, decisions_of, write_decisions
from tests.support.processes import serving

# From now on the metrics that the page reads have both alarms of a cascade.
ALARMED = """
const asked = window.fetch;
const values = { escalation_drifted: 1, disagreement_lower_ratio: 0.5, sampled_texts_total: 40 };
window.fetch = async (...given) => {
  const answer = await asked(...given);
  if (!answer.url.endsWith("/metrics")) return answer;
  let page = await answer.text();
  for (const [name, value] of Object.entries(values)) {
    page = page.replace(new RegExp(`^(sizewise_${name}[{][^}]*[}]) .*$`, "m"), `$1 ${value}`);
  }
  return new Response(page);
};
"""


def test_the_cascade_is_shown_with_its_guarantee(window, tmp_path):
    registry = write_registry(tmp_path / "registry", tmp_path)
    versions = {b.manifest.variant: b.manifest.version for b in read_registry(registry)["tone"]}
    write_cascade(registry, versions, threshold=0.85)
    with serving(registry) as running:
        window.open(f"{running.url}/playground/family.html")
        text = window.wait("#cascade").text
        chart = window.wait("#confidences canvas")
        label = window.find("#confidences .chart").get_attribute("aria-label")
        size, violations = chart.size, window.violations()
        answers = [
            httpx.post(f"{running.url}/v1/classify", json={"texts": [text], "variant": "auto"})
            for text in ("a great film", "an awful plot")
        ]
        window.until(lambda: "Of 2 texts here" in window.find("#watch").text)
        watched = window.find("#watch").text
        window.run(ALARMED)
        window.until(lambda: "has drifted" in window.find("#watch.warning").text)
        alarmed = window.find("#watch").text
        assert not window.find("#old").is_displayed()
        window.run("window.fetch = () => Promise.reject(new TypeError('gone'))")
        window.until(window.find("#old").is_displayed)

    assert "85.0 %" in text
    assert "at most 1.0 % of agreement is lost against wide" in text
    assert size["width"] > 200
    assert "40.0 % in the fullest twentieth, at least 10.0 % below the threshold 85.0 %" in label
    assert violations == []
    assert all(answer.status_code == 200 for answer in answers)
    assert re.match(
        r"Of 2 texts here (0|50|100)\.0 % escalated .* no drift has been detected", watched
    )
    assert "40 were compared with the reference: more answers differ than are allowed" in alarmed


def test_decisions_are_shown_with_their_limits_rates_and_curves(window, tmp_path):
    registry = write_registry(tmp_path / "registry", tmp_path)
    versions = {b.manifest.variant: b.manifest.version for b in read_registry(registry)["tone"]}
    rate = {"value": 0.4, "low": 0.3, "high": 0.5}
    curve = [
        {"threshold": at / 10, "false_positive_rate": rate, "recall": rate} for at in range(11)
    ]
    made = decider(versions, {"positive": 0.75}, variant="tiny")
    labels = [made.labels[0].model_copy(update={"curve": [Point(**each) for each in curve]})]
    write_decisions(registry, decisions_of(made.model_copy(update={"labels": labels})))
    with serving(registry) as running:
        window.open(f"{running.url}/playground/family.html")
        window.wait("#curves canvas")
        text = window.find("#decisions").text
        label = window.find("#curves .chart").get_attribute("aria-label")
        violations = window.violations()

    assert "with probability 95.0 %, positive: false-positive rate at most 10.0 %" in text
    assert '"flagged" is null: wide.' in text
    assert "tiny positive 75.0 % 30.0 % (25.0 % to 35.0 %)" in text
    assert "of tiny for positive at 11 thresholds; at 75.0 %, which was chosen" in label
    assert violations == []
