from dataclasses import replace

import pytest

from models.compression.facts import Facts, ModelFacts, TextFacts
from models.compression.recipe_content import adopted, fine_tuned, static, static_root

MODEL = ModelFacts(
    kind="classifier", layers=6, width=384, embedding_width=384, heads=12, intermediate=1536,
    words=30_522, parameters=22_700_000, longest=512, is_cuttable=True, is_narrowable=True,
    is_trimmable=True,
)  # fmt: skip
TEXTS = TextFacts(
    rows=1_000, unlabelled_rows=0, labels={"bad": 500, "good": 500}, problem_type="single_label",
    most_tokens=60, unknown=0.0, labelled=("texts.csv",), unlabelled=(), columns={},
)  # fmt: skip


@pytest.mark.parametrize("longest", [40, 130, 512])
def test_a_classifier_as_it_is_reads_what_it_has_read_and_training_hardly_more_than_its_texts(
    longest,
):
    facts = Facts(replace(MODEL, longest=longest), TEXTS, 0.005, 0.005, 0.002)

    assert adopted(facts, "mine")["adopt"]["max_length"] == longest
    assert fine_tuned(facts, "mine")["train"]["max_length"] == min(64, longest)
    assert static_root(facts)["static"]["max_length"] == min(64, longest)


@pytest.mark.parametrize(
    ("rows", "taught", "alone"), [(1_000, 12, 40), (5_000, 9, 29), (100_000, 8, 8)]
)
def test_a_static_student_reads_words_as_well_as_texts_so_it_needs_fewer_epochs(
    rows, taught, alone
):
    facts = Facts(MODEL, replace(TEXTS, rows=rows), 0.005, 0.005, 0.002)

    assert static(facts)["static"]["epochs"] == taught
    assert static_root(facts)["static"]["epochs"] == alone
