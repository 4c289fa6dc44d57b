"""Collects what is wrong with rows of tables, so that all of it is said at once."""

from itertools import takewhile

from models.recipe import RecipeError

_MOST_SHOWN = 20


class RowError(RecipeError):
    """One row cannot be used; those after it may be as well, or not."""


class BadRows:
    """The rows that cannot be used, in the order in which they were read."""

    def __init__(self) -> None:
        self._shown: list[str] = []
        self._count = 0
        self._ending = ""

    def add(self, error: RowError) -> None:
        """Keep what is wrong with one more row."""
        said = str(error)
        self._ending = _common_ending(self._ending, said) if self._count else said
        self._count += 1
        if self._count <= _MOST_SHOWN:
            self._shown.append(said)

    def check(self) -> None:
        """Raise RecipeError with the first twenty of them if there is any."""
        if self._count <= 1:
            for said in self._shown:
                raise RecipeError(said)
            return
        rest = self._count - len(self._shown)
        more = [f"and {rest:,} more"] if rest else []
        _, _, common = self._ending.partition(": ")
        if common:
            more.append(f"each of them: {common}")
        shown = [said.removesuffix(f": {common}") for said in self._shown]
        raise RecipeError("\n".join([f"{self._count:,} rows cannot be used:", *shown, *more]))


def _common_ending(one: str, other: str) -> str:
    pairs = zip(reversed(one), reversed(other), strict=False)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return one[len(one) - same :]
