"""The texts and pairs that every architecture is asked, by what is tried with them."""

LONG = "the plot was dull, and the film was a warm surprise with 12 lazy dogs: "
SINGLE = ["a warm film", "The plot was DULL!", "x", "très bien, merci: 悪い 🙁", "awful camera"]
# Nothing that is seen, or nothing at all once it is normalised.
BLANK = [" ", "\n\t ", "\u200b", "\ufeff"]
PAIRS = [
    ("a warm film", "the plot was dull"),
    ("The quick brown FOX", "jumps"),
    ("x", "très bien, merci: a superb camera with a noisy battery"[:40]),
    ("awful!", "awful!"),
    (" ", "a film"),
    ("a film", "\u200b"),
]
CUT = [LONG * 3, "é" * 90, "a noisy screen " * 9, f"{LONG} the end"]
CUT_PAIRS = [
    (LONG * 3, "a warm film"),
    ("a warm film", LONG * 3),
    (LONG * 3, "the battery is awful! " * 9),
    ("naïve café " * 9, "naïve café " * 9),
]
