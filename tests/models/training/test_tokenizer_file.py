"""The tokenizer.json of users' folders: copied, converted, or refused with the reason."""

import json

import pytest
from tokenizers import Tokenizer, normalizers, processors
from transformers import BertTokenizer

from models.data.sources import Source
from models.recipe import RecipeError
from models.training.tokenizer_file import check_tokenizer, copy_tokenizer
from serving.bundles.hugging_face import read_declared
from serving.inference.tokenizer import Tokenizer as ServedTokenizer
from tests.support.tiny_architectures import ARCHITECTURES, write_classifier

LABELS = ("warm", "cold")


@pytest.fixture
def folder(tmp_path):
    return write_classifier(tmp_path / "classifier", "bert", LABELS)


@pytest.fixture
def copied(folder, tmp_path):
    """Copies the tokenizer of the folder, checks it, and returns the copy."""

    def _copied():
        copy_tokenizer(Source(folder), tmp_path, 32)
        path = tmp_path / "tokenizer.json"
        check_tokenizer(path, ARCHITECTURES["bert"], 32, Source(folder))
        return path

    return _copied


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_tokenizer_is_copied_without_its_byte_order_mark(folder, copied):
    content = (folder / "tokenizer.json").read_text(encoding="utf-8")
    (folder / "tokenizer.json").write_text(content, encoding="utf-8-sig")

    assert copied().read_text(encoding="utf-8") == content


def test_the_side_that_is_cut_is_that_of_tokenizer_config_json(folder, copied):
    settings = {"truncation_side": "left", "model_max_length": 1e30}
    (folder / "tokenizer_config.json").write_text("\ufeff" + json.dumps(settings), "utf-8")

    assert json.loads(copied().read_text())["truncation"]["direction"] == "Left"


@pytest.mark.parametrize(
    "settings",
    [
        {"do_lower_case": True},
        {"do_lower_case": False, "strip_accents": True},
        {"tokenizer_class": "TokenizersBackend"},
        {"model_input_names": ["input_ids", "attention_mask"], "truncation_side": "left"},
        None,
    ],
)
def test_a_folder_has_the_same_tokenizer_adopted_and_imported(folder, copied, settings, capsys):
    processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> $B:1 </s>:1",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.post_processor = processor
    tokenizer.save(str(folder / "tokenizer.json"))
    if settings is not None:
        content = json.dumps(settings | {"model_max_length": 32})
        (folder / "tokenizer_config.json").write_text(content)
    imported = read_declared(folder, 0)

    assert copied().read_text(encoding="utf-8") == imported.tokenizer_text
    assert all(warning in capsys.readouterr().out for warning in imported.warnings)


def test_settings_of_another_form_are_refused_by_their_file(folder, copied):
    (folder / "tokenizer_config.json").write_text("[]")

    with pytest.raises(RecipeError, match=r"tokenizer_config\.json is not a JSON object"):
        copied()

    (folder / "tokenizer_config.json").write_text('{"truncation_side": "left"}')
    edit(folder / "tokenizer.json", lambda whole: whole.update(truncation="on"))
    with pytest.raises(RecipeError, match="does not have the form in which save_pretrained"):
        copied()


def test_the_words_of_a_slow_tokenizer_are_converted(folder, copied):
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    names = {"<s>": "[CLS]", "</s>": "[SEP]", "<pad>": "[PAD]", "<unk>": "[UNK]", "a": "[MASK]"}
    words = "".join(f"{names.get(word, word)}\n" for word in vocabulary)
    (folder / "vocab.txt").write_text(words)
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    (folder / "tokenizer.json").unlink()

    (found,) = ServedTokenizer(copied(), 32).encode(["The plot was dull, a superb film"])

    assert (
        list(found.ids)
        == BertTokenizer.from_pretrained(folder)("The plot was dull, a superb film")["input_ids"]
    )
    assert len(set(found.ids)) > 5


def test_a_folder_without_a_tokenizer_is_refused_with_the_remedy(folder, copied):
    (folder / "tokenizer.json").unlink()

    with pytest.raises(RecipeError, match=r"no vocab\.txt either\): write it with `AutoTokenizer"):
        copied()


def test_a_tokenizer_with_more_words_than_the_model_is_refused(folder, copied):
    edit(folder / "tokenizer.json", lambda whole: whole["model"]["vocab"].update(added=99))

    with pytest.raises(RecipeError, match="token id 99, but the model only embeds"):
        copied()


def test_a_tokenizer_without_its_unknown_token_is_refused(folder, copied):
    edit(folder / "tokenizer.json", lambda whole: whole["model"].update(unk_token="[NOT THERE]"))

    with pytest.raises(RecipeError, match=r"cannot encode every text .* as the unknown token in"):
        copied()


def test_a_tokenizer_with_segments_that_the_graph_does_not_read_is_refused(folder, copied):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s> <s>:2", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))

    with pytest.raises(RecipeError, match="divides one text into the segments 0, 2"):
        copied()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", r"tokenizer\.json is not a JSON object"),
        (b"{}", r"tokenizer\.json is not a tokenizers file"),
        (b"\xff\xfe{\0}\0", r"tokenizer\.json is not UTF-8"),
    ],
)
def test_a_broken_file_is_named_as_the_user_knows_it(folder, copied, tmp_path, content, message):
    (folder / "tokenizer.json").write_bytes(content)

    with pytest.raises(RecipeError, match=message) as refused:
        copied()

    assert str(folder) in str(refused.value)
    assert str(tmp_path / "tokenizer.json") not in str(refused.value)
