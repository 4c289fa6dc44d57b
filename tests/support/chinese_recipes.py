"""A family whose texts are Chinese, which no base model covers: a root without a teacher.

What a text means hangs on a word and on whether 不 (not) stands before it.
"""

import json
import random

FILMS = ("电影", "剧情", "电池", "手机", "音乐", "故事")
ADVERBS = ("真的", "今天", "一直", "确实", "")
GOOD, BAD = ("好", "美", "快", "新"), ("差", "丑", "慢", "旧")
ROOT = """
family = "tone"
[data]
files = ["texts.jsonl"]
validation_share = 0.2
calibration_share = 0.1
test_share = 0.2
[static]
max_length = 32
vocabulary = "learnt"
vocabulary_words = 60
width = 16
epochs = 20
learning_rate = 1e-2
batch_texts = 16
"""
QUANTISED = """
family = "tone"
parent = "static-fp32"
[quantize]
max_accuracy_drop = 0.1
"""


def write_chinese(folder):
    """The texts, and the recipes static-fp32 and static-int8."""
    folder.mkdir(parents=True)
    chosen = random.Random(0)
    rows = []
    for film in FILMS:
        for adverb in ADVERBS:
            for word in (*GOOD, *BAD):
                for negated in (True, False):
                    text = f"这{film}{adverb}{'不' if negated else '很'}{word}"
                    good = (word in GOOD) != negated
                    rows.append({"text": text, "label": "positive" if good else "negative"})
    chosen.shuffle(rows)
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "texts.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / "static-fp32.toml").write_text(ROOT)
    (folder / "static-int8.toml").write_text(QUANTISED)
    return folder
