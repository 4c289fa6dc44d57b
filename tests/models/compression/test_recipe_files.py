import tomllib

from hypothesis import given
from hypothesis import strategies as st

from models.compression.recipe_files import is_edited, toml, write

CONTENT = {"family": "tone", "parent": None, "distill": {"layers": [0, 2], "width": None}}
NAMES = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
VALUES = st.one_of(
    st.text(max_size=20), st.integers(-(2**40), 2**40), st.booleans(),
    st.floats(-1e9, 1e9), st.lists(st.integers(0, 9), max_size=4),
)  # fmt: skip


def test_what_is_none_is_left_out_and_tables_follow():
    text = toml("A student.", CONTENT)

    assert tomllib.loads(text) == {"family": "tone", "distill": {"layers": [0, 2]}}
    assert text.splitlines()[1] == "# A student."


@given(st.dictionaries(NAMES, VALUES, max_size=4), st.dictionaries(NAMES, VALUES, max_size=4))
def test_toml_reads_back_what_was_written(table, pairs):
    content = {**pairs, "section": table}

    assert tomllib.loads(toml("It.", content)) == content


def test_a_file_that_was_edited_is_kept(tmp_path):
    path = tmp_path / "new" / "it.toml"
    first = toml("A student.", CONTENT)
    other = toml("A student.", CONTENT | {"family": "mood"})

    assert write(path, first) == "written"
    assert write(path, first) == "unchanged"
    assert write(path, other) == "written"
    path.write_text(path.read_text() + "# mine\n")
    assert is_edited(path.read_text())
    assert write(path, first) == "kept"
    assert path.read_text().endswith("# mine\n")
