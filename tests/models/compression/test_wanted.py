from pathlib import Path

import pytest

from models.compression.wanted import Wanted, parse_bytes, parse_share
from models.recipe import RecipeError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("5MB", 5_000_000),
        ("800 kB", 800_000),
        ("1.5m", 1_500_000),
        ("12345", 12345),
        ("2gb", 2 * 10**9),
    ],
)
def test_sizes_are_in_powers_of_ten(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    "text", ["", "MB", "0", "-5MB", "5TB", "1e6", "nan", "5 MB or so", "0.1B", "13"]
)
def test_what_is_no_size_is_refused_with_an_example(text):
    with pytest.raises(RecipeError, match=r"--max-bytes .*write a size with its unit, such as 5MB"):
        parse_bytes(text)


@pytest.mark.parametrize(("text", "share"), [("0.02", 0.02), ("2%", 0.02), (" 0.5 % ", 0.005)])
def test_a_share_may_be_in_percent(text, share):
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "%", "two points", "2%%"])
def test_what_is_no_share_is_refused_with_an_example(text):
    with pytest.raises(RecipeError, match=r"--max-drop .*: write a share, such as 0.02 or 2%"):
        parse_share(text)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_drop", 0.0), ("max_drop", 1.0), ("max_drop", float("nan")), ("latency_ms", 0.0),
        ("latency_ms", float("nan")), ("minutes", -1.0),
    ],
)  # fmt: skip
def test_an_option_out_of_range_is_named(tmp_path, option, value):
    (tmp_path / "texts.csv").write_text("text\n")

    with pytest.raises(RecipeError, match=f"--{option.replace('_', '-')}"):
        Wanted("it", (tmp_path / "texts.csv",), "tone", tmp_path, tmp_path, **{option: value})


def test_a_table_that_is_missing_is_named(tmp_path):
    with pytest.raises(RecipeError, match=r"--data: none\.csv does not exist"):
        Wanted("it", (Path("none.csv"),), "tone", tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("more", "options", "reason"),
    [
        ("none.csv", {}, r"--more: .*none\.csv does not exist"),
        ("texts.csv", {}, r"--more: .*texts\.csv is in --data already"),
        ("more.csv", {"formats_only": True}, "--more: nothing learns from it"),
    ],
)
def test_more_texts_must_be_there_be_new_and_be_learnt_from(tmp_path, more, options, reason):
    for name in ("texts.csv", "more.csv"):
        (tmp_path / name).write_text("text\n")

    with pytest.raises(RecipeError, match=reason):
        Wanted(
            "it", (tmp_path / "texts.csv",), "tone", tmp_path, tmp_path, more=(tmp_path / more,),
            **options,
        )  # fmt: skip
