from pathlib import Path

from serving.observability.counters import Counters
from serving.observability.metrics import PAST_VERSIONS, Metrics
from tests.support.metric_events import (
    EVENTS,
    LATER,
    LOADED,
    answer,
    batch,
    manifest,
    one_pass,
    published,
    record,
    text,
)
from tests.support.metric_values import samples, total

# As prometheus_client's own counters and histograms published the same events.
EXPECTED = (Path(__file__).parent / "pages.txt").read_text()


def expected(name):
    _, _, rest = EXPECTED.partition(f"== {name}\n")
    return rest.partition("== ")[0].splitlines()


def test_the_page_is_that_of_the_client_librarys_own_metrics():
    metrics = Metrics()
    for name, events in (("at the start", []), ("loaded", LOADED), ("later", EVENTS + LATER)):
        record(metrics, events)
        page = published(metrics)

        assert sorted(page) == sorted(expected(name))
        assert [line for line in page if line[0] == "#"] == [
            line for line in expected(name) if line[0] == "#"
        ]


def test_a_series_says_when_it_began():
    metrics = Metrics()
    record(metrics, LOADED + EVENTS)
    first, _ = metrics.page([], 0, ready=True)
    record(metrics, EVENTS)
    second, _ = metrics.page([], 0, ready=True)

    def began(page):
        return {line for line in page.decode().splitlines() if "_created{" in line}

    assert len(began(first)) > 30
    assert began(first) == began(second)


def test_a_cascade_that_is_served_again_is_watched_from_then_on():
    metrics = Metrics()
    record(metrics, LOADED)
    for _ in range(100):
        metrics.record_sample("tone", 1, 1)
    before = published(metrics)
    metrics.set_cascades({})
    without = published(metrics)
    record(metrics, LOADED[-1:])
    after = published(metrics)

    def shown(lines, name):
        return [float(line.split()[-1]) for line in lines if line.startswith(f"sizewise_{name}{{")]

    assert shown(before, "disagreement_lower_ratio")[0] > 0.3
    assert shown(without, "disagreement_lower_ratio") == []
    assert shown(after, "disagreement_lower_ratio") == [0]
    assert shown(after, "sampled_texts_total") == [100]


def capital(metrics):
    """Labels and values of the bets on drift."""
    return [
        (dict(labels), value)
        for (name, labels), value in samples(page_of(metrics)).items()
        if name == "sizewise_escalation_log_capital"
    ]


def test_replicas_name_the_same_cascade_and_each_watch_its_own_start():
    first, second = Metrics(), Metrics()
    for metrics in (first, second):
        record(metrics, LOADED)
    for _ in range(100):
        first.watch("tone", 10, 5)
    won, nothing = capital(first), capital(second)
    first.set_cascades({})
    gone = capital(first)
    record(first, LOADED[-1:])

    assert {(each["side"], each["stake"]) for each, _ in won} == {
        (side, stake) for side in ("lower", "higher") for stake in ("1", "3", "9")
    }
    assert all(value > 5 for each, value in won if each["side"] == "higher")
    assert all(value < -5 for each, value in won if each["side"] == "lower")
    assert {value for _, value in nothing + capital(first)} == {0}
    assert len({each["cascade"] for each, _ in won + nothing + capital(first)}) == 1
    assert len({each["since"] for each, _ in won}) == 1
    assert {each["since"] for each, _ in won}.isdisjoint(
        each["since"] for each, _ in capital(first)
    )
    assert gone == []


def test_decisions_that_are_not_served_any_more_leave_their_gauges_and_keep_their_counts():
    metrics = Metrics()
    record(metrics, LOADED + EVENTS)
    before = samples(page_of(metrics))
    metrics.set_decisions({})
    after = samples(page_of(metrics))

    def names(found):
        return {name for name, labels in found if "decider" in dict(labels) or "undecid" in name}

    gone = {
        "sizewise_expected_flagged_ratio", "sizewise_flagged_drifted",
        "sizewise_flagged_log_capital", "sizewise_undecided_variants",
    }  # fmt: skip
    assert gone <= names(before)
    assert names(after) == names(before) - gone


def page_of(metrics, queued=()):
    page, _ = metrics.page(queued, 0, ready=True)
    return page.decode()


def serve(metrics, version, texts=3):
    """Load a version, let it answer and shadow, and unload the one before."""
    variant = ("tone", "tiny", version)
    metrics.add_variant(manifest(variant), "onnxruntime")
    metrics.record_answer(answer(one_pass(variant, [text(variant, 1)] * texts)))
    metrics.record_batch(batch(variant, texts, 20, 0, 1))
    metrics.record_shadow(variant, texts, 1)
    return manifest(variant)


def test_series_do_not_grow_with_the_versions_and_no_text_is_forgotten():
    metrics = Metrics()
    counts, count = [], 3 * PAST_VERSIONS
    before = serve(metrics, "v0")
    for number in range(1, count):
        now = serve(metrics, f"v{number}")
        metrics.remove_version(before)
        before = now
        counts.append(len(samples(page_of(metrics))))
    page = page_of(metrics)
    shown = {
        labels["version"]
        for (name, given), _ in samples(page).items()
        if name == "sizewise_version_texts_total" and (labels := dict(given))
    }

    assert len(set(counts[PAST_VERSIONS:])) == 1
    assert shown == {f"v{number}" for number in range(count - PAST_VERSIONS - 1, count)}
    assert total(page, "sizewise_texts_total", variant="tiny") == 3 * count
    assert total(page, "sizewise_queue_duration_seconds_count") == 3 * count
    assert total(page, "sizewise_batch_texts_sum") == 3 * count
    assert len(metrics.versions.created) == len(metrics.versions) == PAST_VERSIONS + 2


def test_a_version_that_is_served_again_keeps_its_series():
    metrics = Metrics()
    first = serve(metrics, "v0")
    for number in range(1, PAST_VERSIONS):
        serve(metrics, f"v{number}")
        metrics.remove_version(first)
        serve(metrics, "v0")
    for number in range(1, PAST_VERSIONS):
        metrics.remove_version(manifest(("tone", "tiny", f"v{number}")))

    assert total(page_of(metrics), "sizewise_version_texts_total", version="v0") == (
        3 * PAST_VERSIONS
    )


def test_a_variant_that_is_no_longer_loaded_has_no_gauges_and_one_has_only_its_engine():
    metrics = Metrics()
    old, new = (manifest(("tone", "tiny", version), size) for version, size in (("a", 1), ("b", 2)))
    metrics.add_variant(old, "onnxruntime")
    metrics.add_variant(new, "openvino")
    page_of(metrics, [(("tone", "tiny", "a"), 5)])
    metrics.remove_version(old)
    swapped = page_of(metrics, [(("tone", "tiny", "b"), 0)])
    metrics.remove_version(new)
    gone = page_of(metrics)

    assert total(swapped, "sizewise_engine_info", engine="openvino") == 1
    assert total(swapped, "sizewise_engine_info") == 1
    assert total(swapped, "sizewise_variant_bytes") == 2
    for name in ("engine_info", "variant_bytes", "variant_info", "queue_texts"):
        assert f"sizewise_{name}{{" not in gone


def test_sums_that_were_handed_over_leave_nothing_behind():
    counters = Counters()
    for version in range(100):
        variant = ("tone", "tiny", f"v{version}")
        counters.record_answer(answer(one_pass(variant, [text(variant, 1)])))
        counters.take()

    assert [len(table) + len(table.created) for table in counters.tables.values()] == (
        [0] * len(counters.tables)
    )
