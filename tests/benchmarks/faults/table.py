"""The rows as one Markdown table for each group."""

COLUMNS = (
    "fault",
    "promised",
    "requests",
    "recovered, s",
    "live; ready",
    "longest without live, ms",
    "log; metrics",
    "alerts, if it lasts",
    "kept",
)
HEAD = f"| {' | '.join(COLUMNS)} |\n|---|---|---|--:|---|--:|---|---|---|\n"


def markdown(rows, summary):
    """The end of a page of benchmarks."""
    groups = dict.fromkeys(row.get("group", "not injected here") for row in rows)
    gap_ms = summary["longest_live_gap_ms"] or 0.0
    return (
        "\n## Each fault\n\n"
        f"{summary['faults']} faults, of which {summary['kept']} kept all promises, under "
        f"{summary['requests']:,} requests. The longest time without an answer of /health/live was "
        f"{gap_ms:.0f} ms over all attempts, faults that stop or end a process left out.\n\n"
        + "\n".join(
            f"### {group.capitalize()}\n\n{HEAD}"
            + "".join(_line(row) for row in rows if row.get("group", "not injected here") == group)
            for group in groups
        )
    )


def _line(row):
    name = f"{row['fault']} ({row['mode']})"
    if "skipped" in row:
        return f"| {name} | skipped: {row['skipped']} |{' |' * 7}\n"
    verdict = "broken: " + "; ".join(row["broken"]) if row["broken"] else "yes"
    if "promised" not in row:
        return f"| {name} |{' |' * 7} {_cell(verdict)} |\n"
    cells = (
        name,
        "; ".join(row["promised"]),
        _requests(row),
        _recovered(row),
        f"{_counts(row['live'])}; {_counts(row['ready'])}" + (f": {row['why']}" * bool(row["why"])),
        _gap(row),
        "; ".join([*(f"`{each}`" for each in row["events"]), *row["moved"]]),
        ", ".join(each.removeprefix("Sizewise") for each in row["alerts"]),
        verdict + "".join(f" ({note})" for note in _notes(row)),
    )
    return "| " + " | ".join(map(_cell, cells)) + " |\n"


def _gap(row):
    """The kept attempt's, and the longest one of an earlier attempt."""
    kept, longest = row["live_gap_ms"], row["longest_gap_ms"]
    if kept is None:
        return ""
    if longest is None or longest <= kept:
        return f"{kept:.0f}"
    return f"{kept:.0f} ({longest:.0f} in another attempt)"


def _notes(row):
    return row["notes"] + [f"attempt {row['attempt']}"] * (row["attempt"] > 1)


def _requests(row):
    others = {kind: count for kind, count in row["outcomes"].items() if kind != "200"}
    shown = f"{row['requests']:,}: {row['lost']} lost"
    return shown + "".join(f", {count} {kind}" for kind, count in others.items())


def _recovered(row):
    if row["recovered_s"] is None:
        return f"ended with {row['status']} after {row['end_s']:.1f}"
    return f"{row['recovered_s']:.1f}"


def _counts(kinds):
    """The outcomes of a probe; how many of each says more of the probe than of the server."""
    return ", ".join(kinds) or "none"


def _cell(text):
    return text.replace("|", "/").replace("\n", " ")
