import pytest

from models.recipe import RecipeError
from models.training.encodings import token_ids
from serving.inference.inputs import Unreadable
from tests.support.bundles import encoded


def test_a_text_that_the_tokenizer_cannot_read_is_named():
    class Broken:
        def encode(self, _texts):
            return [*encoded([1, 2]), Unreadable("no unknown token")]

    with pytest.raises(RecipeError, match=r"'zzz' \(no unknown token\)"):
        token_ids(Broken(), ["good", "zzz"])
