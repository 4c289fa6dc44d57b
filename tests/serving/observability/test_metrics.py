from pathlib import Path

from serving.observability.metrics import Metrics
from tests.support.metric_events import EVENTS, LATER, LOADED, published, record

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
