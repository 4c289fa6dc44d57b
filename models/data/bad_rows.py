"""Collects what is wrong with rows of tables, so that all of it is said at once."""

from models.recipe import RecipeError

_MOST_SHOWN = 20


class RowError(RecipeError):
    """One row cannot be used; those after it may be as well, or not."""


class BadRows:
    """The rows that cannot be used, in the order in which they were read."""

    def __init__(self) -> None:
        self._shown: list[str] = []
        self._count = 0

    def add(self, error: RowError) -> None:
        """Keep what is wrong with one more row."""
        self._count += 1
        if self._count <= _MOST_SHOWN:
            self._shown.append(str(error))

    def check(self) -> None:
        """Raise RecipeError with the first twenty of them if there is any."""
        if self._count <= 1:
            for said in self._shown:
                raise RecipeError(said)
            return
        rest = self._count - len(self._shown)
        more = [f"and {rest:,} more"] if rest else []
        raise RecipeError("\n".join([f"{self._count:,} rows cannot be used:", *self._shown, *more]))
