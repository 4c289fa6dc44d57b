"""What is found out of tiny models and tables, and what is refused before anything is planned."""

import json
import tomllib

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    CanineConfig,
    FNetConfig,
    GPT2Config,
    GPT2ForSequenceClassification,
    PerceiverConfig,
    XLNetConfig,
)

from models.compression import look as module
from models.compression.look import look
from models.compression.plan import Limits, plan
from models.compression.recipe_files import toml
from models.compression.user_texts import read_user_texts
from models.compression.wanted import Wanted
from models.data.labels import names_in
from models.data.section import DataSection
from models.data.sources import Source
from models.recipe import RecipeError
from tests.support.tiny_architectures import write_classifier
from tests.support.tiny_models import NOUNS, write_base

LABELS = ("bad", "good")
TEXTS = [f"the {noun} was a {word}" for noun in NOUNS for word in ("dull plot", "superb story")]
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64}

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves


@pytest.fixture
def seen(tmp_path):
    """Looks at the model in `it/` and at texts with these labels in turn, or without any."""

    def _seen(*labels, texts=TEXTS, **options):
        table = tmp_path / "texts.jsonl"
        rows = [{"text": text} for text in texts]
        for number, row in enumerate(rows if labels else ()):
            row["label"] = labels[number % len(labels)]
        table.write_text("".join(json.dumps(row) + "\n" for row in rows))
        it, recipes = tmp_path / "it", tmp_path / "recipes"
        wanted = Wanted(str(it), (table,), "mood", recipes, tmp_path / "registry", **options)
        return look(Source(it), read_user_texts(wanted), wanted)

    return _seen


@pytest.fixture
def untimed(monkeypatch):
    monkeypatch.setattr(module, "training_seconds", lambda *_: 0.001)
    monkeypatch.setattr(module, "scoring_seconds", lambda *_: 0.001)


@pytest.fixture
def never_timed(monkeypatch):
    monkeypatch.setattr(module, "training_seconds", lambda *_: pytest.fail("it was timed"))


def edit(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("saved", [torch.float16, torch.bfloat16])
def test_a_model_that_was_saved_in_half_precision_is_timed_in_fp32(seen, tmp_path, saved):
    folder = write_classifier(tmp_path / "it", "bert", LABELS)
    AutoModelForSequenceClassification.from_pretrained(folder).to(saved).save_pretrained(folder)

    found = seen()

    assert found.model.kind == "classifier"
    assert found.training_s > 0


@pytest.mark.parametrize(
    ("bf16_s", "expected"),
    [(2.0, ("bf16", 2.0, 1.0)), (3.9, ("fp32", 4.0, 2.0)), (None, ("fp32", 4.0, 2.0))],
)
def test_a_training_has_the_number_format_that_is_faster_here_and_students_no_dropout(
    seen, tmp_path, monkeypatch, bf16_s, expected
):
    def timed(model, _ids, of):
        drops = any(m.p for m in model.modules() if isinstance(m, torch.nn.Dropout))
        return (bf16_s if of == "bf16" else 4.0) / (1 if drops else 2)

    monkeypatch.setattr(module, "training_seconds", timed)
    monkeypatch.setattr(module, "scoring_seconds", lambda *_: 0.3)
    monkeypatch.setattr(module, "has_bf16", lambda _device: bf16_s is not None)
    write_classifier(tmp_path / "it", "bert", LABELS)

    found = seen()

    assert (found.precision, found.training_s, found.student_s) == expected
    assert found.scoring_s == 0.3


@pytest.mark.usefixtures("untimed")
def test_the_longest_text_counts_where_the_sample_lacks_it(seen, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SAMPLE_TEXTS", 10)
    write_base(tmp_path / "it")

    its = seen(*LABELS, texts=[TEXTS[0], " ".join(TEXTS[:4]), *TEXTS[1:]]).texts
    assert its.most_tokens == 2 + 4 * len(TEXTS[0].split())


@pytest.mark.parametrize(
    ("config", "missing"),
    [
        (FNetConfig(), "num_attention_heads"),
        (CanineConfig(), "vocab_size"),
        (PerceiverConfig(), "num_hidden_layers, hidden_size, num_attention_heads"),
    ],
)
def test_an_architecture_without_the_usual_sizes_is_refused(seen, tmp_path, config, missing):
    config.save_pretrained(tmp_path / "it")

    with pytest.raises(RecipeError) as raised:
        seen()

    said = f"of the architecture {config.model_type}, whose config.json has no {missing}: use a mod"
    assert said in str(raised.value)


def test_a_decoder_without_a_padding_token_is_told_to_name_one(seen, tmp_path):
    edit(write_classifier(tmp_path / "it", "gpt2", LABELS), pad_token_id=None)

    with pytest.raises(
        RecipeError, match=r"cannot read several texts at once: .*`pad_token_id` in"
    ):
        seen()


@pytest.mark.usefixtures("never_timed")
@pytest.mark.parametrize(
    ("config", "changes", "reason"),
    [
        (XLNetConfig(vocab_size=40, d_model=32, n_layer=1, n_head=2), {}, "padded on the left"),
        ("bert", {"problem_type": "regression"}, "is a regression model"),
        (BertConfig(vocab_size=9, num_attention_heads=2, **SMALL), {}, "only embeds 9 tokens"),
    ],
)
def test_a_model_that_cannot_be_adopted_is_refused_before_it_is_timed(
    seen, tmp_path, config, changes, reason
):
    edit(write_classifier(tmp_path / "it", config, LABELS), **changes)

    with pytest.raises(RecipeError, match=reason):
        seen()


@pytest.mark.usefixtures("untimed")
@pytest.mark.parametrize("architecture", ["bart", "gpt2", "modernbert", "deberta"])
def test_students_of_fewer_layers_are_planned_only_where_layers_can_be_cut(
    seen, tmp_path, architecture
):
    write_classifier(tmp_path / "it", architecture, LABELS)

    found = seen()
    planned = plan(found, "mood", "it", Limits(seconds=10**6, max_drop=0.02))

    variants = {each.variant for each in planned.steps}
    assert {"teacher-fp32", "teacher-int8", "static-fp32", "static-int8"} <= variants
    is_bart = architecture == "bart"
    assert found.model.is_cuttable != is_bart
    assert any("distill" in each.content for each in planned.steps) != is_bart
    assert [each.reason for each in planned.left_out] == (
        ["the model's layers cannot be cut"] if is_bart else []
    )


@pytest.mark.usefixtures("untimed")
def test_words_are_left_out_only_where_it_is_known_which_weights_are_theirs(seen, tmp_path):
    folder = write_base(tmp_path / "it")
    assert seen().model.is_trimmable

    words = len(json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"])
    config = GPT2Config(vocab_size=words, n_embd=32, n_layer=2, n_head=2, pad_token_id=0)
    GPT2ForSequenceClassification(config).save_pretrained(folder)

    assert seen().model.is_cuttable
    assert not seen().model.is_trimmable


@pytest.mark.usefixtures("untimed")
@pytest.mark.parametrize(
    ("own", "theirs", "named"),
    [
        (LABELS, ("Bad", "Good"), "label 'Bad' may be 'bad'"),
        (("false", "true"), (False, True), "label 'False' may be 'false'"),
        (("0", "1"), (0.0, 1.0), "label '0.0' may be '0'"),
        (("negative", "positive"), (0.0, 1.0), None),
    ],
)
def test_a_classifier_of_labels_that_are_written_otherwise_is_not_trained(
    seen, tmp_path, own, theirs, named
):
    write_classifier(tmp_path / "it", "bert", own)

    if named is None:
        assert seen(*theirs).model.kind == "classifier"
    else:
        with pytest.raises(RecipeError, match=f"{named} of .*: write it so in the table, or name"):
            seen(*theirs)


@pytest.mark.usefixtures("untimed")
@pytest.mark.parametrize("theirs", [("rain", "sun"), ("1", "2"), ("bad weather", "0")])
def test_a_classifier_of_other_labels_is_fine_tuned_and_says_so(seen, tmp_path, capsys, theirs):
    write_classifier(tmp_path / "it", "bert", LABELS)

    assert seen(*theirs).model.kind == "base"

    assert "is a classifier of other labels (bad, good): fine-tuned" in capsys.readouterr().out


@pytest.mark.usefixtures("untimed")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, r"is a classifier of other labels \(bad, good\), which must be trained first"),
        ({"architectures": ["BertModel"]}, "is a base model, which must be trained first"),
        ({"architectures": None}, "config.json names no architecture: add `architectures`"),
    ],
)
def test_nothing_is_trained_for_formats_only(seen, tmp_path, changes, reason):
    edit(write_classifier(tmp_path / "it", "bert", LABELS), **changes)

    with pytest.raises(RecipeError, match=f"{reason}.*: leave --formats-only out"):
        seen("rain", "sun", formats_only=True)


@pytest.mark.usefixtures("untimed")
def test_a_vocabulary_that_does_not_know_the_texts_is_refused_for_formats_only(seen, tmp_path):
    write_classifier(tmp_path / "it", "bert", LABELS)
    strange = [f"{noun} unheard of words only" for noun in NOUNS]
    assert seen(texts=strange).texts.unknown > 0.5

    with pytest.raises(RecipeError, match=r"does not know .* of the texts' tokens"):
        seen(texts=strange, formats_only=True)


@pytest.mark.parametrize("named", [True, False])
def test_a_base_model_of_texts_without_labels_is_refused_with_what_it_is_told_by(
    seen, tmp_path, named
):
    folder = write_classifier(tmp_path / "it", "bert", LABELS)
    edit(folder, architectures=["BertModel"] if named else None)

    with pytest.raises(RecipeError, match="which has no answers until it is fine-tuned") as raised:
        seen()

    assert ("names no architecture: add `architectures`" in str(raised.value)) != named


@pytest.mark.usefixtures("untimed")
def test_lists_of_labels_are_refused_for_a_classifier_of_one_label(seen, tmp_path):
    folder = write_classifier(tmp_path / "it", "bert", LABELS)

    with pytest.raises(
        RecipeError, match=r"gives a text one label, .* write one label in each cel"
    ):
        seen(["bad"], ["good"])

    edit(folder, problem_type="multi_label_classification")
    assert seen(["bad"], ["good"]).texts.problem_type == "multi_label"


@pytest.mark.usefixtures("untimed")
@pytest.mark.parametrize(
    ("separator", "names"),
    [(None, {"books", "sport"}), ("", {"sport, books"}), (";", {"sport, books"})],
)
def test_only_the_separator_that_is_given_divides_a_multi_label_model_s_labels(
    seen, tmp_path, separator, names
):
    labels = ("sport, books", "politics") if separator is not None else ("sport", "books")
    folder = write_classifier(tmp_path / "it", "bert", labels)
    edit(folder, problem_type="multi_label_classification")

    found = seen("sport, books", *labels[1:], separator=separator)

    columns = tomllib.loads(toml("it", {"data": dict(found.texts.columns)}))["data"]
    section = DataSection(files=["x"], problem_type="multi_label", **columns)
    assert found.model.kind == "classifier"
    assert set(names_in("sport, books", section, "")) == names


@pytest.mark.usefixtures("untimed")
def test_equal_texts_count_once(seen, tmp_path):
    write_classifier(tmp_path / "it", "bert", LABELS)

    assert seen(texts=[*TEXTS, *TEXTS, TEXTS[0].upper() + "!", "..."]).texts.rows == len(TEXTS)
