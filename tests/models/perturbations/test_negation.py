from models.perturbations.negation import pairs


def test_a_pair_differs_and_no_sentence_is_both():
    found = pairs(["positive", "negative"])

    assert len(found) == 100
    positive, negative = (
        {getattr(each, name) for each in found} for name in ("positive", "negative")
    )
    assert len(positive) == len(negative) == 100
    assert not positive & negative


def test_labels_of_unknown_meaning_have_no_pairs():
    assert pairs(["sport", "politics"]) == []
    assert pairs(["positive", "negative", "neutral"]) == []
