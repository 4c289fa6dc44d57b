"""What the loop promises, and which promises a run has broken. Pure."""


def broken(figures):
    """Sentences, from the figures of all steps."""
    found = []
    if figures["before"]["alarms"]:
        found.append("there was an alarm before the traffic changed")
    if figures["alarm"]["alarm"] is None:
        found.append("there was no alarm after the traffic had changed")
    for step, outcome in (("canary", "promoted"), ("bad_canary", "withdrawn")):
        if figures[step]["outcome"] != outcome:
            found.append(f"{step}: {figures[step]['outcome'] or 'undecided'}, not {outcome}")
    if number := lost(figures):
        found.append(f"{number} requests were lost")
    return found


def lost(figures):
    """Requests of all steps that were answered with anything but 200."""
    return sent(figures) - sum(its["statuses"].get("200", 0) for its in _served(figures))


def sent(figures):
    """Requests of all steps."""
    return sum(sum(its["statuses"].values()) for its in _served(figures))


def feedback(answers):
    """How many of the answers got feedback."""
    return sum(fed for _, _, fed in answers)


def _served(figures):
    return [its for its in figures.values() if "statuses" in its]
