"""Recipes for the tiny base model: a teacher, a student and its int8 form.

It does not know what they are made from.
"""

from pathlib import Path

TEACHER = """
family = "tone"
[data]
files = ["fetched:sentences/movies.jsonl", "fetched:sentences/products.jsonl"]
unlabelled = ["fetched:sentences/tweets.jsonl", "fetched:sentences/news.jsonl"]
label = "rating"
group = "group"
bins = { negative = [-4.0, -0.5], positive = [0.5, 4.0] }
validation_share = 0.2
calibration_share = 0.1
test_share = 0.2
[train]
base = "fetched:base"
epochs = 12
learning_rate = 3e-3
batch_texts = 16
max_length = 32
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
epochs = 8
learning_rate = 3e-3
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
