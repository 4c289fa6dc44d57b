"""What the soak serves, to whom, and with which settings."""

import hashlib
import json
import shutil
from pathlib import Path

from serving.bundles.bundle import read_bundle
from serving.bundles.cascade import CASCADE_NAME
from serving.bundles.registry import POLICY_NAME, publish
from serving.bundles.windows import WINDOWS_NAME
from tests.support.bundles import alter, write_bundle
from tests.support.cascades import cascade_of
from tests.support.odd_graphs import write_reranker
from tests.support.processes import ROOT, free_port

SHIPPED = ROOT / "models/registry/sentiment"
SMALL, MEDIUM = "small-int8", "medium-int8"
API_KEY, LIMITED_KEY, ADMIN_KEY = "soak-api-key", "soak-limited-key", "soak-admin-key"
MOST_BODY_BYTES = 65_536
BODY_TIMEOUT_MS = 1000
LIMITED_TEXTS_PER_S = 50
TINY = {"tiny": {"accuracy": 0.85}, "wide": {"scale": 2.5, "slow": True, "accuracy": 0.9}}
"""The variants of the small families, as write_bundle makes them."""
PAIRS = {"passages": ("relevant",), "nli": ("contradiction", "neutral", "entailment")}
"""Families of pairs, with their labels."""


class World:
    """The registry's families: `sentiment` and `leave` are shipped, the others small.

    `passages` reranks, `nli` knows entailment, and `leave` reads long texts in windows.

    Nothing but the answers to clients that leave is uncertain, so they have `leave` to themselves.
    """

    def __init__(self, folder: Path):
        self.registry = folder / "registry"
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self._scratch = folder / "scratch"
        self._made = 0
        for variant in TINY:
            self.swap("tone", variant)
        for name in (SMALL, MEDIUM):
            publish(SHIPPED / name, self.registry)
        self.write_cascade()
        leaving = alter(SHIPPED / MEDIUM, self._scratch / "leave", family="leave")
        publish(leaving, self.registry)
        replace(self.registry / "leave" / WINDOWS_NAME, '{"long": "windows"}')
        replace(self.registry / "tone" / POLICY_NAME, '{"harmless": ["positive"]}')
        for family, labels in PAIRS.items():
            write_reranker(self._scratch / family, family, labels=labels)
            publish(self._scratch / family, self.registry)
        self.callers = folder / "callers.json"
        hashed = hashlib.sha256(LIMITED_KEY.encode()).hexdigest()
        entry = {"key_sha256": hashed, "texts_per_s": LIMITED_TEXTS_PER_S}
        self.callers.write_text(json.dumps({"limited": entry}))

    def settings(self, **others):
        return {
            "callers": self.callers,
            "api_key": API_KEY,
            "admin_key": ADMIN_KEY,
            "admin_port": free_port(),
            "grpc_port": free_port(),
            "default_model": "tone",
            "cache_texts": 5000,
            "max_body_bytes": MOST_BODY_BYTES,
            "max_queue_texts": 512,
            "body_timeout_ms": BODY_TIMEOUT_MS,
            "ext_proc_deadline_ms": 60_000,
            "scan_ms": 200,
            **others,
        }

    def swap(self, family, variant, beside=""):
        """Publish a version of a small variant that has not been; the one before stays."""
        self._made += 1
        folder = self._scratch / "made"
        made = {"scale": 1.0} | TINY[variant]
        made["scale"] += self._made / 1e6
        write_bundle(folder, family=family, variant=variant, **made)
        published = publish(folder, self.registry, beside)
        shutil.rmtree(folder)
        return published.manifest.version

    def swap_shipped(self):
        """Publish another version of the cascade's last stage, and the cascade with it."""
        self._made += 1
        folder = self._scratch / "shipped"
        publish(alter(SHIPPED / MEDIUM, folder, temperature=1 + self._made / 1e6), self.registry)
        shutil.rmtree(folder)
        self.write_cascade()

    def write_cascade(self):
        folder = self.registry / "sentiment"
        versions = {name: read_bundle(folder / name).manifest.version for name in (SMALL, MEDIUM)}
        cascade = cascade_of(versions, family="sentiment", threshold=0.95, reach=0.3)
        replace(folder / CASCADE_NAME, cascade.model_dump_json())

    def direct(self, **traffic):
        """Set the traffic of tone's `tiny`; nothing removes the file."""
        path = self.registry / "tone" / "traffic.json"
        if traffic:
            replace(path, json.dumps({"tiny": traffic}))
        else:
            path.unlink(missing_ok=True)

    def remove(self, name):
        """Take a folder out of the registry at once."""
        away = self._scratch / "away"
        (self.registry / name).rename(away)
        shutil.rmtree(away)


def replace(path, text):
    aside = path.with_name(f".{path.name}")
    aside.write_text(text)
    aside.rename(path)
