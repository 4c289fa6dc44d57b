"""What a card shows of labels, and what it does not claim."""

import re
from html import unescape

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown import markdown

from models.reports.markdown import escaped, table
from models.reports.model_card import card
from serving.bundles.bundle import read_bundle
from serving.bundles.evaluation import Estimate, LabelScore
from tests.support.bundles import write_bundle

LABELS = st.text("ab_*|<>&`[]()#~$!-\\\n ", min_size=1, max_size=12).filter(str.strip)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("card")
    write_bundle(folder)
    return read_bundle(folder).manifest


def cells(source):
    rendered = markdown(source, extensions=["tables"])
    return [unescape(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", rendered)]


@given(LABELS)
@example("a|b")
@example("*bold* __x__ <b>")
def test_a_label_is_shown_as_it_is_in_one_cell(label):
    shown = " ".join(label.split())

    assert cells(table(("label", "texts"), [(escaped(label), 3)])) == ["label", "texts", shown, "3"]


def test_an_underscore_inside_a_word_stays_readable():
    assert escaped("not_offensive") == "not_offensive"


def test_a_card_s_tables_keep_their_columns_whatever_the_labels_are(manifest):
    labels = ["a|b", "c*d*"]
    judged = manifest.judged.model_copy(
        update={
            "confusion": [[3, 1], [2, 4]],
            "labels": {
                name: LabelScore(precision=None, recall=0.0, f1=0.0, texts=4) for name in labels
            },
        }
    )
    text = card(manifest.model_copy(update={"labels": labels, "evaluations": {"test": judged}}))

    found = cells(text)
    assert found[found.index("texts") + 1 :][:5] == ["a|b", "-", "0.0", "0.0", "4"]
    assert found[found.index("true \\ predicted") :][:6] == [
        "true \\ predicted", *labels, "a|b", "3", "1",
    ]  # fmt: skip


def test_a_card_claims_nothing_about_training_texts_that_nobody_here_has_seen(manifest):
    own, adopted = card(manifest), card(manifest, adopted=True)

    assert "1,000 held-out texts" in own
    assert "held-out" not in adopted
    assert "If it has seen texts of the test split, its scores are too high" in adopted
    for text in (own, adopted):
        assert "resemble the training texts" not in text


@pytest.mark.parametrize(("scheme", "says"), [("int8-openvino", True), ("int8-dynamic", False)])
def test_a_card_says_on_which_texts_operators_were_looked_for(manifest, scheme, says):
    recipe = {"quantize": {"scheme": scheme, "max_accuracy_drop": 0.02}}
    text = card(manifest.model_copy(update={"recipe": recipe}))

    assert ("was chosen on training texts" in text) is says
    assert ("at 95 % confidence it loses at most 0.02 of accuracy" in text) is says


def test_a_card_has_the_baselines_beside_the_accuracy(manifest):
    beaten = {"bag of words": Estimate(value=0.701, low=0.68, high=0.72)}
    judged = manifest.judged.model_copy(update={"baselines": beaten})
    text = card(manifest.model_copy(update={"evaluations": {"test": judged}}))

    assert "| accuracy of a baseline: bag of words | 70.1 % (68.0 to 72.0) |" in text
    assert "baseline" not in card(manifest)


def test_a_card_says_how_texts_are_normalised(manifest):
    normalised = manifest.model_copy(update={"normalize": ["invisible", "confusables"]})

    assert "| input normalisation | invisible, confusables |" in card(normalised)
    assert "normalisation" not in card(manifest)
