"""A tiny base model and rated sentences, in the shape of the real ones.

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


def write_sources(folder: Path) -> Path:
    """Write what models.data.downloads would: `base/` and `sentences/`."""
    write_base(folder / "base")
    sentences = folder / "sentences"
    sentences.mkdir(parents=True)
    chosen = random.Random(0)
    for kind, per_review, count in (
        ("movies", 1, 300),
        ("products", 3, 120),
        ("tweets", 1, 30),
        ("news", 2, 30),
    ):
        rows = []
        for index in range(count):
            good = chosen.random() < 0.5
            rating = (1 if good else -1) * chosen.choice((0.2, 1.0, 2.0, 3.0))
            words = chosen.choices(GOOD if good else BAD, k=2)
            text = f"the {chosen.choice(NOUNS)} {index} was {words[0]}, a {words[1]} {kind[:3]}."
            rows.append({"text": text, "rating": rating, "group": f"{kind} {index // per_review}"})
        lines = (json.dumps(row) + "\n" for row in rows)
        (sentences / f"{kind}.jsonl").write_text("".join(lines))
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
        initializer_range=0.2,
        max_position_embeddings=64,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder
