"""A model and texts as `compress` may find them."""

from dataclasses import replace

from models.compression.facts import ModelFacts, TextFacts

MINILM = ModelFacts(
    kind="base", layers=6, width=384, embedding_width=384, heads=12, intermediate=1536,
    words=30_522, parameters=22_700_000, longest=512, is_narrowable=True, is_trimmable=True,
)  # fmt: skip
BASE = replace(
    MINILM, kind="classifier", layers=12, width=768, embedding_width=768, intermediate=3072,
    parameters=109_500_000,
)  # fmt: skip
TEXTS = TextFacts(
    rows=12_000, unlabelled_rows=0, labels={"bad": 6_000, "good": 6_000},
    problem_type="single_label", most_tokens=60, unknown=0.01,
    labelled=("texts.csv",), unlabelled=(), columns={},
)  # fmt: skip
