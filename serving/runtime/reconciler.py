"""Keeps a runtime in line with the registries: loads new versions before it releases old ones."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain

from serving.background import keep_running
from serving.bundles.bundle import Bundle, key
from serving.bundles.files import listed
from serving.bundles.registry import TRAFFIC_NAME, Found, Lost, broken_in, check_names
from serving.bundles.traffic import (
    Deployment,
    Deployments,
    Traffic,
    bundles_of,
    deployments_of,
    put_to_rest,
)
from serving.errors import BundleError, StartError, printable
from serving.logs import log
from serving.runtime import family_files
from serving.runtime.completeness import each_on_a_line, missing_of
from serving.runtime.local import LocalRuntime
from serving.runtime.registry_reader import RegistryReader
from serving.runtime.retries import Retries
from serving.settings import Settings

Variants = Mapping[str, Deployment]
_UNLOADED_EVERY_S = 0.05


class Reconciler:
    """Serves what the registries hold, as far as it can be served."""

    def __init__(self, settings: Settings, runtime: LocalRuntime) -> None:
        self.served = Deployments()
        self.found = Found()
        """What the last scan found."""
        self.overrides: dict[str, Traffic] = {}
        """Traffic by family that was set through the admin API and replaces traffic.json."""
        self.complete = asyncio.Event()
        """Set once nothing is missing, for good: what a running server lacks later is refused."""
        self._altered: dict[str, str] = {}
        """Running versions whose files have changed on disk: folder and reason."""
        self._reader = RegistryReader(settings, runtime.recorder.set_unreadable)
        self._settings = settings
        self._runtime = runtime
        self._unloaded: set[str] = set()
        self._applied: object = None
        """The fingerprint of the files that `served` is based on."""
        self._retries = Retries()
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> None:
        """Load, then watch the registries."""
        await self.load()
        await self.watch()

    async def load(self) -> None:
        """Serve what the registries hold. Raises StartError if nothing can be served."""
        self._applied = await self._reader.fingerprint()
        found = await self._reader.scan()
        if not found.bundles and (reasons := broken_in(found)):
            raise BundleError(each_on_a_line(reasons))
        check_names(found, self._settings.registry, self._settings.variants)
        await self._serve(found)

    async def watch(self) -> None:
        """Scan every `scan_ms`, and whenever a request needs a resting family; never return.

        A change is applied once two scans in a row have seen the same files, so that nothing is
        read while it is being copied.
        """
        await keep_running(self._watch, "watching the registries")

    async def _watch(self) -> None:
        seen = self._applied
        wake_up = self._runtime.wake_up
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.scan_ms / 1e3):
                    await wake_up.wait()
            wake_up.clear()
            with suppress(BundleError):  # the reader has said so, and what is served stays served
                if woken := self._runtime.woken & self.served.resting:
                    await self._rescan()
                self._runtime.woken -= woken
                now = await self._reader.fingerprint()
                settled, seen = now == seen, now
                retry = self._retries.due(missing=not self.complete.is_set())
                if settled and (now != self._applied or retry or self._reader.failing):
                    await self._rescan()
                    self._applied = now
                if settled:
                    await self._check_files()

    async def rescan(self) -> None:
        """Serve what the registries hold now; where that is refused, keep what was served."""
        with suppress(BundleError):
            await self._rescan()

    async def _rescan(self) -> None:
        await self._serve(await self._reader.scan())

    async def _check_files(self) -> None:
        """Report the running versions whose files have changed on disk."""
        running = [
            bundle
            for family, bundles in self.found.bundles.items()
            for bundle in bundles
            if self._runtime.loaded(bundle) and family not in self.found.kept
        ]
        altered = await self._reader.read(self._runtime.integrity.altered, running)
        reasons = {printable(str(bundle.folder)): reason for bundle, reason in altered}
        if reasons == self._altered:
            return
        for bundle, reason in altered:
            if self._altered.get(printable(str(bundle.folder))) != reason:
                model, variant, version = key(bundle)
                log("bundle altered", model=model, variant=variant, version=version, reason=reason)
        self._altered = reasons
        self._runtime.recorder.set_altered([bundle.manifest for bundle, _ in altered])
        await self._serve(self.found)

    async def set_traffic(self, family: str, traffic: Traffic | None) -> None:
        """Replace a family's traffic.json until the server ends; None restores it.

        Raises BundleError if the traffic names a version that is missing, left out or cannot be
        loaded, or leaves nothing that fits the policy: nothing changes.
        """
        if traffic is not None:
            found = await self._reader.scan()
            bundles = found.bundles.get(family, [])
            there = {bundle.manifest.variant for bundle in bundles}
            if left_out := set(filter(found.leaves_out, traffic.root)) - there:
                raise BundleError(f"SIZEWISE_VARIANTS leaves out {listed(sorted(left_out))}")
            wanted = deployments_of(bundles, traffic)
            family_files.check_policy_of(family, wanted, self.served)
            for bundle in bundles_of(wanted):
                await self._runtime.load(bundle)
            self.overrides[family] = traffic
        else:
            self.overrides.pop(family, None)
        await self.rescan()

    async def unload(self, family: str) -> None:
        """Stop serving a family until `reload`, or until the server restarts."""
        self._unloaded.add(family)
        await self.rescan()

    async def reload(self, family: str) -> None:
        """Serve a family again."""
        self._unloaded.discard(family)
        self._runtime.wake(family)
        await self.rescan()

    async def _serve(self, found: Found) -> None:
        async with self._one_at_a_time, self._retries.loading():
            registries = self._settings.registry
            found = family_files.keep_emptied(found, self.found, self.served, registries)
            refused = found.refused | self._altered
            lost = dict(found.lost)
            wanted = {
                name: self._wanted(name, bundles, found, refused)
                for name, bundles in found.bundles.items()
            }
            family_files.keep_unreadable(wanted, found, self.served, registries)
            # Of what is kept nothing can be loaded, nor loaded again.
            unloaded = (self._unloaded | (found.kept & self.served.unloaded)) & wanted.keys()
            resting = set((found.kept & self.served.resting) - unloaded)
            for name in unloaded | resting:
                del wanted[name]
            family_files.keep_policies(wanted, found, self.served, refused, lost)
            recent = sorted(
                wanted, key=lambda name: (name not in found.kept, *self._last_used(name))
            )
            await self._make_room(self._fitting(recent, wanted), wanted)
            families: dict[str, Variants] = {}
            used_bytes = 0
            for name in recent:
                loaded = wanted[name]
                if not families or not self._too_many(used_bytes + self._bytes(loaded)):
                    loaded = await self._loaded(name, wanted[name], refused, lost)
                its_bytes = self._bytes(loaded)  # only known once it is loaded
                if families and self._too_many(used_bytes + its_bytes):
                    resting.add(name)
                elif loaded:
                    families[name] = loaded
                    used_bytes += its_bytes
            self._runtime.settle(chain.from_iterable(found.bundles.values()))
            self.found = found
            family_files.keep_policies(families, found, self.served, refused, lost)
            if not families and not self.served.revision:
                raise StartError(each_on_a_line(list(refused.values())))
            deployments = Deployments(
                families,
                family_files.cascades_of(families, found, self.served, refused, lost),
                family_files.policies_of(families, found, self.served, refused),
                family_files.decisions_of(families, found, self.served, refused),
                family_files.windows_of(families, found, self.served, refused),
                refused,
                frozenset(resting),
                frozenset(unloaded),
            )
            if not self.complete.is_set():
                missing = missing_of(self._settings, lost, deployments, found.left_out)
                deployments = replace(deployments, missing=missing)
            await self._publish(deployments)

    async def _publish(self, deployments: Deployments) -> None:
        left_out = family_files.left_out_cascades(self.found, deployments.refused)
        self._runtime.count_refused(deployments, self._reader.strangers | left_out)
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
        if self.served.missing:
            log("not ready", missing=dict(self.served.missing))
        else:
            self.complete.set()

    def _last_used(self, family: str) -> tuple[float, str]:
        return (-self._runtime.used_s.get(family, 0.0), family)

    def _bytes(self, variants: Variants) -> int:
        return sum(map(self._runtime.bytes_of, bundles_of(variants)))

    def _too_many(self, used_bytes: int) -> bool:
        return 0 < self._settings.memory_bytes < used_bytes

    def _fitting(self, recent: Sequence[str], wanted: Mapping[str, Variants]) -> set[str]:
        """Return the most recently used families that fit in memory together, at least one."""
        fitting: set[str] = set()
        used_bytes = 0
        for name in recent:
            its_bytes = self._bytes(wanted[name])
            if not fitting or not self._too_many(used_bytes + its_bytes):
                fitting.add(name)
                used_bytes += its_bytes
        return fitting

    async def _make_room(self, fitting: set[str], wanted: Mapping[str, Variants]) -> None:
        """Unload families that will rest before loading others, once their requests have ended."""
        leaving = {n: v for n, v in self.served.families.items() if n in wanted.keys() - fitting}
        if not leaving:
            return
        await self._publish(put_to_rest(self.served, leaving))
        most_s = (self._settings.max_deadline_ms + self._settings.engine_timeout_ms) / 1e3
        bundles = [bundle for variants in leaving.values() for bundle in bundles_of(variants)]
        for _ in range(round(most_s / _UNLOADED_EVERY_S)):
            if not any(map(self._runtime.loaded, bundles)):
                return
            await asyncio.sleep(_UNLOADED_EVERY_S)

    def _wanted(
        self, family: str, bundles: Sequence[Bundle], found: Found, refused: dict[str, str]
    ) -> Variants:
        try:
            traffic = self.overrides.get(family) or family_files.traffic_of(family, found)
            return deployments_of(bundles, traffic)
        except BundleError as error:
            refused[str(found.folders[family] / TRAFFIC_NAME)] = error.detail
            return self.served.families.get(family) or deployments_of(bundles, Traffic({}))

    async def _loaded(
        self, family: str, wanted: Variants, refused: dict[str, str], lost: Lost
    ) -> dict[str, Deployment]:
        """Load what is wanted; if a live version cannot be loaded, keep the previous deployment."""
        loaded = {}
        for variant, deployment in wanted.items():
            failed = []
            for bundle in deployment.bundles():
                try:
                    await self._runtime.load(bundle)
                except StartError as error:
                    failed.append(bundle)
                    self._retries.note(error)
                    refused[printable(str(bundle.folder))] = error.detail
                    if bundle == deployment.live:
                        lost[family, variant] = error.detail
            left = deployment.without(failed)
            if left or (left := self.served.families.get(family, {}).get(variant)):
                loaded[variant] = left
        return loaded
