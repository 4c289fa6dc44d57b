import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data import Sentence, assigned, divide, normalised, read_sentences
from models.recipe import DataSection

SECTION = DataSection(
    seed="0", neutral_below=0.5, validation_share=0.2, calibration_share=0.1, test_share=0.3
)
HELD_OUT = ("validation", "calibration", "test")

sentences = st.lists(
    st.builds(
        Sentence,
        text=st.text("ab !?\u00c4\u00e4", max_size=4),
        rating=st.sampled_from((-3.0, -0.5, -0.4, 0.0, 0.4, 0.5, 2.0)),
        group=st.sampled_from((None, *(f"product {n}" for n in range(9)))),
    ),
    max_size=60,
)


@given(sentences)
def test_no_text_is_in_two_splits_or_twice_in_one(given_sentences):
    splits, unlabelled = divide(given_sentences, SECTION)

    texts = [normalised(row.text) for rows in splits.values() for row in rows]
    texts += [normalised(text) for text in unlabelled]
    assert len(texts) == len(set(texts))


@given(sentences)
def test_no_review_is_in_two_splits_nor_held_out_and_unlabelled(given_sentences):
    splits, unlabelled = divide(given_sentences, SECTION)

    groups = {}
    for sentence in given_sentences:
        groups.setdefault(normalised(sentence.text), set()).add(sentence.group)
    for split, rows in splits.items():
        for row in rows:
            assert split in {
                assigned(group, SECTION) for group in groups[normalised(row.text)] if group
            }
    for text in unlabelled:
        of_text = groups[normalised(text)] - {None}
        assert not {assigned(group, SECTION) for group in of_text} & set(HELD_OUT)


@given(sentences)
def test_labels_are_the_sign_of_a_clear_rating_that_nobody_contradicts(given_sentences):
    splits, _ = divide(given_sentences, SECTION)

    clear = {}
    for sentence in given_sentences:
        if sentence.group and abs(sentence.rating) >= SECTION.neutral_below:
            clear.setdefault(normalised(sentence.text), set()).add(int(sentence.rating > 0))
    expected = {text: labels.pop() for text, labels in clear.items() if text and len(labels) == 1}
    assert expected == {normalised(r.text): r.label for rows in splits.values() for r in rows}


@given(sentences, st.randoms())
def test_the_order_of_the_sentences_moves_no_text(given_sentences, shuffled):
    unique = list({normalised(s.text): s for s in given_sentences}.values())
    reordered = list(unique)
    shuffled.shuffle(reordered)

    def placed(order):
        splits, unlabelled = divide(order, SECTION)
        return {split: set(rows) for split, rows in splits.items()}, set(unlabelled)

    assert placed(unique) == placed(reordered)


def test_shares_are_kept_and_another_seed_splits_otherwise():
    groups = [f"product {n}" for n in range(4000)]

    splits = [assigned(group, SECTION) for group in groups]
    reseeded = SECTION.model_copy(update={"seed": "1"})

    assert splits.count("test") / 4000 == pytest.approx(0.3, abs=0.03)
    assert splits.count("train") / 4000 == pytest.approx(0.4, abs=0.03)
    assert splits != [assigned(group, reseeded) for group in groups]


@pytest.mark.parametrize(
    ("one", "other"),
    [("Great  Film!", "great film"), ("\ufb01ne", "fine"), ("STRASSE", "stra\u00dfe")],
)
def test_texts_that_differ_only_in_case_punctuation_or_compatibility_are_the_same(one, other):
    assert normalised(one) == normalised(other)


def test_sentences_are_read_as_utf_8_with_the_review_as_group(tmp_path):
    for name, line in {
        "movieReviewSnippets": "1\t2.5\tLes clich\u00e9s\x85 vanish",
        "amazonReviewSnippets": "12_3\t-1.5\tIt\tbroke.",
        "tweets": "9\t0.1\tok",
        "nytEditorialSnippets": "4_1\t-2\tSad news.",
    }.items():
        (tmp_path / f"{name}_GroundTruth.txt").write_bytes(f"{line}\r\n".encode())

    movie, product, tweet, news = read_sentences(tmp_path)

    assert movie.text == "Les clich\u00e9s\x85 vanish"
    assert (product.text, product.rating, product.group) == ("It\tbroke.", -1.5, "product 12")
    assert tweet.group is None
    assert news.group is None
