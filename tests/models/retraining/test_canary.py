"""New versions beside the live ones, tried, promoted or withdrawn, wherever that is interrupted."""

import asyncio
import json
import shutil
from datetime import UTC, datetime

import pytest

from models.retraining import canary, family_files
from models.retraining.canary import promote, publish_beside, start_canaries, withdraw
from models.retraining.verdict import Compared
from models.signing import sign
from serving.bundles.bundle import read_bundle, write_manifest
from serving.bundles.registry import publish
from serving.errors import BundleError
from serving.runtime.local import LocalRuntime
from serving.runtime.reconciler import Reconciler
from serving.settings import Settings
from tests.support.next_versions import publish_next
from tests.support.null_serving import NullEngine
from tests.support.risks import robustness
from tests.support.signed import new_keys

STEPS = (
    (canary, "_write"),
    (canary, "publish"),
    (canary, "create_beside"),
    (family_files, "write_family_file"),
)


def before_each_step(monkeypatch, act):
    """Call `act` before whatever changes the registry."""
    for module, name in STEPS:
        step = getattr(module, name)

        def observed(*arguments, step=step, **fields):
            act()
            return step(*arguments, **fields)

        monkeypatch.setattr(module, name, observed)


def tried(home, weight=0.1):
    """The new versions, as canaries."""
    versions = publish_beside(home.made, home.registry, "tone")
    start_canaries(home.registry, "tone", versions, weight)
    return versions


def state(home):
    return home.folders(), home.texts()


def test_new_versions_are_published_beside_and_an_earlier_one_is_replaced(home, tmp_path):
    earlier = publish_next(tmp_path / "earlier", tmp_path / "x", variant="tiny", scale=3.0)
    publish(tmp_path / "x", home.registry, "@refreshed")
    assert home.folders()["tiny@refreshed"] == earlier

    assert publish_beside(home.made, home.registry, "tone") == home.new
    assert publish_beside(home.made, home.registry, "tone") == home.new

    assert home.folders() == home.old | {f"{v}@refreshed": its for v, its in home.new.items()}


def test_a_version_that_is_live_already_is_not_tried(home):
    shutil.rmtree(home.made / "tone/wide")
    publish(home.registry / "tone/wide", home.made)
    for name in ("cascade.json", "decisions.json"):
        (home.folder / name).unlink()
        (home.made / "tone" / name).unlink()

    assert publish_beside(home.made, home.registry, "tone") == {"tiny": home.new["tiny"]}


def test_canaries_get_their_share_and_the_rest_of_the_file_stays(home):
    beside = {"wide": {"shadow": {"version": home.old["wide"], "share": 0.5}}}
    (home.folder / "traffic.json").write_text(json.dumps(beside))
    versions = publish_beside(home.made, home.registry, "tone")
    before = datetime.now(UTC)

    said = []
    canaries = start_canaries(home.registry, "tone", versions, 0.2, said.append)

    assert ["decisions.json" in each for each in said] == [True]
    assert canaries.versions == {
        name: Compared(live=home.old[name], canary=home.new[name]) for name in home.new
    }
    assert before <= canaries.since <= datetime.now(UTC)
    assert json.loads(home.texts()["traffic.json"]) == {
        "tiny": {"canary": {"version": home.new["tiny"], "weight": 0.2}},
        "wide": {"canary": {"version": home.new["wide"], "weight": 0.2}, **beside["wide"]},
    }
    there = state(home)
    assert start_canaries(home.registry, "tone", versions, 0.2).versions == canaries.versions
    assert state(home) == there


def test_a_promotion_keeps_the_old_versions_and_brings_the_familys_files(home):
    versions = tried(home)

    promote(home.made, home.registry, "tone", versions)

    assert home.folders() == home.new | {f"{v}@previous": its for v, its in home.old.items()}
    texts = home.texts()
    assert texts.keys() == {"cascade.json", "decisions.json"}
    for name, text in texts.items():
        assert json.loads(text) == json.loads((home.made / "tone" / name).read_text())
    there = state(home)
    promote(home.made, home.registry, "tone", versions)
    assert state(home) == there


def test_a_withdrawal_leaves_what_was_before(home):
    other = {"wide": {"shadow": {"version": home.old["wide"], "share": 0.5}}}
    (home.folder / "traffic.json").write_text(json.dumps(other))
    before = home.folders(), json.loads(home.texts()["traffic.json"])
    versions = tried(home)

    withdraw(home.registry, "tone", versions)
    withdraw(home.registry, "tone", versions)

    assert (home.folders(), json.loads(home.texts()["traffic.json"])) == before


def test_a_withdrawn_shadow_goes_too_and_an_empty_file_is_removed(home):
    versions = tried(home)
    traffic = json.loads(home.texts()["traffic.json"])
    traffic["tiny"]["shadow"] = {"version": versions["tiny"]}
    (home.folder / "traffic.json").write_text(json.dumps(traffic))

    withdraw(home.registry, "tone", versions)

    assert "traffic.json" not in home.texts()


class Killed(BaseException):
    pass


def go_on(home, ending, done):
    """Do what is not `done` of a turn, as a command that records each step."""
    steps = {
        "publish": lambda: publish_beside(home.made, home.registry, "tone"),
        "start": lambda: start_canaries(home.registry, "tone", home.new, 0.1),
        "promote": lambda: promote(home.made, home.registry, "tone", home.new),
        "withdraw": lambda: withdraw(home.registry, "tone", home.new),
    }
    for name in ("publish", "start", ending):
        if name not in done:
            steps[name]()
            done.append(name)


@pytest.mark.parametrize(("ending", "steps"), [("promote", 11), ("withdraw", 6)])
def test_a_turn_that_is_killed_before_any_step_ends_alike_when_started_again(
    home, tmp_path, monkeypatch, ending, steps
):
    shutil.copytree(home.registry, tmp_path / "kept")
    go_on(home, ending, [])
    wanted = state(home)
    for killed_before in range(steps):
        shutil.rmtree(home.registry)
        shutil.copytree(tmp_path / "kept", home.registry)
        left, done = iter(range(killed_before)), []

        def step(left=left):
            if next(left, None) is None:
                raise Killed

        with monkeypatch.context() as patched:
            before_each_step(patched, step)
            with pytest.raises(Killed):
                go_on(home, ending, done)
        go_on(home, ending, done)
        assert state(home) == wanted, f"killed before step {killed_before}"


def test_a_running_server_serves_all_old_or_all_new_at_every_step(home, monkeypatch):
    settings = Settings(registry=[home.registry], engine="onnxruntime", threads=1)
    seen = []
    loop = asyncio.new_event_loop()
    reconciler = Reconciler(settings, LocalRuntime(settings, {"onnxruntime": NullEngine}))

    def look():
        loop.run_until_complete(reconciler.rescan())
        served = reconciler.served
        live = {v: each.live.manifest.version for v, each in served.families["tone"].items()}
        assert live in (home.old, home.new)
        cascade = {each.variant: each.version for each in served.cascades["tone"].stages}
        assert cascade == live, "its cascade is that of the versions that it serves"
        seen.append((live == home.new, [each.rpartition("/")[2] for each in served.refused]))

    loop.run_until_complete(reconciler.load())
    before_each_step(monkeypatch, look)
    versions = tried(home)
    promote(home.made, home.registry, "tone", versions)
    look()
    reconciler._runtime.close()
    loop.close()

    first_new = seen.index((True, []))
    refused = [place for place, (_, reasons) in enumerate(seen) if reasons]
    assert refused == [first_new - 2, first_new - 1], "the moment until traffic.json follows"
    assert {reason for _, reasons in seen for reason in reasons} == {"cascade.json"}
    assert len(seen) == 12


def _floor(home):
    """The live version of `wide` is shown to reach a floor, and the new one was never stressed."""
    bundle = read_bundle(home.folder / "wide")
    fields = bundle.manifest.model_dump(exclude={"version", "bytes", "files"})
    write_manifest(bundle.folder, **fields | {"robustness": robustness(0.1, 0.2)})
    (home.folder / "policy.json").write_text('{"floor": {"max_stress_drop": 0.3}}')


def _any_number_of_labels(home):
    scratch = home.made.parent / "multi"
    publish_next(home.made, scratch, variant="tiny", problem_type="multi_label")


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (lambda h: shutil.rmtree(h.registry / "tone/tiny"), "has no tone/tiny to compare it with"),
        (_any_number_of_labels, "other labels than the live version"),
        (lambda h: shutil.copytree(h.registry, h.made, dirs_exist_ok=True), "not live already"),
        (lambda h: (h.made / "tone/cascade.json").unlink(), "run `python -m models cascade` again"),
        (lambda h: (h.made / "tone/decisions.json").unlink(), "run `python -m models decide`"),
        (lambda h: (h.made / "tone/cascade.json").write_text("{"), "cascade.json"),
        (lambda h: (h.folder / "traffic.json").write_text('{"tiny": 1}'), "traffic.json: tiny"),
        (_floor, "policy.json: no variant of .* is shown to reach the floor"),
        (lambda h: shutil.rmtree(h.made / "tone"), "holds no bundle"),
    ],
)
def test_what_cannot_go_live_is_refused_before_anything_is_published(home, prepare, says):
    prepare(home)
    before = state(home)

    with pytest.raises(BundleError, match=says):
        publish_beside(home.made, home.registry, "tone")

    assert state(home) == before


def test_a_second_canary_a_version_in_the_way_and_a_wrong_weight_are_refused(home, tmp_path):
    versions = publish_beside(home.made, home.registry, "tone")
    for weight in (0, 1, -1):
        with pytest.raises(BundleError, match="has to be between 0 and 1"):
            start_canaries(home.registry, "tone", versions, weight)
    with pytest.raises(BundleError, match="has no version 0123456789abcdef"):
        start_canaries(home.registry, "tone", {"tiny": "0123456789abcdef"}, 0.1)
    with pytest.raises(BundleError, match="is live already"):
        start_canaries(home.registry, "tone", {"tiny": home.old["tiny"]}, 0.1)
    start_canaries(home.registry, "tone", versions, 0.1)
    before = state(home)
    with pytest.raises(BundleError, match="has a canary already"):
        start_canaries(home.registry, "tone", {"tiny": home.old["tiny"]}, 0.1)
    publish_next(tmp_path / "more", tmp_path / "x", variant="tiny", scale=3.0)
    for name in ("cascade.json", "decisions.json"):
        shutil.copy(home.made / "tone" / name, tmp_path / "more/tone" / name)
    with pytest.raises(BundleError, match="rename that folder, or take the version out"):
        publish_beside(tmp_path / "more", home.registry, "tone")
    assert state(home) == before


def test_a_rollback_that_a_promotion_would_overwrite_is_refused(home):
    promote(home.made, home.registry, "tone", tried(home))
    (home.folder / "traffic.json").write_text(json.dumps({"tiny": {"version": home.old["tiny"]}}))
    shutil.copytree(home.folder / "wide@previous", home.folder / "wide@mine")

    with pytest.raises(BundleError, match="tiny@previous, which would be replaced"):
        start_canaries(home.registry, "tone", {"tiny": home.new["tiny"]}, 0.1)


def test_signatures_go_live_with_their_bundles_and_a_missing_one_is_said(home, tmp_path):
    private, _ = new_keys(tmp_path, "key")
    sign(home.registry, private)
    said = []

    versions = publish_beside(home.made, home.registry, "tone", said.append)
    assert ["tiny@refreshed is not signed" in said[0], "wide@refreshed" in said[1]] == [True] * 2
    sign(home.registry, private)
    start_canaries(home.registry, "tone", versions, 0.1)
    promote(home.made, home.registry, "tone", versions)

    for variant in versions:
        assert (home.folder / variant / "manifest.json.sig").exists()
        assert read_bundle(home.folder / variant).manifest.version == home.new[variant]
