import json

import pytest
import torch
from transformers import ElectraConfig

from models.recipe import RecipeError
from models.recipe_sections import DistillSection
from models.stages import distill
from models.training.architecture import head_size, kept_heads, load_classifier
from models.training.checkpoint import write_state
from models.training.knowledge_distillation import every_token_loss, soft_loss, teacher_outputs
from models.training.loop import fit
from models.training.refit import refit
from models.training.vocabulary import mask_word

DISTILL = """
[distill]
layers = {layers}
epochs = 8
learning_rate = 5e-3
batch_texts = 16
temperature = 2.0
hidden_weight = 1.0
label_weight = 0.3
"""

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves


def test_a_narrower_student_of_fewer_layers_and_words_learns_from_altered_copies(tone):
    section = DISTILL.format(layers="[1]") + (
        "width = 16\nintermediate = 32\nvocabulary_words = 105\naugmented_copies = 1\n"
    )
    folder = tone.make("narrow", section, ["distill"])

    student, teacher = load_classifier(folder), load_classifier(tone.teacher)
    config = student.config
    assert (config.hidden_size, config.intermediate_size, config.num_hidden_layers) == (16, 32, 1)
    assert head_size(config) == head_size(teacher.config)
    assert config.max_position_embeddings == 32
    assert config.vocab_size == 105
    assert student.num_parameters() < teacher.num_parameters() / 3
    assert tone.validated(folder) >= 0.9


def test_a_student_of_the_same_width_has_fewer_heads(tone):
    folder = tone.make("heads", DISTILL.format(layers="[0, 1]") + "heads = 1\n", ["distill"])

    student, teacher = load_classifier(folder), load_classifier(tone.teacher)
    assert (kept_heads(student.config), kept_heads(teacher.config)) == (1, 2)
    assert student.config.hidden_size == teacher.config.hidden_size
    assert student.config.intermediate_size == teacher.config.intermediate_size
    assert tone.validated(folder) >= 0.9


@pytest.mark.parametrize("sizes", ["heads = 1\nintermediate = 32", "width = 16", ""])
def test_a_student_matches_the_states_of_all_its_tokens_in_its_own_words(tone, monkeypatch, sizes):
    seen = {}

    def fitting(student, teacher, layers, ids, theirs, **width):
        seen["pairs"] = list(zip(ids, theirs, strict=True))
        refit(student, teacher, layers, ids, theirs, **width)

    def asking(taught, *given):
        assert taught.encodings == [each for _, each in seen["pairs"]]
        return every_token_loss(taught, *given)

    monkeypatch.setattr(distill, "refit", fitting)
    monkeypatch.setattr(distill, "every_token_loss", asking)
    section = DISTILL.format(layers="[1]").replace("epochs = 8", "epochs = 4")
    section += f'hidden_tokens = "all"\naugmented_copies = 1\nvocabulary_words = 90\n{sizes}\n'
    folder = tone.make("every-token", section, ["distill"])

    own, whole = (words_of(each / "tokenizer.json") for each in (folder, tone.teacher))
    assert len(own) == 90
    assert all([own[i] for i in a] == [whole[i] for i in b] for a, b in seen["pairs"])
    assert tone.validated(folder) >= 0.9


def test_a_student_is_trained_without_dropout(tone, monkeypatch):
    seen = set()

    def training(student, *given, **options):
        seen.update(m.p for m in student.modules() if isinstance(m, torch.nn.Dropout))
        fit(student, *given, **options)

    monkeypatch.setattr(distill, "fit", training)
    section = DISTILL.format(layers="[1]").replace("epochs = 8", "epochs = 1")
    tone.make("calm", section, ["distill"])

    assert seen == {0.0}


def words_of(path):
    return {i: word for word, i in json.loads(path.read_text())["model"]["vocab"].items()}


def test_a_fitted_student_that_was_killed_goes_on_without_another_fit(tone, monkeypatch):
    class Killed(Exception):
        pass

    def killed(*_, checkpoint, **__):
        write_state(checkpoint._folder / "training.pt", {"done": 0})
        raise Killed

    section = DISTILL.format(layers="[1]").replace("epochs = 8", "epochs = 1")
    section += 'hidden_tokens = "all"\n'
    fits = []
    monkeypatch.setattr(distill, "refit", lambda *_, **__: fits.append(1))
    monkeypatch.setattr(distill, "fit", killed)
    for _ in range(2):
        with pytest.raises(Killed):
            tone.make("killed-fit", section, ["distill"])

    assert len(fits) == 1


@pytest.mark.parametrize(
    ("weight", "key", "message"),
    [
        (0, "", "hidden_tokens: no states are matched"),
        (1, 'augmented_copies = 1\naugmented_by = ["case"]', "a copy that is answered as its"),
        (1, 'normalize = ["nfkc"]', "as its teacher reads them: remove normalize"),
    ],
)
def test_states_of_all_tokens_are_matched_only_where_the_teacher_has_them(
    tone, weight, key, message
):
    section = DISTILL.format(layers="[1]").replace("weight = 1.0", f"weight = {weight}")

    with pytest.raises(RecipeError, match=message):
        tone.make("no-states", f'{section}hidden_tokens = "all"\n{key}\n', ["distill"])


def test_the_cost_of_a_smaller_vocabulary_is_written_beside_the_weights(tone):
    section = DISTILL.format(layers="[1]").replace("epochs = 8", "epochs = 1")
    folder = tone.make("words", section + "vocabulary_words = 90\n", ["distill"])

    about = json.loads((folder / "vocabulary.json").read_text())

    assert about["words"] == 90
    assert about["words_before"] > 90
    for name in ("validation", "unlabelled"):
        assert about[name]["tokens_per_text"] >= about[name]["tokens_per_text_before"]
        assert 0 <= about[name]["words_split_more"] <= 1
        assert about[name]["unknown_words"] == about[name]["unknown_words_before"] == 0


def test_training_in_half_precision_learns_too(tone):
    section = DISTILL.format(layers="[0, 1]") + 'precision = "bf16"\n'
    folder = tone.make("half", section.replace("epochs = 8", "epochs = 4"), ["distill"])

    assert tone.validated(folder) >= 0.9


def test_a_student_from_another_base_learns_its_teacher_s_answers_with_words_of_its_own(tone):
    section = DISTILL.format(layers="[0]").replace("hidden_weight = 1.0", "hidden_weight = 0")
    section = section.replace("5e-3", "3e-3").replace("epochs = 8", "epochs = 12")
    folder = tone.make(
        "other", section + 'base = "fetched:base"\nvocabulary_words = 100\n', ["distill"]
    )

    config = load_classifier(folder).config
    assert (config.num_hidden_layers, config.vocab_size) == (1, 100)
    assert config.max_position_embeddings == 32
    assert tone.validated(folder) >= 0.9


@pytest.mark.parametrize("key", ["width = 16", "heads = 1", "intermediate = 32"])
def test_a_student_from_another_base_keeps_that_one_s_sizes(tone, key):
    section = DISTILL.format(layers="[0]") + f'base = "fetched:base"\n{key}\n'

    with pytest.raises(RecipeError, match="base: such a student has other layers"):
        tone.make("other-sizes", section, ["distill"])


def test_a_distillation_that_was_killed_asks_its_teacher_once(tone, monkeypatch):
    asked = []

    def asking(*given):
        asked.append(given)
        return teacher_outputs(*given)

    def killed(*_, **__):
        raise KeyboardInterrupt

    section = DISTILL.format(layers="[0]").replace("epochs = 8", "epochs = 1")
    monkeypatch.setattr(distill, "teacher_outputs", asking)
    with monkeypatch.context() as patch:
        patch.setattr(distill, "fit", killed)
        with pytest.raises(KeyboardInterrupt):
            tone.make("killed", section, ["distill"])

    folder = tone.make("killed", section, ["distill"])

    assert len(asked) == 1
    assert [each.name for each in folder.parent.iterdir()] == ["distill"]


def test_without_a_smaller_vocabulary_the_tokenizer_stays_as_it_is(tone):
    section = DISTILL.format(layers="[0]").replace("epochs = 8", "epochs = 1")
    folder = tone.make("whole", section, ["distill"])

    assert (folder / "tokenizer.json").read_bytes() == (
        tone.teacher / "tokenizer.json"
    ).read_bytes()
    assert not (folder / "vocabulary.json").exists()


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("vocabulary_words = 10", "vocabulary_words: .* do not fit into 10 words"),
        ("width = 24", "width 24: choose a multiple of the teacher's head size 16"),
        ("width = 64", "width 64: choose .* at most its width 32"),
        ("heads = 3", "heads 3: choose at most the teacher's 2"),
        ("intermediate = 65", "intermediate 65: choose at most the teacher's 64"),
    ],
)
def test_a_student_that_the_teacher_cannot_give_is_refused(tone, key, message):
    with pytest.raises(RecipeError, match=message):
        tone.make("refused", DISTILL.format(layers="[1]") + key, ["distill"])


def test_a_width_at_which_embeddings_would_not_be_projected_is_refused():
    config = ElectraConfig(hidden_size=32, embedding_size=16, num_attention_heads=4)
    given = {"layers": [0], "epochs": 1, "learning_rate": 1e-3, "batch_texts": 2, "width": 16}
    losses = {"temperature": 1, "hidden_weight": 1, "label_weight": 0}

    with pytest.raises(RecipeError, match="width 16: the teacher projects embeddings of this"):
        distill.check_sizes(config, DistillSection(**given, **losses))


def test_a_layer_that_the_teacher_has_not_is_refused(tone):
    with pytest.raises(
        RecipeError, match=r"layers: the teacher does not have all of \[2\]: choose from 0 to 1"
    ):
        tone.make("refused", DISTILL.format(layers="[2]"), ["distill"])


def test_the_masking_word_is_the_tokenizer_s_own(tone, tmp_path):
    kind = {"model": {"type": "BPE", "vocab": {}}, "added_tokens": []}
    (tmp_path / "tokenizer.json").write_text(json.dumps(kind))

    assert mask_word(tmp_path / "tokenizer.json") is None
    assert mask_word(tone.teacher / "tokenizer.json") == "[MASK]"


@pytest.mark.parametrize("problem_type", ["single_label", "multi_label"])
def test_the_soft_loss_is_least_where_the_student_answers_as_the_teacher(problem_type):
    taught = torch.tensor([[2.0, -1.0, 0.5], [-3.0, 0.1, 0.0]])
    logits = torch.zeros_like(taught).requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.1)
    loss = soft_loss(problem_type, 2.0)

    for _ in range(400):
        optimizer.zero_grad()
        loss(logits, taught).backward()
        optimizer.step()

    link = torch.sigmoid if problem_type == "multi_label" else lambda x: torch.softmax(x, -1)
    torch.testing.assert_close(link(logits), link(taught), atol=0.01, rtol=0)


def test_the_teacher_s_answers_are_in_the_order_of_the_texts(tone):
    teacher = load_classifier(tone.teacher)
    encodings = [[2, 8, 3], [2, 9, 10, 11, 3], [2, 12, 3]]

    found = teacher_outputs(teacher, encodings, (0, 1))

    assert found.hidden.shape == (3, 2, 32)
    for row, ids in zip(found.logits, encodings, strict=True):
        alone = teacher_outputs(teacher, [ids])
        torch.testing.assert_close(row, alone.logits[0], atol=1e-5, rtol=1e-4)
        assert alone.hidden.shape == (1, 0, 32)
