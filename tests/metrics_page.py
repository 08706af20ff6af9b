"""The metrics of a running service."""

import httpx
from prometheus_client.parser import text_string_to_metric_families


def samples(url: str, name: str) -> list[tuple[dict[str, str], float]]:
    """Return labels and value of each sample of a name."""
    families = text_string_to_metric_families(httpx.get(f"{url}/metrics").text)
    return [(each.labels, each.value) for family in families for each in family.samples if each.name == name]


def labels_by_name(url: str) -> dict[str, set[str]]:
    """Return the names of all samples, each with the names of its labels."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(httpx.get(f"{url}/metrics").text):
        for each in family.samples:
            found.setdefault(each.name, set()).update(each.labels)
    return found
