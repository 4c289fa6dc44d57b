"""`python -m serving tune`: measure every bundle that a server would serve, before its start."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TextIO

from serving.bundles.bundle import Bundle, key, verify
from serving.bundles.files import parse
from serving.bundles.registry import TRAFFIC_NAME, check_names, scan
from serving.bundles.signatures import read_trusted_keys
from serving.bundles.traffic import Traffic, bundles_of, deployments_of
from serving.errors import BundleError, EngineFailed, StartError, failures, printable
from serving.inference.engine_selection import Chosen, text_ms
from serving.inference.tokenizer import open_tokenizer
from serving.inference.tuned_choice import measured, tuning_key, tuning_of
from serving.inference.tuning import (
    Key,
    Tuning,
    folder_of,
    name_of,
    same_but_machine,
    text_of,
    write_tuning,
)
from serving.runtime.config_map import ConfigMap
from serving.runtime.trial import Trials
from serving.settings import Settings

_HEADER = ("variant", "engine", "threads", "budget (tokens)", "ms a text")
_BAR_CELLS = 20


def tune(
    settings: Settings, screen: TextIO, output: TextIO, config_map: ConfigMap | None = None
) -> None:
    """Measure anew, and keep, what the settings would serve; print a table of it to `output`.

    Each bundle is tried first, as at a server's start. What is refused is listed with its reason.
    With a ConfigMap, what it holds for this machine is not measured again, so that a second run
    changes nothing. The rest goes into it, beside what it holds for other machines; what fits
    neither is removed.
    Raises StartError if nothing is to be kept or nothing could be.
    """
    folder = folder_of(settings.tuning, settings.registry[0])
    if not folder:
        raise StartError("SIZEWISE_TUNING is empty, which keeps nothing: name a folder")
    before = config_map.read() if config_map else {}
    known = _tunings(before)
    refused: dict[str, str] = {}
    bundles = _served(settings, refused)
    rows: list[tuple[str, ...]] = [_HEADER]
    tunings: list[Tuning] = []
    trials = Trials(settings)
    try:
        for done, bundle in enumerate(bundles):
            _show(screen, done, len(bundles), "/".join(key(bundle)[:2]))
            if kept := _kept(known, tuning_key(bundle, settings)):
                tunings.append(kept)
                continue
            try:
                with failures(BundleError, str(bundle.folder)):
                    chosen, tuning = _tuned(bundle, settings, trials)
                    write_tuning(folder, tuning)
                tunings.append(tuning)
                rows.append(_row(bundle, chosen))
            except (StartError, EngineFailed) as error:
                refused[printable(str(bundle.folder))] = error.detail
        _show(screen, len(bundles), len(bundles), "done")
    finally:
        trials.end()
    for path, reason in refused.items():
        print(f"Not tuned: {path}: {reason}", file=screen)
    if not tunings:
        raise StartError("nothing could be tuned: mend what is listed, and run it again")
    if len(rows) > 1:
        print(*_table(rows), sep="\n", file=output)
    if config_map:
        after = _after(known, tunings)
        config_map.change(before, after)
        print(
            f"{config_map} holds {len(after)} files: {len(rows) - 1} measured now, "
            f"{len(before.keys() - after.keys())} removed.",
            file=output, flush=True,
        )  # fmt: skip
        return
    registries = ",".join(map(str, settings.registry))
    print(
        f"Kept in {folder}.\n"
        f"Next: SIZEWISE_TUNING={folder} python -m serving --registry {registries}",
        file=output, flush=True,
    )  # fmt: skip


def _tunings(files: Mapping[str, str]) -> dict[str, Tuning]:
    """Return those files that can be read, by name."""
    found = {}
    for name, text in files.items():
        with suppress(BundleError):
            found[name] = parse(Tuning, text, name)
    return found


def _kept(known: Mapping[str, Tuning], its_key: Key) -> Tuning | None:
    tuning = known.get(name_of(its_key))
    return tuning if tuning and tuning.key == its_key else None


def _after(known: Mapping[str, Tuning], tunings: Sequence[Tuning]) -> dict[str, str]:
    """Return the files to share: these, and those of the same bundles on other machines."""
    kept = (
        other
        for name, other in known.items()
        if name == name_of(other.key)
        and any(same_but_machine(other.key, tuning.key) for tuning in tunings)
    )
    return {name_of(each.key): text_of(each) for each in (*kept, *tunings)}


def _served(settings: Settings, refused: dict[str, str]) -> Sequence[Bundle]:
    """Return each version that a server would load, once."""
    found = scan(settings.registry, settings.variants, read_trusted_keys(settings.trusted_keys))
    check_names(found, settings.registry, settings.variants)
    refused |= found.refused
    bundles: dict[str, Bundle] = {}
    for family, its in found.bundles.items():
        try:
            traffic = parse(Traffic, found.texts[family].get(TRAFFIC_NAME, "{}"), TRAFFIC_NAME)
            deployed = bundles_of(deployments_of(its, traffic))
        except BundleError as error:
            refused[printable(str(found.folders[family]))] = error.detail
            continue
        for bundle in deployed:
            bundles.setdefault(bundle.manifest.version, bundle)
    return list(bundles.values())


def _tuned(bundle: Bundle, settings: Settings, trials: Trials) -> tuple[Chosen, Tuning]:
    verify(bundle)
    engines = trials.engines(bundle, beside_traffic=False)
    tokenizer = open_tokenizer(bundle)
    chosen = measured(bundle, tokenizer, settings, engines=engines)
    return chosen, tuning_of(chosen, bundle, tokenizer, settings)


def _row(bundle: Bundle, chosen: Chosen) -> tuple[str, ...]:
    return (
        "/".join(key(bundle)[:2]),
        chosen.name,
        f"{chosen.engine.slots} runs of 1" + (", 1 of all" if chosen.wide else ""),
        f"{chosen.lane.max_batch_tokens:,}",
        f"{text_ms(chosen.lane, bundle):.2f}",
    )


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _show(screen: TextIO, done: int, total: int, what: str) -> None:
    """Show a bar on a terminal, a line elsewhere."""
    filled = _BAR_CELLS * done // max(1, total)
    line = f"[{'#' * filled}{'.' * (_BAR_CELLS - filled)}] {done} of {total}: {what}"
    if screen.isatty():
        print("\r\x1b[K" + line, end="\n" if done == total else "", file=screen, flush=True)
    else:
        print(line, file=screen, flush=True)
