"""What [data] of a recipe declares, checked: an encoding, and bins that make numbers labels."""

from itertools import pairwise


def check_encoding(name: str) -> None:
    """Raise ValueError unless `name` is an encoding."""
    try:
        b"a".decode(name)
    except UnicodeDecodeError:
        return
    except LookupError as error:
        raise ValueError(
            f'encoding: {name!r} is none: write one such as "utf-8", "cp1252" or "gb18030"'
        ) from error


def check_bins(bins: dict[str, tuple[float, float]], single: bool) -> None:
    """Raise ValueError unless the bins are two or more that do not overlap."""
    if not single or len(bins) < 2:
        raise ValueError('bins: list two or more, with problem_type = "single_label"')
    ordered = sorted(bins, key=lambda name: bins[name])
    for name in ordered:
        low, high = bins[name]
        if not low < high:
            raise ValueError(f"bins: {name} is [{low}, {high}]: write the smaller number first")
    for lower, upper in pairwise(ordered):
        if bins[lower][1] > bins[upper][0]:
            raise ValueError(f"bins: {lower} and {upper} overlap: let them share an edge at most")
