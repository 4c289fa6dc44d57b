import json

from models.data.package_texts import comment_lines, email_line, rated_lines, review_lines


def test_rated_sentences_have_their_review_or_else_their_text_as_group():
    product = rated_lines("products", "12_3\t-1.5\tIt\tbroke.\r\n")
    movie = rated_lines("movies", "1\t2.5\tLes clich\u00e9s\x85 vanish!")

    assert [json.loads(line) for line in (*product, *movie)] == [
        {"text": "It\tbroke.", "rating": -1.5, "group": "product 12"},
        {
            "text": "Les clich\u00e9s\x85 vanish!",
            "rating": 2.5,
            "group": "movie les clich\u00e9s vanish",
        },
    ]


def test_every_sentence_of_a_review_is_a_text():
    table = '"1","a "" fine "" plot , \n  well acted . \n\n"\n"0","dull\n"\n'

    assert [json.loads(line) for line in review_lines(table)] == [
        {"text": 'a " fine " plot ,'},
        {"text": "well acted ."},
        {"text": "dull"},
    ]


def test_a_comment_is_what_its_author_wrote():
    comments = (r"You are\xa0\ndull.", r"caf\\xc3\\xa9", r"\\u2019 it\'s", r"na\xefve C:\dir")
    table = "Insult,Date,Comment\n" + "".join(
        f'{int(not number)},20120618192155Z,"""{comment}"""\n'
        for number, comment in enumerate(comments)
    )

    assert [json.loads(line) for line in comment_lines(table)] == [
        {"text": "You are dull.", "label": "insult"},
        {"text": "caf\u00e9", "label": "harmless"},
        {"text": "\u2019 it's", "label": "harmless"},
        {"text": "na\u00efve C:\\dir", "label": "harmless"},
    ]


def test_an_email_is_its_subject_and_plain_text_and_its_thread_is_a_group():
    first = email_line(b"From: a\nSubject: [list] Re: Fwd: Disk  full\n\nTry\n\n df.\n", "ham")
    second = email_line(b"Subject: re[2]: disk full\n\nThanks", "ham")

    assert json.loads(first) == {
        "text": "[list] Re: Fwd: Disk full Try df.",
        "label": "ham",
        "group": "disk full",
    }
    assert json.loads(second)["group"] == "disk full"


def test_markup_is_no_text_and_unknown_encodings_are_read():
    page = (
        b"Content-Type: text/html; charset=DEFAULT\n\n<!-- x > y --><STYLE>p {}</STYLE>"
        b"<p class='a'>Fr\xe9e &amp; easy, 1 < 2</p>"
    )

    assert json.loads(email_line(page, "spam")) == {
        "text": "Fr\u00e9e & easy, 1 < 2",
        "label": "spam",
        "group": "fr\u00e9e easy 1 2",
    }


def test_an_email_without_text_is_none():
    assert email_line(b"Content-Type: image/png\n\nabc", "spam") is None
    assert email_line(b"Subject:\n\n \n", "spam") is None
