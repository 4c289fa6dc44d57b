"""What the report says in tables, from its JSON."""

import statistics

from tests.benchmarks.gpu_report.parts import PRECISIONS, SERVED, ceiling_name, served_name

NONE = "-"
FIGURES = ("texts_per_s", "p50_ms", "p99_ms", "engine_process_us", "http_processes_us")


def result(content, name):
    """What a part has found; empty where it has not run."""
    return content["parts"].get(name, {}).get("result", {})


def ceiling(content, precision, device):
    return result(content, ceiling_name(precision, device)).get("ceiling_texts_per_s")


def served(content):
    """Medians of each measurement: {clients: {HTTP processes: figures}}."""
    subject = content["subject"]
    found = {clients: {} for clients in subject["clients"]}
    top = ceiling(content, SERVED, subject["device"])
    for processes in subject["http_processes"]:
        for clients, rounds in result(content, served_name(processes)).items():
            figures = {name: statistics.median(each[name] for each in rounds) for name in FIGURES}
            shares = [each["gpu_busy"].get("share") for each in rounds]
            found[int(clients)][processes] = figures | {
                "to_ceiling": figures["texts_per_s"] / top if top else None,
                "bad": sum(each["bad"] for each in rounds),
                "limited_by_client": any(each["limited_by_client"] for each in rounds),
                "gpu_busy": None if None in shares else statistics.median(shares),
            }
    return found


def loads(content):
    """What has made the load."""
    return {
        each["load"]
        for processes in content["subject"]["http_processes"]
        for rounds in result(content, served_name(processes)).values()
        for each in rounds
    }


def served_table(content):
    head = [
        "clients", "HTTP processes", "texts/s", "of the ceiling", "p50, ms", "p99, ms",
        "GPU busy", "CPU a text: engine process, us", "HTTP processes, us", "failed", "note",
    ]  # fmt: skip
    rows = [
        [
            f"{clients:,}", str(processes), f"{each['texts_per_s']:,.0f}",
            shown(each["to_ceiling"], ".2f"), f"{each['p50_ms']:.1f}", f"{each['p99_ms']:.1f}",
            shown(each["gpu_busy"], ".0%"), f"{each['engine_process_us']:.0f}",
            f"{each['http_processes_us']:.0f}", str(each["bad"]),
            "limited by the client" if each["limited_by_client"] else "",
        ]
        for clients, by_processes in served(content).items()
        for processes, each in by_processes.items()
    ]  # fmt: skip
    return head, rows


def ceiling_table(content):
    head = [
        "format", "device", "texts/s", "engine alone", "budget, tokens", "1, 2 and 4 threads",
        "GPU busy", "ready in, s", "plain / bound buffers, 1 and 2 threads",
        "logits, from the CPU's",
    ]  # fmt: skip
    rows = []
    for device in dict.fromkeys((content["subject"]["device"], "cpu")):
        for precision in PRECISIONS:
            found = result(content, ceiling_name(precision, device))
            if "ceiling_texts_per_s" not in found:
                continue
            threads = found["engine_texts_per_s_by_threads"].values()
            bound = found.get("bound_buffers", {}).get("threads", {}).values()
            rows.append([
                precision, device, f"{found['ceiling_texts_per_s']:,.0f}",
                f"{found['engine_texts_per_s']:,.0f}", f"{found['best_budget_tokens']:,}",
                " / ".join(f"{rate:,.0f}" for rate in threads),
                shown(found["gpu_busy"].get("share"), ".0%"), f"{found['ready_s']:.1f}",
                " / ".join(f"{each['plain_to_bound']:.2f}" for each in bound) or NONE,
                f"{found['logits_differ_from_cpu_by']:.1e}",
            ])  # fmt: skip
    return head, rows


def path_table(content):
    head = ["clients", "server", "CPU a text, us", "to the reference", "main process, us",
            "requests/s", "p99, ms"]  # fmt: skip
    rows = [
        [
            clients, name, f"{each['us']:.0f}", f"{each['ratio']:.2f}", f"{each['main_us']:.0f}",
            f"{each['rps']:,.0f}", f"{each['p99_ms']:.0f}",
        ]
        for clients, servers in result(content, "path_cost").items()
        for name, each in servers.items()
    ]  # fmt: skip
    return head, rows


def tests_sentence(content):
    found = result(content, "gpu tests")
    if not found:
        return "The gpu tests have not run."
    counts = f"{found['passed']} passed, {len(found['failed'])} failed, "
    told = [f"{n}: {why}" for kind in ("failed", "skipped") for n, why in found[kind].items()]
    return f"{counts}{len(found['skipped'])} skipped. " + "; ".join(told)


def headline(content):
    """The best served rate beside the ceiling, in a sentence."""
    device = content["subject"]["device"]
    top = ceiling(content, SERVED, device)
    points = [
        (each["texts_per_s"], clients, processes, each)
        for clients, by_processes in served(content).items()
        for processes, each in by_processes.items()
    ]
    if not points or not top:
        return f"The report of {SERVED} on {device} is not complete."
    rate, clients, processes, best = max(points, key=lambda point: point[0])
    busy = f"; the GPU is busy {best['gpu_busy']:.0%} of the time" if best["gpu_busy"] else ""
    return (
        f"{SERVED} on {device}: {rate:,.0f} texts/s served at {clients:,} clients with {processes} "
        f"HTTP processes, {rate / top:.2f} of the offline ceiling of {top:,.0f}{busy}."
    )


def busy_sentence(content):
    """Why the GPU's busy share is missing, where it is."""
    device = content["subject"]["device"]
    found = [result(content, ceiling_name(precision, device)) for precision in PRECISIONS]
    reasons = {each["gpu_busy"].get("not_measured") for each in found if "gpu_busy" in each}
    told = "; ".join(sorted(reasons - {None}))
    return f"The GPU's busy share is not measured: {told}." if told else ""


def shown(value, form):
    return NONE if value is None else format(value, form)
