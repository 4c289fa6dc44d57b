"""What look-alikes, invisible characters and keys beside each other are."""

import unicodedata

from models.perturbations.letters import CONFUSABLES, INVISIBLE, NEIGHBOURS


def test_keys_beside_each_other_are_so_both_ways():
    assert set(NEIGHBOURS["a"]) == set("qwsz")
    assert set(NEIGHBOURS["g"]) == set("tyfhvb")
    for key, beside in NEIGHBOURS.items():
        assert beside
        assert all(key in NEIGHBOURS[other] for other in beside)


def test_look_alikes_are_letters_of_another_script_that_no_normalisation_undoes():
    for letter, other in CONFUSABLES.items():
        assert letter.isascii()
        assert not other.isascii()
        assert other.isalpha()
        assert unicodedata.normalize("NFKC", other) == other
        assert other.isupper() == letter.isupper()


def test_what_is_invisible_is_a_format_character():
    assert {unicodedata.category(each) for each in INVISIBLE} == {"Cf"}
