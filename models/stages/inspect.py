"""The stage `inspect`: looks at the data before training, and trains what a model must beat."""

from collections.abc import Sequence

import numpy as np

from models.data.labelled import (
    UNLABELLED,
    LabelSet,
    label_matrix,
    read_counts,
    read_labels,
    read_split,
    read_unlabelled,
)
from models.data.sources import resolve
from models.data.splits import SPLITS
from models.evaluation.baselines import bag_of_words, majority
from models.evaluation.inspection import Inspection, Lengths, write_inspection
from models.evaluation.statistics import correct, proportion
from models.job import Job
from models.recipe_sections import Split
from models.reports.markdown import escaped, percent, table
from models.training.encodings import readable
from models.training.tokenizer_file import copy_tokenizer
from models.training.vocabulary import unknown_share
from serving.bundles.bundle import TOKENIZER_NAME
from serving.bundles.evaluation import Estimate
from serving.inference.tokenizer import Tokenizer

_JUDGED: tuple[Split, ...] = ("validation", "test")
_MOST = 0.95


def run(job: Job) -> None:
    """Print what the data is like, and write it and the baselines' accuracy as a file.

    Raises RecipeError when the model's tokenizer cannot be read, or cannot read a text.
    """
    data = job.inputs["data"]
    labels = read_labels(data)
    rows = {split: read_split(data, split) for split in SPLITS}
    texts = [row.text for each in rows.values() for row in each]
    counts = label_matrix([row for each in rows.values() for row in each], labels).sum(axis=0)
    tokens, unknown = _tokens(job, texts)
    found = Inspection(
        rows=read_counts(data),
        texts={split: len(each) for split, each in rows.items()}
        | {UNLABELLED: len(read_unlabelled(job.inputs["unlabelled"]))},
        labels=dict(zip(labels.names, counts.tolist(), strict=True)),
        characters=_lengths([len(text) for text in texts]),
        tokens=tokens,
        unknown_tokens=unknown,
        baselines=_baselines(job, labels),
    )
    write_inspection(job.output, found)
    print(_shown(found), end="")


def _lengths(lengths: Sequence[int], longest_read: int | None = None) -> Lengths:
    quantiles = np.quantile(lengths, (0.5, _MOST), method="inverted_cdf")
    cut = None if longest_read is None else float(np.mean(np.asarray(lengths) > longest_read))
    return Lengths(int(quantiles[0]), int(quantiles[1]), max(lengths), cut)


def _tokens(job: Job, texts: Sequence[str]) -> tuple[Lengths | None, float | None]:
    """The lengths in tokens and the share of unknown ones, by the base's or adopted vocabulary."""
    recipe = job.root
    location = recipe.train.base if recipe.train else recipe.adopt.folder if recipe.adopt else None
    if location is None:
        return None, None
    found = resolve(location, recipe, job.inputs["downloads"])
    copy_tokenizer(found, job.output, job.max_length)
    path = job.output / TOKENIZER_NAME
    encodings = readable(Tokenizer(path, job.max_length), texts)
    unknown = unknown_share(path, [encoding.ids for encoding in encodings])
    return _lengths([each.full_length for each in encodings], job.max_length), unknown


def _baselines(job: Job, labels: LabelSet) -> dict[Split, dict[str, Estimate]]:
    data = job.inputs["data"]
    train = read_split(data, "train")
    truth = label_matrix(train, labels)
    judged = {split: read_split(data, split) for split in _JUDGED}
    asked = [row.text for rows in judged.values() for row in rows]
    answers = bag_of_words([row.text for row in train], truth, asked, labels.problem_type)
    found = {}
    for split, rows in judged.items():
        wanted = label_matrix(rows, labels)
        own, answers = answers[: len(rows)], answers[len(rows) :]
        found[split] = {
            "majority": proportion(correct(wanted, majority(truth, len(rows)))),
            "bag of words": proportion(correct(wanted, own)),
        }
    return found


def _shown(found: Inspection) -> str:
    """What a user decides by, as a table."""
    texts = sum(count for split, count in found.texts.items() if split != UNLABELLED)
    by_count = sorted(found.labels, key=lambda name: found.labels[name])
    lines: list[tuple[str, object]] = [
        *((f"labelled rows, {what}", f"{count:,}") for what, count in found.rows.items()),
        *((f"texts, {split}", f"{count:,}") for split, count in found.texts.items()),
    ]
    for what, name in (("rarest", by_count[0]), ("most frequent", by_count[-1])):
        count = found.labels[name]
        lines.append((f"{what} label", f"{escaped(name)}: {count:,} ({count / texts:.1%})"))
    lines.append(("characters, median / 95 % / longest", found.characters))
    if found.tokens:
        lines.append(("tokens, median / 95 % / longest", found.tokens))
    if found.unknown_tokens is not None:
        lines.append(("tokens that the vocabulary does not know", f"{found.unknown_tokens:.1%}"))
    for name, accuracy in found.baselines["validation"].items():
        lines.append((f"to beat on validation, {name}", percent(accuracy)))
    return table(("data", ""), lines)
