import pytest

from models.data.sources import Place, fetched, locations, place
from models.recipe import RecipeError, read_recipe
from tests.support.tiny_recipes import TEACHER


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "teacher.toml").write_text(TEACHER)
    return read_recipe(tmp_path / "teacher.toml")


@pytest.mark.parametrize(
    ("location", "expected", "told"),
    [
        ("hub:owner/name", Place(None, "owner/name"), "hub:owner/name"),
        ("hub:name#de:test", Place(None, "name", "de", "test"), "hub:name#de"),
        ("hub:owner/name:dev", Place(None, "owner/name", None, "dev"), "hub:owner/name"),
    ],
)
def test_a_hub_name_may_have_a_configuration_and_a_split(
    recipe, tmp_path, location, expected, told
):
    found = place(location, recipe, tmp_path)

    assert found == expected
    assert str(found) == told
    assert found.name == expected.hub


def test_a_path_is_relative_to_the_recipe_and_may_have_a_split(recipe, tmp_path):
    (tmp_path / "days").mkdir()

    assert place("days", recipe, tmp_path / "sources") == Place(tmp_path / "days")
    assert place("days:test", recipe, tmp_path / "sources").split == "test"
    assert place(str(tmp_path / "days"), recipe, tmp_path) == Place(tmp_path / "days")


def test_what_is_fetched_lies_in_the_sources(recipe, tmp_path):
    (tmp_path / "sources" / "base").mkdir(parents=True)

    assert place("fetched:base", recipe, tmp_path / "sources").path == tmp_path / "sources" / "base"


def test_a_path_that_is_not_there_is_refused(recipe, tmp_path):
    with pytest.raises(RecipeError, match=r"nights\.csv is not there: correct `nights\.csv`"):
        place("nights.csv", recipe, tmp_path)


def test_each_stage_asks_for_its_own_sources_alone(recipe):
    assert fetched(recipe, "train") == {"base"}
    assert fetched(recipe, "data") == {f"sentences/{kind}.jsonl" for kind in KINDS}
    assert list(locations(recipe, "export")) == []


KINDS = ("movies", "products", "tweets", "news")
