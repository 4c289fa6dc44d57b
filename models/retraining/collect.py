"""The step `collect`: labelled and unlabelled texts from the log and from tables of labels."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from models.data.bad_rows import BadRows, RowError
from models.data.labels import names_in, unknown_label
from models.data.readers import RENAME_COLUMNS, TableRow, read_rows, text_in
from models.data.section import DataSection
from models.data.sources import Source
from models.evaluation.predictions import kind_of
from models.monitoring.log import FamilyLog
from models.monitoring.tables import labelled_texts, logged_texts
from models.recipe import RecipeError
from serving.bundles.bundle import Bundle, Manifest, file_sha256
from serving.inference.tokenizer import open_tokenizer

Labelled = tuple[str, tuple[str, ...]]
"""A text and the names of its labels, sorted."""


@dataclass(frozen=True)
class Found:
    """What there is to learn from: rows as they came, of feedback and of tables.

    `unfilled` counts the tables' rows without a label; `left_out` says what feedback has no use.
    """

    feedback: Sequence[Labelled]
    tables: Sequence[Labelled]
    unlabelled: Sequence[str]
    unfilled: int
    left_out: Sequence[str]
    newest: datetime | None
    table_hashes: dict[str, str]


def find(log: FamilyLog, tables: Sequence[Path], live: Sequence[Bundle]) -> Found:
    """Find texts and labels of a family, whose bundles are `live`.

    A text that the tokenizer of one of them finds no token in is left out. A table has the columns
    `text` and `label`, as worth-labelling.csv; a row whose label is empty is not filled in, so that
    a text to which no label applies needs an empty list. Raises RecipeError naming file, line and
    remedy, or if the family does not read single texts.
    """
    manifest = live[0].manifest
    if manifest.pairs or manifest.tensors or manifest.problem_type == "regression":
        raise RecipeError(
            f"{manifest.family} does not give single texts labels: no recipe makes it, so it "
            "cannot be made again"
        )
    given = labelled_texts(log, manifest)
    rows = [row for path in tables for row in _read(path, manifest)]
    filled = [(text, names) for text, names in rows if names is not None]
    feedback = [(str(text).strip(), tuple(sorted(names))) for text, names in given.texts]
    logged = [str(text).strip() for text in logged_texts(log, manifest)]
    unread = _without_tokens({*logged, *(text for text, _ in filled)}, live)
    left_out = [f"{len(unread):,} texts without a token"] if unread else []
    if given.textless:
        left_out.append(f"{given.textless:,} feedback is on texts that are not in the log")
    if given.unknown:
        left_out.append(f"{given.unknown:,} feedback has labels that the family cannot give")
    return Found(
        [row for row in feedback if row[0] not in unread],
        [row for row in filled if row[0] not in unread],
        [text for text in logged if text not in unread],
        len(rows) - len(filled),
        left_out,
        given.newest,
        {str(path): file_sha256(path) for path in tables},
    )


def _without_tokens(texts: Collection[str], live: Sequence[Bundle]) -> set[str]:
    """Return the texts of which a bundle's tokenizer makes nothing: no model answers them."""
    unread: set[str] = set()
    in_order = list(texts)
    for bundle in live:
        tokenizer = open_tokenizer(bundle)
        assert tokenizer is not None, "this is a bug: the family reads texts"
        encodings = tokenizer.encode(in_order)
        unread |= {text for text, its in zip(in_order, encodings, strict=True) if not its.length}
    return unread


def _read(path: Path, manifest: Manifest) -> list[tuple[str, tuple[str, ...] | None]]:
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise RecipeError(f"--labelled: {path} {what}: name a table of texts and labels")
    kind = kind_of(manifest)
    section = DataSection(
        files=(str(path),),
        # Not as `labels`, of which a number is the place: whoever fills a table in writes names.
        rename={name: name for name in manifest.labels},
        problem_type=kind,
        separator="," if kind == "multi_label" else None,
        missing="unlabelled",
    )

    def made_of(row: TableRow) -> tuple[str, tuple[str, ...] | None]:
        cell = row.cells["label"]
        if isinstance(cell, list) and kind == "single_label":
            raise RowError(f"{row.where}: {cell!r} is a list: write the one label that is right")
        is_empty = isinstance(cell, str) and not cell.strip()
        names = None if is_empty else names_in(cell, section, row.where)
        for name in names or ():
            if name not in manifest.labels:
                raise RowError(
                    unknown_label(row.where, name, manifest.labels, "the family's labels")
                )
        return text_in(row.cells["text"], row.where), names

    bad = BadRows()
    columns = ["text", "label"]
    found = list(read_rows(Source(path), columns, made_of, bad, if_missing=RENAME_COLUMNS))
    bad.check()
    return found
