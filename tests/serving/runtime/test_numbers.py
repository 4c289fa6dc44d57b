from serving.runtime.numbers import Numbers


def test_each_name_has_its_own_number_and_those_of_forgotten_names_are_given_again():
    told = []
    numbers = Numbers(lambda *number_and_name: told.append(number_and_name))
    first = [numbers.of(name) for name in "abcabc"]
    numbers.forget("b")
    numbers.forget("never")

    assert first == [0, 1, 2, 0, 1, 2]
    assert [numbers.of(name) for name in "de"] == [1, 3]
    assert told == [(0, "a"), (1, "b"), (2, "c"), (1, "d"), (3, "e")]
    assert numbers == {"a": 0, "c": 2, "d": 1, "e": 3}


def test_all_names_of_a_kind_are_forgotten_at_once():
    numbers = Numbers(lambda _number, _name: None)
    first = [numbers.of(name) for name in ("a", 1, "b", 2)]
    numbers.forget_all(int)

    assert numbers == {"a": first[0], "b": first[2]}
    assert sorted(numbers.of(name) for name in (3, 4)) == [first[1], first[3]]
