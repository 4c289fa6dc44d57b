"""Scenarios as users write them."""

import pytest

from loadtest.scenario import SCENARIOS, read_scenario

CLOSED = """
[[loads]]
name = "closed"
kind = "closed"
users = 4
"""


def load(**fields):
    lines = [f"{name} = {value!r}".replace("'", '"') for name, value in fields.items()]
    return "[[loads]]\n" + "\n".join(lines) + "\n"


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_scenario_is_read(path):
    assert read_scenario(path).loads


def test_files_are_looked_for_beside_the_scenario(tmp_path):
    text = 'texts = "own.txt"\n' + load(name="day", kind="open", arrivals="trace", trace="day.txt")
    (tmp_path / "own.toml").write_text(text)

    found = read_scenario(tmp_path / "own.toml")

    assert found.texts == tmp_path / "own.txt"
    assert found.loads[0].trace == tmp_path / "day.txt"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rounds = 0\n" + CLOSED, "rounds"),
        ("rouns = 3\n" + CLOSED, "rouns"),
        ("loads = []", "loads"),
        ("not toml", "own.toml"),
        (load(name="a", kind="closed"), "needs users"),
        (load(name="a", kind="closed", users=2, share=0.5), "needs users"),
        (load(name="a", kind="open", users=2, rate_rps=5.0), "has no users"),
        (load(name="a", kind="open"), "exactly one of rate_rps, share and trace"),
        (load(name="a", kind="open", rate_rps=5.0, share=0.5), "exactly one of rate_rps"),
        (load(name="a", kind="open", rate_rps=5.0, arrivals="trace"), "the other way round"),
        (load(name="a", kind="open", share=0.5), "put a closed load before it"),
        (load(name="A b", kind="closed", users=2), "name"),
        (CLOSED + CLOSED, "each load needs a name of its own"),
        ("measured_s = inf\n" + CLOSED, "measured_s"),
        ("slo_p99_ms = inf\n" + CLOSED, "slo_p99_ms"),
        (CLOSED + "[deploy]\nheadroom = 0.1", "deploy.rps"),
        (CLOSED + "[deploy]\nrps = 0", "deploy.rps: Input should be greater than 0 (got 0)"),
        (CLOSED + "[deploy]\nrps = 9\nmin_accuracy = 85", "deploy.min_accuracy"),
        (CLOSED + "[deploy]\nrps = 9\nheadroom = 1", "deploy.headroom"),
        (CLOSED + "[deploy]\nrps = 9\nprice_per_node_hour = -1", "deploy.price_per_node_hour"),
        (CLOSED + "[deploy]\nrps = 9\nprice = 2", "deploy.price"),
        (CLOSED + "[deploy]\nrps = 9\ntexts_per_request = 0", "deploy.texts_per_request"),
        (
            load(name="a", kind="open", rate_rps=5.0, texts_per_request=4)
            + load(name="b", kind="open", rate_rps=5.0, arrivals="ramp")
            + "[deploy]\nrps = 9",
            "deploy.texts_per_request is 1, but no open load other than a ramp sends such requests",
        ),
        (
            CLOSED + "[deploy]\nrps = 9\nprice_per_node_hour = 1\nprice_per_core_hour = 1",
            "give price_per_core_hour or price_per_node_hour, not both",
        ),
    ],
)
def test_what_is_wrong_with_a_scenario_is_said_with_its_file(tmp_path, text, said):
    (tmp_path / "own.toml").write_text(text)

    with pytest.raises(ValueError, match=r"own\.toml") as refused:
        read_scenario(tmp_path / "own.toml")

    assert said in str(refused.value)


def test_a_scenario_that_is_not_there_is_refused_with_where_examples_are(tmp_path):
    with pytest.raises(ValueError, match="examples"):
        read_scenario(tmp_path / "none.toml")
