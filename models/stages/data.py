"""The stage `data`: turns tables of texts into labelled splits and unlabelled texts."""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from models.data.bad_rows import BadRows, RowError
from models.data.groups import check_groups, group_in, name_in
from models.data.labelled import (
    LABELS_NAME,
    UNLABELLED,
    LabelledText,
    LabelSet,
    label_matrix,
    split_path,
    write_lines,
)
from models.data.labels import OR_UNLABELLED, alike, labels_by_number, names_in, unknown_label
from models.data.readers import TableRow, read_rows, text_in
from models.data.section import DataSection
from models.data.sources import resolve
from models.data.splits import SPLITS, Entry, divide, normalised, row_counts
from models.data.text_files import TableFormat
from models.job import Job
from models.recipe import RecipeError
from models.recipe_sections import Split
from serving.bundles.files import listed

_MOST_SHOWN = 20


def run(job: Job) -> None:
    """Write `<split>.jsonl` for each split, `unlabelled.jsonl`, and the labels as `data.json`.

    Raises RecipeError naming file, line and remedy when a table cannot be used.
    """
    section = job.root.data
    assert section is not None
    adopted = _adopted(job, section)
    read = list(read_entries(job))
    if section.truth == "teacher":
        read = _answered(job, read)
    elif adopted is not None:
        read = _named(read, adopted)
    splits, unlabelled = divide(read, section)
    names = _label_names(splits, section, adopted)
    labels = LabelSet(names, section.problem_type)
    check_groups(section.group_report, (e.groups for its in splits.values() for e in its))
    expected = labels if adopted is None else _used(splits, labels)
    _check_enough_labels(expected, section)
    if adopted is None:
        _check_trained(splits, labels, ", ".join(section.files))
    _check_sizes(splits, expected, ", ".join(section.files))
    index = {name: number for number, name in enumerate(names)}
    counts = {}
    for split, entries in splits.items():
        rows = [
            LabelledText(e.text, tuple(sorted(index[name] for name in e.names or ())), e.groups)
            for e in entries
        ]
        write_lines(split_path(job.output, split), [_line(row) for row in rows])
        per_label = label_matrix(rows, labels).sum(axis=0).tolist()
        counts[split] = dict(zip(names, per_label, strict=True))
        shares = ", ".join(f"{count} {name}" for name, count in counts[split].items())
        print(f"{split}: {len(rows)} texts ({shares})")
    write_lines(job.output / f"{UNLABELLED}.jsonl", [{"text": text} for text in unlabelled])
    print(f"{UNLABELLED}: {len(unlabelled)} texts")
    about = {
        "labels": names,
        "problem_type": section.problem_type,
        "counts": counts,
        "rows": row_counts(read),
        "truth": section.truth,
    }
    if section.group_report:
        about["group_report"] = section.group_report
    (job.output / LABELS_NAME).write_text(json.dumps(about, indent=2), encoding="ascii")


def _line(row: LabelledText) -> dict[str, Any]:
    """What a split's file says of a text."""
    return asdict(row) if row.groups else {"text": row.text, "labels": row.labels}


def read_entries(job: Job) -> Iterator[Entry]:
    """Yield every text of the recipe's tables; those of `unlabelled` have no group.

    Raises RecipeError after the last one, with all rows that cannot be used.
    """
    section = job.root.data
    assert section is not None
    bad = BadRows()
    form = TableFormat(section.encoding, section.delimiter)
    files: list[tuple[str, Split | None]] = [(name, None) for name in section.files]
    files += [(name, split) for split, names in section.splits.items() for name in names]
    is_labelled = section.truth == "labels"
    columns = [section.text, *([section.label] if is_labelled else [])]
    columns += [section.group] if section.group else []
    columns += section.group_report
    for name, split in files:
        found = resolve(name, job.root, job.inputs["downloads"])
        yield from read_rows(found, columns, partial(_labelled, section, split), bad, form)
    for name in section.unlabelled:
        found = resolve(name, job.root, job.inputs["downloads"])
        yield from read_rows(found, [section.text], partial(_unlabelled, section), bad, form)
    bad.check()


def _labelled(section: DataSection, split: Split | None, row: TableRow) -> Entry:
    text = text_in(row.cells[section.text], row.where)
    names = None
    if section.truth == "labels":
        names = names_in(row.cells[section.label], section, row.where, OR_UNLABELLED)
    group = name_in(row.cells[section.group]) if section.group else normalised(text)
    if section.group and not group:
        raise RowError(f"{row.where}: empty {section.group!r}: fill in the group or delete the row")
    groups = tuple(group_in(row.cells[name], row.where) for name in section.group_report)
    return Entry(text, names, group, split, row.where, groups)


def _unlabelled(section: DataSection, row: TableRow) -> Entry:
    return Entry(text_in(row.cells[section.text], row.where), None, None, where=row.where)


def _answered(job: Job, entries: list[Entry]) -> list[Entry]:
    """The entries of `files` with the labels that the classifier to adopt gives them."""
    from models.training.pseudo_labels import answers_of  # noqa: PLC0415 (imports transformers)

    section, adopt = job.root.data, job.root.adopt
    assert section is not None
    assert adopt is not None, "this is a bug: the recipe needs [adopt]"
    found = resolve(adopt.folder, job.root, job.inputs["downloads"])
    texts = [entry.text for entry in entries if entry.group is not None]
    names = iter(answers_of(found, texts, adopt.max_length, section.problem_type))
    return [e if e.group is None else replace(e, names=next(names)) for e in entries]


def _named(entries: list[Entry], adopted: tuple[str, ...]) -> list[Entry]:
    """The entries with the model's labels, where theirs are the numbers of these."""
    found = {name for entry in entries for name in entry.names or ()}
    by_number = labels_by_number(sorted(found), adopted)
    if not by_number:
        return entries
    meant = listed([f"{number} is {name}" for number, name in by_number.items()])
    print(f"the labels are read as the adopted model's numbers: {meant}")
    return [
        replace(e, names=tuple(sorted({by_number[name] for name in e.names}))) if e.names else e
        for e in entries
    ]


def _adopted(job: Job, section: DataSection) -> tuple[str, ...] | None:
    """The labels of the model to adopt. Raises RecipeError if it does not fit the data."""
    adopt = job.root.adopt
    if adopt is None:
        return None
    from models.training import pretrained  # noqa: PLC0415 (the only reason to import transformers)

    found = resolve(adopt.folder, job.root, job.inputs["downloads"])
    labels = pretrained.labels_of(found)
    pretrained.adopted_config(found, adopt.max_length, section.problem_type)
    return labels


def _label_names(
    splits: dict[Split, list[Entry]], section: DataSection, adopted: tuple[str, ...] | None
) -> tuple[str, ...]:
    """In the order of the adopted model, of the recipe, of the bins, or sorted."""
    first_at = {
        name: entry.where
        for entries in splits.values()
        for entry in reversed(entries)
        for name in entry.names or ()
    }
    _check_alike(first_at, section.labels or adopted or ())
    if section.truth == "teacher":
        assert adopted is not None, "this is a bug: the recipe needs [adopt]"
        return adopted
    names = section.labels or tuple(section.bins or sorted(first_at))
    if adopted is not None:
        _check_adopted(dict.fromkeys(names, "[data]") | first_at, adopted)
        return adopted
    for name, where in first_at.items():
        if name not in names:
            said = unknown_label(where, name, names, "`labels` in [data]")
            raise RecipeError(f"{said} or add the label")
    return names


def _check_adopted(first_at: dict[str, str], adopted: tuple[str, ...]) -> None:
    """Raise RecipeError where the texts have labels that the model to adopt does not answer."""
    extra = [f"{name!r} ({where})" for name, where in first_at.items() if name not in adopted]
    if extra:
        raise RecipeError(
            f"{listed(extra)}: not among the adopted model's labels ({listed(adopted)}): give "
            "these texts one of its labels with `rename` in [data] or remove the rows; a model "
            "that is to learn new labels is fine-tuned, with `base` in [train] instead of [adopt]"
        )


def _check_alike(first_at: dict[str, str], told_apart: tuple[str, ...]) -> None:
    """Raise RecipeError where names may be one label: who wrote them knows."""
    asked = [each for each in alike(first_at) if not set(each) <= set(told_apart)]
    if not asked:
        return
    groups = [
        " and ".join(f"{name!r} ({first_at[name]})" for name in each)
        for each in asked[:_MOST_SHOWN]
    ]
    one = asked[0][0]
    raise RecipeError(
        f"labels that may be one, or a number written with a fraction: {'; '.join(groups)}: give "
        f'each one name in [data], as in `rename = {{"{one}" = "..."}}`, or list them in `labels`'
    )


def _used(splits: dict[Split, list[Entry]], labels: LabelSet) -> LabelSet:
    """The labels that texts have."""
    used = {name for entries in splits.values() for e in entries for name in e.names or ()}
    return LabelSet(tuple(name for name in labels.names if name in used), labels.problem_type)


def _check_enough_labels(labels: LabelSet, section: DataSection) -> None:
    """Raise RecipeError unless there is a choice of labels."""
    names = labels.names
    if len(names) >= 1 + (labels.problem_type == "single_label"):
        return
    files = ", ".join(section.files)
    if section.truth == "teacher":
        only = f"answers {names[0]!r} to every text" if names else "gives no text a label"
        raise RecipeError(f"{files}: the classifier {only}: add texts that it answers otherwise")
    only = f"every text is labelled {names[0]!r}" if names else "no text has a label"
    raise RecipeError(f"{files}: {only}: add texts of another label or correct `label`")


def _check_trained(splits: dict[Split, list[Entry]], labels: LabelSet, files: str) -> None:
    """Raise RecipeError unless training has every label."""
    trained = {name for entry in splits["train"] for name in entry.names or ()}
    for split in SPLITS:
        for entry in splits[split]:
            for name in entry.names or ():
                if name not in trained:
                    raise RecipeError(
                        f"{entry.where}: the label {name!r} occurs in {split}, but not in train: "
                        "add training texts with it or delete the row"
                    )
    for name in labels.names:
        if name not in trained:
            raise RecipeError(
                f"{files}: no text is labelled {name!r}: add some or remove the label"
            )


def _check_sizes(splits: dict[Split, list[Entry]], labels: LabelSet, files: str) -> None:
    """Raise RecipeError unless every split has as many texts as there are labels."""
    names = labels.names
    for split in SPLITS:
        if len(splits[split]) < len(names):
            raise RecipeError(
                f"{files}: {len(splits[split])} texts for {split}, fewer than the {len(names)} "
                "labels: add texts, raise the split's share or give it a file in [data]"
            )
