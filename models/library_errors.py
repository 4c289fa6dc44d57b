"""The errors of other libraries in a line."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, which says what is wrong; or its type."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".: ") if lines else type(error).__name__
