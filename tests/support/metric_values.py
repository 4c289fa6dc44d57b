"""Values read off a metrics page."""

from prometheus_client.parser import text_string_to_metric_families


def samples(page):
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def total(page, name, **labels):
    return sum(
        value
        for (found, found_labels), value in samples(page).items()
        if found == name and set(labels.items()) <= set(found_labels)
    )
