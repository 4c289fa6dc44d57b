"""A tiny base model and rated sentences in the shape of the real ones, and recipes for them.

It does not know which test uses them.
"""

import json
import random
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification

GOOD = ("warm", "funny", "moving", "superb", "delightful", "sturdy")
BAD = ("dull", "broken", "awful", "tedious", "flimsy", "noisy")
NOUNS = ("film", "plot", "camera", "battery", "actor", "screen", "story", "phone", "ending")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,"

TEACHER = """
family = "tone"
[data]
seed = "0"
neutral_below = 0.5
validation_share = 0.2
calibration_share = 0.1
test_share = 0.2
[train]
seed = 0
epochs = 6
learning_rate = 5e-3
batch_texts = 16
max_length = 32
label_smoothing = 0.0
[export]
tolerance = 1e-4
"""
STUDENT = """
family = "tone"
parent = "teacher-fp32"
[distill]
seed = 0
layers = [1]
vocabulary_words = 105
epochs = 4
learning_rate = 5e-3
batch_texts = 16
temperature = 2.0
hidden_weight = 1.0
label_weight = 0.3
[export]
tolerance = 1e-4
"""
QUANTISED = """
family = "tone"
parent = "student-fp32"
[quantize]
max_accuracy_drop = 0.1
"""


def write_recipes(folder: Path) -> Path:
    """teacher-fp32, student-fp32 and student-int8."""
    folder.mkdir(parents=True, exist_ok=True)
    for variant, content in (
        ("teacher-fp32", TEACHER),
        ("student-fp32", STUDENT),
        ("student-int8", QUANTISED),
    ):
        (folder / f"{variant}.toml").write_text(content)
    return folder


def write_sources(folder: Path) -> Path:
    """What fetch.py leaves: `base/` and `sentences/`."""
    write_base(folder / "base")
    sentences = folder / "sentences"
    sentences.mkdir(parents=True)
    chosen = random.Random(0)
    for name, per_review, count in (
        ("movieReviewSnippets", 1, 120),
        ("amazonReviewSnippets", 3, 120),
        ("tweets", 1, 30),
        ("nytEditorialSnippets", 2, 30),
    ):
        lines = []
        for index in range(count):
            review, sentence = divmod(index, per_review)
            identifier = f"{review + 1}" if per_review == 1 else f"{review + 1}_{sentence + 1}"
            good = chosen.random() < 0.5
            rating = (1 if good else -1) * chosen.choice((0.2, 1.0, 2.0, 3.0))
            words = chosen.choices(GOOD if good else BAD, k=2)
            text = f"the {chosen.choice(NOUNS)} {index} was {words[0]}, a {words[1]} {name[:3]}."
            lines.append(f"{identifier}\t{rating}\t{text}")
        (sentences / f"{name}_GroundTruth.txt").write_bytes("\r\n".join(lines).encode())
    return folder


def write_base(folder: Path) -> Path:
    """A randomly initialised BERT of 2 layers, 32 wide, with a WordPiece tokenizer."""
    folder.mkdir(parents=True)
    pieces = [*LETTERS, *(f"##{letter}" for letter in LETTERS)]
    words = [*SPECIAL, "[unused0]", *pieces, *GOOD, *BAD, *NOUNS, "the", "was", "unseen"]
    vocabulary = {word: index for index, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordPiece(vocab=vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    saved = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(saved))
    return folder
