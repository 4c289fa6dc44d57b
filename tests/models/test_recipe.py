import re
from pathlib import Path

import pytest

from models.recipe import RECIPES, RecipeError, in_parent_order, lineage, read_recipe
from tests.support.chinese_recipes import ROOT, write_chinese
from tests.support.tiny_recipes import STUDENT, TEACHER, write_recipes


def test_the_variant_is_the_name_of_the_file(tmp_path):
    write_recipes(tmp_path)

    recipe = read_recipe(tmp_path / "student-fp32.toml")

    assert (recipe.variant, recipe.parent, recipe.family) == (
        "student-fp32",
        "teacher-fp32",
        "tone",
    )


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ("epochs = 12", "epochs = 12\nepochz = 7", "train.epochz"),
        ("epochs = 12", "epochs = 0", "train.epochs"),
        ("epochs = 12", "", "train.epochs"),
        ("epochs = 12", 'epochs = 12\nnormalize = ["nfc"]', "train.normalize.0"),
        ("test_share = 0.2", "test_share = 1.5", "data.test_share"),
        ("learning_rate = 3e-3", 'learning_rate = "fast"', "train.learning_rate"),
        ('family = "tone"', 'family = "tone"\nflavour = 1', "flavour"),
        ("test_share = 0.2", "test_share = 0.7", "the shares leave nothing to train on"),
        ("[0.5, 4.0]", "[-1.0, 4.0]", "negative and positive overlap"),
        ("[0.5, 4.0]", "[4.0, 0.5]", "write the smaller number first"),
        (", positive = [0.5, 4.0]", "", "list two or more"),
        ('group = "group"', 'separator = "|"', "separator needs"),
        ('group = "group"', 'labels = ["a", "a"]', "lists a name twice"),
        ('group = "group"', 'labels = ["a"]', "too few names"),
        ("news.jsonl", "movies.jsonl", "listed twice"),
    ],
)
def test_a_wrong_key_is_named(tmp_path, before, after, key):
    path = tmp_path / "teacher-fp32.toml"
    assert before in TEACHER
    path.write_text(TEACHER.replace(before, after))

    with pytest.raises(RecipeError, match=re.escape(key)) as refusal:
        read_recipe(path)

    assert str(path) in str(refusal.value)


def test_a_recipe_that_is_no_toml_is_refused(tmp_path):
    path = tmp_path / "teacher-fp32.toml"
    path.write_text("family = ")

    with pytest.raises(RecipeError, match="cannot be read as a recipe"):
        read_recipe(path)


def test_a_student_without_a_parent_is_refused(tmp_path):
    path = tmp_path / "student-fp32.toml"
    path.write_text(STUDENT.replace('parent = "teacher-fp32"', ""))

    with pytest.raises(RecipeError, match="without a parent has the sections"):
        read_recipe(path)


def test_lineage_starts_at_the_teacher(tmp_path):
    write_recipes(tmp_path)

    recipes = lineage(tmp_path / "student-int8.toml")

    assert [r.variant for r in recipes] == ["teacher-fp32", "student-fp32", "student-int8"]


def test_a_circle_of_parents_is_refused(tmp_path):
    write_recipes(tmp_path)
    (tmp_path / "student-fp32.toml").write_text(STUDENT.replace("teacher-fp32", "student-fp32"))

    with pytest.raises(RecipeError, match="is its own ancestor"):
        lineage(tmp_path / "student-fp32.toml")


def test_a_missing_parent_is_named(tmp_path):
    write_recipes(tmp_path)
    (tmp_path / "teacher-fp32.toml").unlink()

    with pytest.raises(RecipeError, match=r"teacher-fp32\.toml"):
        lineage(tmp_path / "student-int8.toml")


def test_the_project_s_own_recipes_are_readable_and_parents_come_first():
    for folder in filter(Path.is_dir, RECIPES.iterdir()):
        made = []
        for path in in_parent_order(folder):
            recipe = read_recipe(path)
            assert folder.name in (recipe.family, f"{recipe.family}-static")
            assert recipe.parent is None or recipe.parent in made
            made.append(recipe.variant)
        assert made[0] in ("teacher-fp32", "static-fp32")


def test_a_folder_without_recipes_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="contains no recipe"):
        in_parent_order(tmp_path)


STATIC = ROOT[ROOT.index("[static]") :]


@pytest.mark.parametrize(
    ("recipe", "key"),
    [
        (ROOT.replace("max_length = 32", ""), "max_length is required in a recipe without"),
        (ROOT.replace('"learnt"', '"teacher"'), "no teacher has a vocabulary to take: set voc"),
        (ROOT.replace("width = 16", "width = 0"), "static.width"),
        (f"{ROOT}\naugmented_copies = 1", "augmented_copies needs a teacher"),
        (f'{ROOT}\naugmented_by = ["rhymes"]', "static.augmented_by"),
        (f"{ROOT}\naugmented_by = []", "static.augmented_by"),
        (ROOT.replace("[static]", "[train]"), "train.base"),
        (f'family = "tone"\nparent = "a"\n{STATIC}', "remove teacher and max_length"),
    ],
)
def test_a_wrong_static_section_is_refused(tmp_path, recipe, key):
    path = tmp_path / "static-fp32.toml"
    path.write_text(recipe)

    with pytest.raises(RecipeError, match=re.escape(key)):
        read_recipe(path)


@pytest.mark.parametrize(
    ("parent", "kind"), [("static-fp32", "a static classifier"), ("static-int8", "quantized")]
)
def test_a_student_with_layers_needs_a_parent_with_layers(tmp_path, parent, kind):
    write_chinese(tmp_path / "recipes")
    path = tmp_path / "recipes" / "student-fp32.toml"
    path.write_text(STUDENT.replace("teacher-fp32", parent))

    with pytest.raises(RecipeError, match=rf"student-fp32\.toml: distill needs .* is {kind}: name"):
        lineage(path)
