"""What `make bench` prints: medians of rounds, and ratios within each round."""

import statistics
from dataclasses import dataclass, field

# A text that nothing waits for may take so much longer served than tokenized and run.
LONE_TEXT_MS = 0.4
# (clients, texts a request) of the path's share.
PATH_LOAD = (32, 1)


@dataclass
class Rounds:
    """One variant's figures, a round each."""

    offline: dict[int, list[float]]
    online: dict[tuple[int, int], list[dict[str, float]]]
    closed: dict[str, list[tuple[float, float]]]
    null: list[dict[str, float]] = field(default_factory=list)
    alone_ms: list[float] = field(default_factory=list)
    tokenize_ms: list[float] = field(default_factory=list)
    cores: int = 0
    """Of the engine; 0 on a GPU, whose path takes none of them."""

    @classmethod
    def of(cls, *, budgets, loads, policies):
        """None yet."""
        return cls(*({each: [] for each in kinds} for kinds in (budgets, loads, policies)))

    @property
    def ceilings(self):
        """The rate of the best offline policy in each round, in texts/s.

        The best in each round would be the best of the noise too.
        """
        return max(self.offline.values(), key=statistics.median)

    def of_the_ceiling(self, rates):
        return median_ratio(rates, self.ceilings)

    @property
    def attainable(self):
        """The most of the ceiling that is left where path and client take their CPU of its cores.

        Batches as good as the ceiling's, and no wait for anything; the ceiling tokenizes itself.
        On a GPU it is 1.
        """
        shares = []
        parts = zip(self.ceilings, self.null, self.tokenize_ms, strict=True)
        for ceiling, null, tokenize_ms in parts:
            offline_ms = 1e3 * self.cores / ceiling
            beside_ms = null["server_ms"] - tokenize_ms + null["client_ms"]
            shares.append(offline_ms / (offline_ms + beside_ms) if self.cores else 1.0)
        return statistics.median(shares)

    def served(self, load, name):
        return [each[name] for each in self.online[load]]

    def null_server(self, name):
        return [each[name] for each in self.null]


def median_ratio(numerators, denominators):
    return statistics.median(n / d for n, d in zip(numerators, denominators, strict=True))


def report(found):
    median = statistics.median
    for budget, rates in found.offline.items():
        policy = f"sorted, <= {budget} padded tokens" if budget else "one by one"
        print(f"offline, {policy:32} {median(rates):8.0f} texts/s")
    print(f"ceiling: the best of these            {median(found.ceilings):11.0f} texts/s")
    for policy, rounds in found.closed.items():
        rates, short_ms = zip(*rounds, strict=True)
        print(
            f"32 clients, no HTTP, {policy:36} {median(rates):8.0f} texts/s, "
            f"{found.of_the_ceiling(rates):.3f} of the ceiling, "
            f"p99 of short texts {median(short_ms):.0f} ms"
        )
    for load, rounds in found.online.items():
        rates = found.served(load, "texts_per_s")
        figures = {
            name: median(found.served(load, name))
            for name in ("p50_ms", "p99_ms", "server_ms", "client_ms", "server_cores")
        }
        print(
            f"served, {load[0]:3} clients x {load[1]:2} texts {median(rates):8.0f} texts/s, "
            f"{found.of_the_ceiling(rates):.3f} of the ceiling, p50 {figures['p50_ms']:.1f} ms, "
            f"p99 {figures['p99_ms']:.1f} ms; CPU a text: server {figures['server_ms']:.2f} ms "
            f"({figures['server_cores']:.2f} cores), wrk {figures['client_ms']:.2f} ms; "
            f"errors {sum(each['bad'] for each in rounds)}"
        )
    bare_ms = median(found.alone_ms)
    print(
        f"one text alone: tokenize and run in one thread {bare_ms:.2f} ms, "
        f"served {median(found.served((1, 1), 'p50_ms')):.2f} ms "
        f"(the goal: at most {bare_ms + LONE_TEXT_MS:.2f} ms)"
    )
    print(
        f"null engine, 32 clients: {median(found.null_server('texts_per_s')):.0f} requests/s; "
        f"CPU a text: the path {median(found.null_server('server_ms')):.3f} ms, "
        f"{path_share(found):.0%} of the served variant's"
        f" {median(found.served(PATH_LOAD, 'server_ms')):.3f} ms"
    )
    if found.cores:
        print(
            f"path and wrk leave {found.attainable:.3f} of the ceiling at 32 clients, were batches "
            "as good as its own"
        )


def path_share(found):
    """The share of a served text's CPU that everything but its engine takes."""
    return median_ratio(found.null_server("server_ms"), found.served(PATH_LOAD, "server_ms"))


def compare(found):
    """One row for each variant, as Markdown."""
    loads = ((32, 1), (128, 1), (4, 32))
    heads = [f"{clients} x {texts}" for clients, texts in loads]
    print(
        f"\n| variant | ceiling, texts/s | {' | '.join(heads)} | path and wrk leave | no HTTP "
        "| lone text, ms over | path |"
    )
    print("|---|--:|" + "--:|" * (len(loads) + 4))
    for variant, rounds in found.items():
        ratios = [
            f"{rounds.of_the_ceiling(rounds.served(load, 'texts_per_s')):.3f}" for load in loads
        ]
        over_ms = [
            served_ms - bare_ms
            for served_ms, bare_ms in zip(
                rounds.served((1, 1), "p50_ms"), rounds.alone_ms, strict=True
            )
        ]
        print(
            f"| {variant} | {statistics.median(rounds.ceilings):.0f} | {' | '.join(ratios)} "
            f"| {rounds.attainable:.3f} "
            f"| {rounds.of_the_ceiling([rate for rate, _ in rounds.closed['ours']]):.3f} "
            f"| {statistics.median(over_ms):.2f} | {path_share(rounds):.0%} |"
        )
