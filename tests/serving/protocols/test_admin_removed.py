from types import SimpleNamespace

import pytest

from serving.bundles.registry import Found
from serving.errors import UnknownModel
from serving.protocols.admin import Admin
from serving.settings import Settings


class Vanishing(SimpleNamespace):
    """A reconciler whose rescan no longer finds the family."""

    async def _rescan(self, *_arguments):
        self.found = Found()

    unload = reload = set_traffic = _rescan


@pytest.mark.parametrize("call", ["unload", "load", "undirect"])
async def test_a_family_that_is_removed_during_the_call_is_unknown_and_no_bug(call):
    reconciler = Vanishing(
        found=Found(bundles={"guest": []}),
        served=SimpleNamespace(families={}, resting=(), unloaded=()),
        overrides={},
    )
    admin = Admin(Settings(), reconciler, SimpleNamespace(bytes_of=len))

    with pytest.raises(UnknownModel, match="no model 'guest'"):
        await getattr(admin, call)("guest")
