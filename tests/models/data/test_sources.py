import pytest

from models.data.sources import Source, fetched, locations, resolve
from models.recipe import RecipeError, read_recipe
from tests.support.tiny_recipes import TEACHER


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "teacher.toml").write_text(TEACHER)
    return read_recipe(tmp_path / "teacher.toml")


@pytest.mark.parametrize(
    ("location", "expected", "told"),
    [
        ("hub:owner/name", Source(None, "owner/name"), "hub:owner/name"),
        ("hub:name#de:test", Source(None, "name", "de", "test"), "hub:name#de"),
        ("hub:owner/name:dev", Source(None, "owner/name", None, "dev"), "hub:owner/name"),
    ],
)
def test_a_hub_name_may_have_a_configuration_and_a_split(
    recipe, tmp_path, location, expected, told
):
    found = resolve(location, recipe, tmp_path)

    assert found == expected
    assert str(found) == told
    assert found.name == expected.hub


def test_a_path_is_relative_to_the_recipe_and_may_have_a_split(recipe, tmp_path):
    (tmp_path / "days").mkdir()

    assert resolve("days", recipe, tmp_path / "sources") == Source(tmp_path / "days")
    assert resolve("days:test", recipe, tmp_path / "sources").split == "test"
    assert resolve(str(tmp_path / "days"), recipe, tmp_path) == Source(tmp_path / "days")


def test_a_path_is_named_without_the_way_through_the_recipes_folder(tmp_path):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "teacher.toml").write_text(TEACHER)
    (tmp_path / "days.csv").touch()
    (tmp_path / "other" / "recipes").mkdir(parents=True)
    (tmp_path / "other" / "days.csv").touch()
    (tmp_path / "link").symlink_to(tmp_path / "other" / "recipes")
    (tmp_path / "other" / "recipes" / "teacher.toml").write_text(TEACHER)

    found = [
        resolve("../days.csv", read_recipe(tmp_path / folder / "teacher.toml"), tmp_path).path
        for folder in ("recipes", "link")
    ]

    assert found[0] == tmp_path / "days.csv"
    assert found[1].samefile(tmp_path / "other" / "days.csv")


def test_a_fetched_name_is_found_in_the_downloads(recipe, tmp_path):
    (tmp_path / "sources" / "base").mkdir(parents=True)

    found = resolve("fetched:base", recipe, tmp_path / "sources")

    assert found.path == tmp_path / "sources" / "base"


def test_a_path_that_is_not_there_is_refused(recipe, tmp_path):
    with pytest.raises(RecipeError, match=r"nights\.csv does not exist: correct `nights\.csv`"):
        resolve("nights.csv", recipe, tmp_path)


def test_each_stage_asks_for_its_own_sources_alone(recipe):
    assert fetched(recipe, "train") == {"base"}
    assert fetched(recipe, "data") == {f"sentences/{kind}.jsonl" for kind in KINDS}
    assert list(locations(recipe, "export")) == []


KINDS = ("movies", "products", "tweets", "news")
