import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data.labels import alike, labels_by_number, names_in
from models.data.section import DataSection
from models.recipe import RecipeError

BINS = {"bad": (-4.0, -0.5), "so so": (-0.5, 0.5), "good": (0.5, 4.0)}


def section(**keys):
    return DataSection(files=("x.csv",), **keys)


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("good", "good"),
        (" good ", "good"),
        (3, "3"),
        (3.0, "3"),
        (True, "true"),
        ("\u597d", "\u597d"),
    ],
)
def test_a_cell_is_a_name_or_a_whole_number(cell, names):
    assert names_in(cell, section(), "x.csv, line 2") == (names,)


@pytest.mark.parametrize("cell", ["", "  ", None, 0.5, float("nan"), {"name": "good"}])
def test_a_cell_that_names_nothing_is_refused(cell):
    with pytest.raises(RecipeError, match=r"x\.csv, line 2: the label"):
        names_in(cell, section(), "x.csv, line 2")


def test_a_number_counts_through_the_recipe_s_labels_unless_they_are_numbers():
    assert names_in("1", section(labels=("bad", "good")), "") == ("good",)
    assert names_in(0, section(labels=("bad", "good")), "") == ("bad",)
    assert names_in("1", section(labels=("2", "1")), "") == ("1",)
    assert names_in("0", section(labels=("2", "1")), "") == ("0",)
    assert names_in("1.0", section(labels=("bad", "good")), "") == ("good",)


def test_names_are_numbers_of_labels_only_if_all_of_them_are():
    assert labels_by_number(["0", "1.0"], ("bad", "good")) == {"0": "bad", "1.0": "good"}
    assert labels_by_number(["1"], ("bad", "good")) == {"1": "good"}
    for names in (["0", "2"], ["0", "good"], ["0.5", "1"], ["-1", "1"], ["nan", "1"], ["", "1"]):
        assert labels_by_number(names, ("bad", "good")) == {}
    assert labels_by_number(["0", "1"], ("1", "2")) == {}
    assert labels_by_number([], ("bad", "good")) == {}


@given(st.integers(-500, 500).map(lambda hundredths: hundredths / 100))
def test_a_rating_falls_into_the_upper_of_two_bins_that_touch_or_into_none(rating):
    expected = np.digitize(rating, [-4.0, -0.5, 0.5, 4.0])
    names = (None, ("bad",), ("so so",), ("good",), None if rating > 4 else ("good",))[expected]

    assert names_in(rating, section(bins=BINS), "") == names
    assert names_in(str(rating), section(bins=BINS), "") == names


@pytest.mark.parametrize("cell", ["", "warm", None, float("nan"), True])
def test_what_is_no_number_falls_into_no_bin(cell):
    with pytest.raises(RecipeError, match="is not a number"):
        names_in(cell, section(bins=BINS), "")


def test_several_labels_are_a_list_or_a_separated_string():
    several = section(problem_type="multi_label", separator="|")

    assert names_in("sun | rain|sun|", several, "") == ("rain", "sun")
    assert names_in(["sun", "rain"], several, "") == ("rain", "sun")
    assert names_in("", several, "") == ()
    assert names_in([], several, "") == ()
    with pytest.raises(RecipeError, match="not a list"):
        names_in(None, several, "")


@pytest.mark.parametrize("cell", ["", " ", "nan", "NaN", None, float("nan")])
def test_a_missing_label_makes_an_unlabelled_text_only_if_the_recipe_says_so(cell):
    assert names_in(cell, section(missing="unlabelled"), "") is None
    with pytest.raises(RecipeError, match="missing"):
        names_in(cell, section(), "x.csv, line 2")


def test_nan_may_be_a_label_that_the_recipe_names():
    assert names_in("NaN", section(labels=("NaN", "curry")), "") == ("NaN",)
    assert names_in("NaN", section(rename={"NaN": "bread"}), "") == ("bread",)


def test_names_are_renamed_before_they_are_looked_up():
    named = section(rename={"Spam": "spam", "1.0": "spam"}, labels=("ham", "spam"))

    assert names_in(" Spam ", named, "") == ("spam",)
    assert names_in("1.0", named, "") == ("spam",)


def test_names_that_may_be_one_label_are_found():
    assert alike(["spam", "Spam", "ham"]) == [["Spam", "spam"]]
    assert alike(["not  good", "Not good", "1", "1.0", "2"]) == [
        ["1", "1.0"],
        ["Not good", "not  good"],
    ]
    assert alike(["1.0", "0.0"]) == [["0.0"], ["1.0"]]
    assert alike(["1.5", "2.25", "v1.0", "1", "-1"]) == []
