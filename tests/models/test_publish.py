import pytest

from models.__main__ import main
from models.published.publishing import publish_measured
from serving.bundles.bundle import read_bundle, verify
from serving.bundles.registry import read_registry
from tests.support.bundles import alter, write_bundle
from tests.support.processes import ROOT

FIGURES = read_bundle(ROOT / "models/registry/sentiment/small-int8").manifest.explanations


@pytest.fixture
def bundle(tmp_path):
    write_bundle(tmp_path / "made" / "tone" / "tiny")
    return tmp_path / "made" / "tone" / "tiny"


def publish(bundle, registry, *names):
    return main(["publish", str(bundle), "--registry", str(registry), *names])


def test_a_bundle_is_copied_whole_with_its_signature(tmp_path, bundle, capsys):
    main(["keygen", str(tmp_path / "team")])
    main(["sign", str(bundle), "--key", str(tmp_path / "team.private.pem")])

    assert publish(bundle, tmp_path / "live") == 0

    copied = tmp_path / "live" / "tone" / "tiny"
    names = sorted(path.name for path in bundle.iterdir())
    assert sorted(path.name for path in copied.iterdir()) == names
    for name in names:
        assert (copied / name).read_bytes() == (bundle / name).read_bytes(), name
    said = capsys.readouterr().out.splitlines()
    version = read_bundle(bundle).manifest.version
    assert said[-3:] == [
        f"Published {copied}, version {version}",
        "The default of tone is tiny.",
        f"Next: SIZEWISE_REGISTRY={tmp_path / 'live'} python -m serving",
    ]


def test_another_name_changes_card_and_manifest_but_no_answer(tmp_path, bundle, capsys):
    assert publish(bundle, tmp_path / "live", "--as", "mood/small") == 0

    ((made,),) = read_registry(tmp_path / "live").values()
    verify(made)
    before = read_bundle(bundle).manifest
    renamed = {"family": "mood", "variant": "small"}
    computed = {"bytes", "files"}
    assert made.manifest.model_dump(exclude=computed) == (
        before.model_dump(exclude=computed) | renamed
    )
    assert made.manifest.version == before.version
    assert "mood/small" in (made.folder / "README.md").read_text()
    assert "signature" not in capsys.readouterr().out


def test_a_lost_signature_is_said(tmp_path, bundle, capsys):
    main(["keygen", str(tmp_path / "team")])
    main(["sign", str(bundle), "--key", str(tmp_path / "team.private.pem")])

    assert publish(bundle, tmp_path / "live", "--as", "mood/small") == 0

    assert f"{tmp_path / 'live/mood/small'} has lost its signature" in capsys.readouterr().out


@pytest.mark.parametrize("names", [("--as", "tone/tiny@next"), ("--as", "mood/tiny@next")])
def test_a_version_beside_is_not_served_and_leaves_the_live_one(tmp_path, bundle, names):
    family = names[1].partition("/")[0]
    live = alter(bundle, tmp_path / "other", family=family, max_length=31)
    assert publish(live, tmp_path / "live") == 0

    assert publish(bundle, tmp_path / "live", *names) == 0

    folder = tmp_path / "live" / family
    assert sorted(path.name for path in folder.iterdir()) == ["tiny", "tiny@next"]
    assert read_bundle(folder / "tiny").manifest.max_length == 31
    beside = read_bundle(folder / "tiny@next").manifest
    assert beside.version == read_bundle(bundle).manifest.version
    assert (beside.family, beside.variant) == (family, "tiny")


@pytest.mark.parametrize(
    "name", ["", "mood", "mood/", "/small", "Mood/small", "mood/small@", "../x", "a/b/c", "a/b@c@d"]
)
def test_a_wrong_name_is_refused(tmp_path, bundle, name, capsys):
    with pytest.raises(SystemExit) as ended:
        publish(bundle, tmp_path / "live", f"--as={name}")

    assert ended.value.code == 2
    assert f"{name!r} is not FAMILY/VARIANT or FAMILY/VARIANT@NAME" in capsys.readouterr().err
    assert not (tmp_path / "live").exists()


@pytest.mark.parametrize("names", [(), ("--as", "mood/small")])
def test_a_broken_bundle_is_not_published(tmp_path, bundle, names, capsys):
    (bundle / "model.onnx").write_bytes(b"broken")

    assert publish(bundle, tmp_path / "live", *names) == 2

    assert "does not match" in capsys.readouterr().err
    assert not (tmp_path / "live").exists()


@pytest.mark.parametrize("name", ["previous", "refreshed"])
def test_names_that_other_commands_use_are_refused(tmp_path, bundle, name, capsys):
    with pytest.raises(SystemExit):
        publish(bundle, tmp_path / "live", f"--as=tone/tiny@{name}")

    assert f"@{name} is taken" in capsys.readouterr().err


def test_what_is_no_bundle_is_not_replaced(tmp_path, bundle, capsys):
    for taken in ("docs/guide", "docs/file"):
        (tmp_path / taken).parent.mkdir(exist_ok=True)
    (tmp_path / "docs" / "guide").mkdir()
    (tmp_path / "docs" / "file").write_text("mine")

    for taken in ("docs/guide", "docs/file"):
        assert publish(bundle, tmp_path, "--as", taken) == 2
        assert f"{tmp_path / taken} is no bundle: move it away" in capsys.readouterr().err

    assert (tmp_path / "docs" / "guide").is_dir()
    assert (tmp_path / "docs" / "file").read_text() == "mine"


def test_a_bundle_is_not_published_over_a_folder_that_it_lies_in(tmp_path, capsys):
    for folder in ("live/mood/small", "live/mood/small/tone/tiny"):
        write_bundle(tmp_path / folder, family="mood", variant="small")
    inner = tmp_path / "live" / "mood" / "small" / "tone" / "tiny"

    assert publish(inner, tmp_path / "live") == 2

    assert f"{inner} lies in {tmp_path / 'live/mood/small'}" in capsys.readouterr().err
    assert read_bundle(inner).manifest.family == "mood"


def test_a_family_that_leads_out_of_the_registry_is_refused(tmp_path, bundle, capsys):
    (tmp_path / "live").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "live" / "tone").symlink_to(tmp_path / "elsewhere")

    assert publish(bundle, tmp_path / "live") == 2

    assert "is a link that leads out of" in capsys.readouterr().err
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_registry_that_cannot_be_made_is_one_sentence(tmp_path, bundle, capsys):
    assert publish(bundle, tmp_path / ("x" * 300)) == 2

    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("names", [(), ("--as", "mood/small")])
def test_what_was_measured_of_the_same_version_stays_and_so_does_its_signature(
    tmp_path, bundle, names, capsys
):
    assert publish(bundle, tmp_path / "live", *names) == 0
    (there,) = read_registry(tmp_path / "live").popitem()[1]
    publish_measured(there, {"explanations": FIGURES}, tmp_path / "live")
    main(["keygen", str(tmp_path / "team")])
    main(["sign", str(there.folder), "--key", str(tmp_path / "team.private.pem")])
    capsys.readouterr()

    assert publish(bundle, tmp_path / "live", *names) == 0

    assert read_bundle(there.folder).manifest.explanations == FIGURES
    assert (there.folder / "manifest.json.sig").exists()

    other = alter(bundle, tmp_path / "other", max_length=31)
    assert publish(other, tmp_path / "live", *names) == 0
    assert read_bundle(there.folder).manifest.explanations is None
    assert f"{there.folder} has lost its signature" in capsys.readouterr().out


def test_a_version_beside_is_to_be_named_in_traffic_json_and_else_the_default_is_said(
    tmp_path, bundle, capsys
):
    assert publish(bundle, tmp_path / "live", "--as", "mood/small@next") == 0
    beside = capsys.readouterr().out
    assert publish(bundle, tmp_path / "live", "--as", "mood/small") == 0
    live = capsys.readouterr().out

    assert f"Next: name the version in {tmp_path / 'live/mood/traffic.json'}" in beside
    assert "The default of mood is small." in live
