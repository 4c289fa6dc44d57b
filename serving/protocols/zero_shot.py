"""Zero-shot classification: which of the request's own labels fits a text, by entailment.

Each label becomes a hypothesis, all of which a family of pairs judges in one request. The scores
are those of transformers' ZeroShotClassificationPipeline.
"""

from collections.abc import Sequence
from typing import Any

from serving.bundles.files import listed
from serving.bundles.probabilities import softmax
from serving.errors import InvalidField, TextTooLong
from serving.inference.inputs import Text
from serving.protocols.dataplane import check_count
from serving.protocols.family_queries import pairs_of
from serving.settings import Settings
from serving.variants.answers import FamilyAnswer
from serving.variants.family import Family

FIELD = "parameters.candidate_labels"
USUAL_TEMPLATE = "This example is {}."
_TEMPLATE_FIELD = "parameters.hypothesis_template"
_NEEDED = "a family of pairs with a label of entailment and one of contradiction"


def candidates(given: Any) -> list[str]:
    """Read the labels: a list, or a string with commas between them. Raises InvalidField."""
    if isinstance(given, str):
        given = [label for label in map(str.strip, given.split(",")) if label]
    if not isinstance(given, list):
        raise InvalidField("send a list of strings", field=FIELD)
    for index, label in enumerate(given):
        if not isinstance(label, str) or not label:
            raise InvalidField(
                "send a string that is not empty", field=f"{FIELD}[{index}]", value=label
            )
    return given


def hypotheses_of(
    text: Any, labels: Sequence[str], template: str | None, settings: Settings
) -> list[Text]:
    """Pair a text with a hypothesis for each label.

    Raises InvalidField, TooManyTexts, TextTooLong and BodyTooLarge.
    """
    if not isinstance(text, str):
        raise InvalidField("send one string to compare with the labels", field="inputs")
    template = USUAL_TEMPLATE if template is None else template
    before, hole, after = template.partition("{}")
    if not hole or set("{}") & {*before, *after}:
        raise InvalidField(
            "send a template with one {}, where the label goes, and no other braces",
            field=_TEMPLATE_FIELD,
            limit="{}",
            value=template,
        )
    if len(template) > settings.max_text_chars:
        raise TextTooLong(
            f"{_TEMPLATE_FIELD} has too many characters for SIZEWISE_MAX_TEXT_CHARS: shorten it",
            field=_TEMPLATE_FIELD,
            limit=settings.max_text_chars,
            value=len(template),
        )
    check_count(len(labels), settings.max_texts, FIELD)
    hypotheses = [before + label + after for label in labels]
    return pairs_of(text, hypotheses, settings, field="inputs", of=FIELD)


def check_entailment(family: Family) -> None:
    """Raise InvalidField if a family cannot tell what entails a hypothesis."""
    manifest = family.default_manifest
    _places(family.name, manifest.labels if manifest.pairs else [])


def scores_of(answered: FamilyAnswer, *, multi_label: bool) -> list[float]:
    """Return the score of each label.

    That is a softmax of the labels' logits of entailment; with `multi_label`, or of one label, its
    softmax of entailment against contradiction. Raises InvalidField if the variant that answered
    has other labels than the family's default.
    """
    yes, no = _places(answered.family, answered.labels)
    rows = answered.answers
    if multi_label or len(rows) == 1:
        return [softmax([each.logits[no], each.logits[yes]], each.temperature)[1] for each in rows]
    return softmax([each.logits[yes] / each.temperature for each in rows])


def _places(family: str, labels: Sequence[str]) -> tuple[int, int]:
    """Return the places of entailment and of contradiction among the labels."""
    lower = [label.lower() for label in labels]
    yes = next((place for place, label in enumerate(lower) if label.startswith("entail")), None)
    if yes is None or len(labels) == 1:
        kind = f"has the labels {listed(labels)}" if labels else "reads no pairs of texts"
        raise InvalidField(
            f"{family} {kind}: zero-shot classification needs {_NEEDED}, as of MNLI",
            field="model",
            limit=_NEEDED,
            value=family,
        )
    # Without a name transformers takes the first or the last.
    last = len(labels) - 1
    no = next((place for place, label in enumerate(lower) if label.startswith("contradict")), None)
    return yes, (last if yes == 0 else 0) if no is None else no
