"""The workload: generated texts of realistic length, and arrival times, both from seeds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from loadtest.scenario import regular

# Word counts are log-normal. With punctuation and the two special tokens, texts have about 27
# tokens on average and a long tail, like sentences of movie and product reviews.
MEDIAN_WORDS = 17.0
SIGMA = 0.68
MIN_WORDS, MAX_WORDS = 3, 160

_WORDS = {
    slot: words.split()
    for slot, words in {
        "noun": "film story camera phone kettle jacket plot actor ending battery screen sound "
        "price cover chair lamp script scene cable handle song novel chapter keyboard hotel meal",
        "quality": "good dull bright slow clever weak solid noisy gentle cheap honest clumsy fresh "
        "heavy sharp plain warm broken quick lovely boring careful strange tender",
        "degree": "very rather quite almost truly hardly really never always somewhat",
        "verb": "is feels looks seems became stays sounds remained",
        "action": "works fails shines drags breaks lasts surprises disappoints grows fades",
        "link": "and but because while although so",
    }.items()
}
_CLAUSES = tuple(
    pattern.split()
    for pattern in (
        "the noun verb degree quality",
        "this noun action for the quality noun",
        "i found the noun degree quality",
        "my quality noun action with every noun",
        "nobody told me that the noun action",
        "a quality noun verb better than a quality noun",
    )
)


def seeded_texts(count: int, seed: int) -> list[str]:
    """Generate `count` opinions, the same for the same seed; none contains third-party text.

    Raise ValueError if count is below 1.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    random = np.random.default_rng(seed)
    lengths = np.exp(random.normal(np.log(MEDIAN_WORDS), SIGMA, count))
    bounded = np.clip(np.rint(lengths), MIN_WORDS, MAX_WORDS).astype(int)
    return [_opinion(int(words), random) for words in bounded]


def _opinion(words: int, random: np.random.Generator) -> str:
    """Join clauses to sentences until there are exactly `words` words."""
    out: list[str] = []
    ends_sentence = True
    while len(out) < words:
        joint = [] if ends_sentence else [str(random.choice(_WORDS["link"]))]
        slots = _CLAUSES[random.integers(len(_CLAUSES))]
        clause = [str(random.choice(_WORDS[slot])) if slot in _WORDS else slot for slot in slots]
        if ends_sentence:
            clause[0] = clause[0].capitalize()
        ends_sentence = bool(random.random() < 0.5)
        clause[-1] += "." if ends_sentence else ","
        out += joint + clause
    return " ".join(out[:words]).rstrip(",.") + "."


def texts_from(path: Path) -> list[str]:
    """Read texts from a UTF-8 file, one per line; skip blank lines.

    Raise ValueError if the file cannot be read or has no text.
    """
    try:
        lines = regular(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"texts = {path}: {error}; give a UTF-8 file with one text per line"
        ) from error
    texts = [line.strip() for line in lines if line.strip()]
    if not texts:
        raise ValueError(f"texts = {path} has no text: write one text per line")
    return texts


def pairs_of(texts: Sequence[str]) -> list[list[str]]:
    """Return the two texts of each line with a tab; pair a line without one with the next line."""
    following = [*texts[1:], *texts[:1]]
    return [
        text.split("\t", 1) if "\t" in text else [text, other.split("\t", 1)[0]]
        for text, other in zip(texts, following, strict=True)
    ]


def poisson_arrivals_s(rate_rps: float, duration_s: float, seed: int) -> NDArray[np.float64]:
    """Draw the arrival times of a Poisson process on [0, duration_s), ascending, in seconds.

    Given their number, the arrivals of a Poisson process are sorted uniform draws (Ross,
    Stochastic Processes, 2nd ed., theorem 2.3.1).
    """
    random = np.random.default_rng(seed)
    return np.sort(random.uniform(0.0, duration_s, random.poisson(rate_rps * duration_s)))


def constant_arrivals_s(rate_rps: float, duration_s: float) -> NDArray[np.float64]:
    """Return arrival times on [0, duration_s) at equal intervals, in seconds."""
    return np.arange(0.0, duration_s, 1.0 / rate_rps)


def ramp_arrivals_s(rate_rps: float, duration_s: float, seed: int) -> NDArray[np.float64]:
    """Draw Poisson arrivals on [0, duration_s) whose rate rises linearly from 0 to `rate_rps`.

    They are sorted draws from a density proportional to the rate.
    """
    random = np.random.default_rng(seed)
    draws = random.uniform(0.0, 1.0, random.poisson(rate_rps * duration_s / 2.0))
    times_s: NDArray[np.float64] = duration_s * np.sqrt(np.sort(draws))
    return times_s


def recorded_arrivals_s(path: Path, duration_s: float) -> NDArray[np.float64]:
    """Read arrival times in seconds, one per line; count from the first, up to `duration_s`.

    Raise ValueError if the file cannot be read or has no time.
    """
    try:
        times_s = np.sort(np.loadtxt(path, dtype=np.float64, ndmin=1))
    except (OSError, ValueError) as error:
        raise ValueError(f"trace = {path}: {error}; give one time in seconds per line") from error
    if not times_s.size or not np.isfinite(times_s).all():
        raise ValueError(f"trace = {path}: times must be finite; give one in seconds per line")
    since_first_s = times_s - times_s[0]
    inside: NDArray[np.float64] = since_first_s[since_first_s < duration_s]
    return inside
