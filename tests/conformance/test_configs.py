"""Configurations as they occur: an imported folder means what transformers reads in it."""

import json

import pytest

from tests.conformance.architectures import LABELS
from tests.conformance.exporting import NotExportable, export
from tests.conformance.inputs import CUT, SINGLE
from tests.conformance.judging import EQUAL, judge
from tests.conformance.quiet import quietly
from tests.conformance.reference import Reference
from tests.conformance.rows import imported

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves

BOM = "\ufeff"
KINDS_OF_TEXTS = ("single", "cut", "batch")


@pytest.fixture
def same(loaded, tmp_path):
    """Imports a folder and holds it to transformers on the same folder; returns the manifest."""

    def _same(folder, *flags, kinds=KINDS_OF_TEXTS):
        with quietly():
            ours = imported(folder, tmp_path / "registry", "variant", *flags)
            theirs = loaded(folder)
            found = judge(ours, "onnxruntime", Reference(theirs.model, theirs.tokenizer), kinds)
        assert found == dict.fromkeys(kinds, EQUAL)
        return ours.manifest

    return _same


def edit(path, **changes):
    """Change fields of a JSON file; None removes one."""
    content = json.loads(path.read_text(encoding="utf-8-sig")) | changes
    for name, value in changes.items():
        if value is None:
            del content[name]
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("names", [None, {}])
def test_labels_that_are_not_named_are_called_as_transformers_calls_them(copy_of, same, names):
    folder = copy_of("bert")
    edit(folder / "config.json", id2label=names, label2id=names, num_labels=3)

    assert same(folder).labels == ["LABEL_0", "LABEL_1", "LABEL_2"]


def test_labels_have_the_order_of_their_numbers_whatever_the_file_s(copy_of, same):
    folder = copy_of("bert")
    edit(folder / "config.json", id2label={"2": "warm", "0": "cold", "1": "mild"})

    assert same(folder).labels == list(LABELS)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (None, "single_label"),
        ("single_label_classification", "single_label"),
        ("multi_label_classification", "multi_label"),
        ("regression", "regression"),
    ],
)
def test_the_scores_follow_the_problem_type(copy_of, same, given, meant):
    folder = copy_of("bert")
    edit(folder / "config.json", problem_type=given or "x")
    if given is None:
        edit(folder / "config.json", problem_type=None)

    assert same(folder).problem_type == meant


@pytest.mark.parametrize("written", [{"pad_token_id": None}, {}], ids=["null", "absent"])
@pytest.mark.parametrize("architecture", ["bert", "roberta", "llama"])
def test_a_padding_token_that_config_json_does_not_name_is_the_tokenizer_s(
    copy_of, exported, architecture, written, tmp_path
):
    folder, whole = copy_of(architecture), exported(architecture)
    content = json.loads((folder / "config.json").read_text())
    del content["pad_token_id"]
    (folder / "config.json").write_text(json.dumps(content | written))

    with quietly():
        ours = imported(folder, tmp_path / "registry", "variant")
        found = judge(ours, "onnxruntime", Reference(whole.model, whole.tokenizer), KINDS_OF_TEXTS)

    assert ours.manifest.pad_token_id == whole.tokenizer.pad_token_id
    assert found == dict.fromkeys(KINDS_OF_TEXTS, EQUAL)


@pytest.mark.parametrize(
    ("architecture", "tokens"), [("bert", 80), ("gpt2", 80), ("roberta", 79), ("mpnet", 78)]
)
def test_a_model_without_a_limit_reads_as_many_tokens_as_it_has_positions(
    copy_of, loaded, tmp_path, architecture, tokens
):
    folder = copy_of(architecture)
    edit(folder / "tokenizer_config.json", model_max_length=10**30)
    long = " ".join(CUT)

    with quietly():
        ours = imported(folder, tmp_path / "registry", "variant")
        theirs = loaded(folder)
    theirs.tokenizer.model_max_length = tokens

    assert ours.manifest.max_length == tokens
    reference = Reference(theirs.model, theirs.tokenizer)
    with quietly():
        (answer,) = reference.answers([long])
        assert len(answer.ids) == tokens
        assert judge(ours, "onnxruntime", reference, ["cut"]) == {"cut": EQUAL}


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_a_byte_order_mark_is_not_read(copy_of, tmp_path, exported, name):
    folder = copy_of("bert")
    (folder / name).write_text(BOM + (folder / name).read_text(), encoding="utf-8")
    whole = exported("bert")

    with quietly():
        ours = imported(folder, tmp_path / "registry", "variant")
        found = judge(ours, "onnxruntime", Reference(whole.model, whole.tokenizer), ["cut"])

    assert found == {"cut": EQUAL}


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_a_text_is_cut_on_the_side_that_the_tokenizer_cuts(copy_of, same, architecture, side):
    folder = copy_of(architecture)
    edit(folder / "tokenizer_config.json", truncation_side=side)

    same(folder, kinds=("cut", "batch"))
    same(folder, "--pairs", kinds=("pair", "cut", "batch"))


def test_segments_are_those_of_the_tokenizer_s_template_also_of_cls(copy_of, same, loaded):
    folder = copy_of("bert")
    content = json.loads((folder / "tokenizer.json").read_text())
    for special in (content["post_processor"]["single"], content["post_processor"]["pair"]):
        special[0]["SpecialToken"]["type_id"] = 1
    (folder / "tokenizer.json").write_text(json.dumps(content))
    edit(
        folder / "tokenizer_config.json",
        tokenizer_class="PreTrainedTokenizerFast",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )

    theirs = loaded(folder).tokenizer(SINGLE[0])["token_type_ids"]
    assert theirs[0] == 1, "the case is not what it should be"
    same(folder)
    same(folder, "--pairs", kinds=("pair", "cut", "batch"))


@pytest.mark.parametrize("lower", [True, False])
def test_case_is_kept_or_not_as_transformers_reads_the_folder(copy_of, same, lower):
    folder = copy_of("bert")
    edit(folder / "tokenizer_config.json", do_lower_case=lower)

    same(folder)


def test_a_decoder_that_names_no_padding_token_cannot_be_exported(loaded, copy_of):
    folder = copy_of("gpt2")
    edit(folder / "config.json", pad_token_id=None)
    theirs = loaded(folder)

    with quietly(), pytest.raises(NotExportable, match="no padding token"):
        export(theirs.model, theirs.tokenizer, folder / "model.onnx")
