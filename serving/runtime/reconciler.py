"""Keeps a runtime serving what lies in the registries: new beside old, then in its place.

It does not know how a bundle is loaded, nor how a change reaches a request.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from serving.bundles.bundle import Bundle
from serving.bundles.cascade import CASCADE_NAME, Cascade, check_cascade
from serving.bundles.files import parse
from serving.bundles.registry import (
    BESIDE,
    POLICY_NAME,
    TRAFFIC_NAME,
    Found,
    check_names,
    fingerprint,
    scan,
)
from serving.bundles.traffic import (
    Deployment,
    Deployments,
    Policy,
    Traffic,
    bundles_of,
    deployments_of,
)
from serving.errors import BundleError, EngineFailed, StartError
from serving.logs import log
from serving.runtime.local import LocalRuntime
from serving.settings import Settings

Family = Mapping[str, Deployment]
_UNLOADED_EVERY_S = 0.05


class Catalogue:
    """What the registries hold, as far as it can be served."""

    def __init__(self, settings: Settings, runtime: LocalRuntime) -> None:
        self.served = Deployments()
        self.found = Found()
        """What lay there at the last look."""
        self.told: dict[str, Traffic] = {}
        """Traffic by family that was told here and stands in place of the file's."""
        self._settings = settings
        self._runtime = runtime
        self._unloaded: set[str] = set()
        self._judged: object = None
        """The fingerprint of the files that `served` was made of."""
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> None:
        """Load, then watch."""
        await self.load()
        await self.watch()

    async def load(self) -> None:
        """Serve what lies there. Raises StartError when that is nothing."""
        registries, variants = self._settings.registry, self._settings.variants
        with suppress(OSError):  # the next look will see
            self._judged = await asyncio.to_thread(fingerprint, registries)
        found = await asyncio.to_thread(scan, registries, variants)
        if not found.bundles and found.refused:
            raise BundleError(next(iter(found.refused.values())))
        check_names(found, registries, variants)
        await self._serve(found)

    async def watch(self) -> None:
        """Look again every `scan_ms`, and when a family is asked for that rests; for ever.

        A change is judged once two looks in a row have seen the same files, so that nothing is
        judged while it is being copied.
        """
        seen = self._judged
        wake_up = self._runtime.wake_up
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(wake_up.wait(), self._settings.scan_ms / 1e3)
            wake_up.clear()
            if woken := self._runtime.woken & self.served.resting:
                await self.rescan()
            self._runtime.woken -= woken
            try:
                now = await asyncio.to_thread(fingerprint, self._settings.registry)
            except OSError as error:  # a file that went while it was looked at
                log("the registry cannot be read now", reason=str(error))
                continue
            if now == seen != self._judged:
                await self.rescan()
                self._judged = now
            seen = now

    async def rescan(self) -> None:
        """Serve what lies there now; what cannot be served is refused, and the old goes on."""
        try:
            found = await asyncio.to_thread(scan, self._settings.registry, self._settings.variants)
        except BundleError as error:
            log("the registry cannot be read now", reason=error.detail)
            return
        await self._serve(found)

    async def direct(self, family: str, traffic: Traffic | None) -> None:
        """Serve a family by this traffic, not its file's, until told None or the server ends.

        Raises BundleError when it names what is not there, and StartError or EngineFailed when
        that cannot be loaded: nothing changes.
        """
        if traffic is not None:
            found = await asyncio.to_thread(scan, self._settings.registry, self._settings.variants)
            wanted = deployments_of(found.bundles.get(family, []), traffic)
            for bundle in bundles_of(wanted):
                await self._runtime.load(bundle)
            self.told[family] = traffic
        else:
            self.told.pop(family, None)
        await self.rescan()

    async def unload(self, family: str) -> None:
        """Serve a family no more until `reload`, or until the server starts anew."""
        self._unloaded.add(family)
        await self.rescan()

    async def reload(self, family: str) -> None:
        """Serve it again."""
        self._unloaded.discard(family)
        self._runtime.wake(family)
        await self.rescan()

    async def _serve(self, found: Found) -> None:
        async with self._one_at_a_time:
            refused = dict(found.refused)
            wanted = {
                name: self._wanted(name, bundles, found, refused)
                for name, bundles in found.bundles.items()
            }
            self._keep_unreadable(wanted, found)
            unloaded = self._unloaded & wanted.keys()
            for name in unloaded:
                del wanted[name]
            recent = sorted(wanted, key=self._asked_last)
            await self._make_room(self._fitting(recent, wanted), wanted)
            families: dict[str, Family] = {}
            resting = set()
            used_bytes = 0
            for name in recent:
                loaded = wanted[name]
                if not families or not self._too_many(used_bytes + self._bytes(loaded)):
                    loaded = await self._loaded(name, wanted[name], refused)
                # What it takes is only known once it is loaded.
                its_bytes = self._bytes(loaded)
                if families and self._too_many(used_bytes + its_bytes):
                    resting.add(name)
                elif loaded:
                    families[name] = loaded
                    used_bytes += its_bytes
            self.found = found
            if not families and not self.served.revision:
                raise StartError(next(iter(refused.values())))
            await self._now(
                Deployments(
                    families,
                    {
                        family: cascade
                        for family, variants in families.items()
                        if (cascade := self._cascade(family, variants, found, refused))
                    },
                    {family: self._policy(family, found, refused) for family in families},
                    refused,
                    frozenset(resting),
                    frozenset(unloaded),
                )
            )

    async def _now(self, deployments: Deployments) -> None:
        if replace(deployments, revision=self.served.revision) == self.served:
            return
        self.served = replace(deployments, revision=self.served.revision + 1)
        await self._runtime.serve(self.served)
        log(
            "serving",
            revision=self.served.revision,
            models=sorted(self.served.families),
            refused=dict(self.served.refused),
            resting=sorted(self.served.resting),
            unloaded=sorted(self.served.unloaded),
        )

    def _asked_last(self, family: str) -> tuple[float, str]:
        return (-self._runtime.asked_s.get(family, 0.0), family)

    def _bytes(self, variants: Family) -> int:
        return sum(map(self._runtime.bytes_of, bundles_of(variants)))

    def _too_many(self, used_bytes: int) -> bool:
        return 0 < self._settings.memory_bytes < used_bytes

    def _fitting(self, recent: Sequence[str], wanted: Mapping[str, Family]) -> set[str]:
        """Those asked last that fit into the memory together, and the very last in any case."""
        fitting: set[str] = set()
        used_bytes = 0
        for name in recent:
            its_bytes = self._bytes(wanted[name])
            if not fitting or not self._too_many(used_bytes + its_bytes):
                fitting.add(name)
                used_bytes += its_bytes
        return fitting

    async def _make_room(self, fitting: set[str], wanted: Mapping[str, Family]) -> None:
        """Unload what will rest before anything is loaded, as far as requests allow."""
        staying = {n: v for n, v in self.served.families.items() if n in fitting}
        leaving = {n: v for n, v in self.served.families.items() if n in wanted.keys() - fitting}
        if not leaving:
            return
        resting = self.served.resting | leaving.keys()
        await self._now(replace(self.served, families=staying, resting=resting))
        most_s = (self._settings.max_deadline_ms + self._settings.engine_timeout_ms) / 1e3
        bundles = [bundle for variants in leaving.values() for bundle in bundles_of(variants)]
        for _ in range(round(most_s / _UNLOADED_EVERY_S)):
            if not any(map(self._runtime.loaded, bundles)):
                return
            await asyncio.sleep(_UNLOADED_EVERY_S)

    def _wanted(
        self, family: str, bundles: Sequence[Bundle], found: Found, refused: dict[str, str]
    ) -> Family:
        try:
            return deployments_of(bundles, self._traffic(family, found))
        except BundleError as error:
            refused[str(found.folders[family] / TRAFFIC_NAME)] = error.detail
            return self.served.families.get(family) or deployments_of(bundles, Traffic({}))

    def _traffic(self, family: str, found: Found) -> Traffic:
        if family in self.told:
            return self.told[family]
        return parse(Traffic, found.texts[family].get(TRAFFIC_NAME, "{}"), TRAFFIC_NAME)

    def _policy(self, family: str, found: Found, refused: dict[str, str]) -> Policy:
        """What policy.json says; the one before where it says nothing sensible."""
        try:
            return parse(Policy, found.texts[family].get(POLICY_NAME, "{}"), POLICY_NAME)
        except BundleError as error:
            refused[str(found.folders[family] / POLICY_NAME)] = error.detail
            return self.served.policies.get(family, Policy())

    def _cascade(
        self, family: str, variants: Family, found: Found, refused: dict[str, str]
    ) -> Cascade | None:
        """What cascade.json says; where that is refused, the one before if it is not stale."""
        if CASCADE_NAME not in found.texts[family]:
            return None
        manifests = {name: each.live.manifest for name, each in variants.items()}
        try:
            cascade = parse(Cascade, found.texts[family][CASCADE_NAME], CASCADE_NAME)
            check_cascade(cascade, manifests)
        except BundleError as error:
            refused[str(found.folders[family] / CASCADE_NAME)] = error.detail
            before = self.served.cascades.get(family)
            with suppress(BundleError):
                if before:
                    check_cascade(before, manifests)
                    return before
            return None
        return cascade

    async def _loaded(
        self, family: str, wanted: Family, refused: dict[str, str]
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
            elif before := self.served.families.get(family, {}).get(variant):
                loaded[variant] = before
        return loaded

    def _keep_unreadable(self, wanted: dict[str, Family], found: Found) -> None:
        """A variant whose manifest has become unreadable goes on as it was."""
        for path in map(Path, found.refused):
            family, variant = path.parent.name, path.name.partition(BESIDE)[0]
            before = self.served.families.get(family, {}).get(variant)
            if before and variant not in wanted.get(family, {}):
                wanted[family] = {**wanted.get(family, {}), variant: before}
