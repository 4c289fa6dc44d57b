"""Keeps a runtime serving what lies in the registry: new beside old, then in its place.

It does not know how a bundle is loaded, nor how a change reaches a request.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from serving.bundle import Bundle
from serving.deployment import Deployment, Deployments, Traffic, deployments_of
from serving.errors import BundleError, EngineFailed, StartError
from serving.logs import log
from serving.registry import BESIDE, TRAFFIC_NAME, Found, check_names, fingerprint, scan
from serving.runtime import LocalRuntime
from serving.settings import Settings


class Catalogue:
    """What a registry holds, as far as it can be served."""

    def __init__(self, settings: Settings, runtime: LocalRuntime) -> None:
        self._settings = settings
        self._runtime = runtime
        self._served = Deployments()
        self._judged: object = None
        """The fingerprint of the files that `_served` was made of."""
        self._told: dict[str, Traffic] = {}
        """Traffic by family that was told here and stands in place of the file's."""
        self._one_at_a_time = asyncio.Lock()

    async def load(self) -> None:
        """Serve the registry as it lies. Raises StartError, BundleError or EngineFailed."""
        folder = self._settings.registry
        found = await asyncio.to_thread(scan, folder, self._settings.variants)
        for reason in found.refused.values():
            raise BundleError(reason)
        check_names(found, folder, self._settings.variants)
        families = {
            name: deployments_of(bundles, self._traffic(name, found))
            for name, bundles in found.bundles.items()
        }
        for bundle in Deployments(families).bundles().values():
            await self._runtime.load(bundle)
        await self._serve(families, {})
        self._judged = await asyncio.to_thread(fingerprint, folder)

    async def watch(self) -> None:
        """Look again every `scan_ms`, for ever.

        A change is judged once two looks in a row have seen the same files, so that nothing is
        judged while it is being copied.
        """
        seen = self._judged
        while True:
            await asyncio.sleep(self._settings.scan_ms / 1e3)
            try:
                now = await asyncio.to_thread(fingerprint, self._settings.registry)
                if now == seen != self._judged:
                    await self.rescan()
                    self._judged = now
                seen = now
            except OSError as error:  # a file that went while it was looked at
                log("the registry cannot be read now", reason=str(error))

    async def rescan(self) -> None:
        """Serve what lies there now; what cannot be served is refused, and the old goes on."""
        async with self._one_at_a_time:
            try:
                found = await asyncio.to_thread(
                    scan, self._settings.registry, self._settings.variants
                )
            except BundleError as error:
                log("the registry cannot be read now", reason=error.detail)
                return
            refused = dict(found.refused)
            families = {}
            for name, bundles in found.bundles.items():
                wanted = self._wanted(name, bundles, found, refused)
                families[name] = await self._loaded(name, wanted, refused)
            self._keep_unreadable(families, found)
            families = {name: variants for name, variants in families.items() if variants}
            if not families:
                log("the registry holds nothing to serve now", refused=refused)
                return
            await self._serve(families, refused)

    async def direct(self, family: str, traffic: Traffic | None) -> None:
        """Serve a family by this traffic, not its file's, until told None or the server ends.

        Raises BundleError when it names what is not there or cannot be loaded: nothing changes.
        """
        before = self._told.get(family)
        self._told.pop(family, None)
        if traffic is not None:
            found = await asyncio.to_thread(scan, self._settings.registry, self._settings.variants)
            for deployment in deployments_of(found.bundles.get(family, []), traffic).values():
                for bundle in deployment.bundles():
                    await self._runtime.load(bundle)
            self._told[family] = traffic
        if before != traffic:
            await self.rescan()

    def _wanted(
        self, family: str, bundles: Sequence[Bundle], found: Found, refused: dict[str, str]
    ) -> Mapping[str, Deployment]:
        try:
            return deployments_of(bundles, self._traffic(family, found))
        except BundleError as error:
            refused[str(self._settings.registry / family / TRAFFIC_NAME)] = error.detail
            return self._served.families.get(family) or deployments_of(bundles, Traffic({}))

    def _traffic(self, family: str, found: Found) -> Traffic:
        if family in self._told:
            return self._told[family]
        try:
            return Traffic.model_validate_json(found.traffic.get(family, "{}"))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise BundleError(f"{TRAFFIC_NAME}: {where}: {first['msg']}") from error

    async def _loaded(
        self, family: str, wanted: Mapping[str, Deployment], refused: dict[str, str]
    ) -> dict[str, Deployment]:
        """Of what is wanted, what can be loaded; where a live version cannot, the one before."""
        loaded = {}
        for variant, deployment in wanted.items():
            failed = []
            for bundle in deployment.bundles():
                try:
                    await self._runtime.load(bundle)
                except (StartError, EngineFailed) as error:
                    failed.append(bundle)
                    refused[str(bundle.folder)] = error.detail
            if deployment.live not in failed:
                loaded[variant] = replace(
                    deployment,
                    canary=None if deployment.canary in failed else deployment.canary,
                    weight=0.0 if deployment.canary in failed else deployment.weight,
                    shadow=None if deployment.shadow in failed else deployment.shadow,
                )
            elif before := self._served.families.get(family, {}).get(variant):
                loaded[variant] = before
        return loaded

    def _keep_unreadable(self, families: dict[str, dict[str, Deployment]], found: Found) -> None:
        """A variant whose manifest has become unreadable goes on as it was."""
        for path in map(Path, found.refused):
            family, variant = path.parent.name, path.name.partition(BESIDE)[0]
            before = self._served.families.get(family, {}).get(variant)
            if before and variant not in families.setdefault(family, {}):
                families[family][variant] = before

    async def _serve(
        self, families: Mapping[str, Mapping[str, Deployment]], refused: Mapping[str, str]
    ) -> None:
        revision = self._served.revision + 1
        self._served = Deployments(families, refused, revision)
        await self._runtime.serve(self._served)
        log("serving", revision=revision, models=sorted(families), refused=refused)
