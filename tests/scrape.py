"""What Prometheus would read from `/metrics`."""

from collections.abc import Iterable

import httpx2
from prometheus_client.parser import text_string_to_metric_families

TOKEN = "canary-metrics-token-0123456789"


class Scrape:
    """One answer, and its samples."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = {
            # The parser calls a counter by its name without the end, and the page and the alerts by the whole one.
            f"{each.name}_total" if each.type == "counter" else each.name: each
            for each in text_string_to_metric_families(text)
        }

    def get(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of that name that have these labels; KeyError when there is none."""
        found = [
            sample.value
            for family in self.families.values()
            for sample in family.samples
            if sample.name == f"slack_mcp_{name}" and labels.items() <= sample.labels.items()
        ]
        if not found:
            raise KeyError(name)
        return sum(found)

    def list_label_values(self) -> Iterable[str]:
        """Yield the value of every label."""
        for family in self.families.values():
            for sample in family.samples:
                yield from sample.labels.values()


async def scrape(http: httpx2.AsyncClient, url: str) -> Scrape:
    """Return what stands on the page of a service whose METRICS_TOKEN is TOKEN."""
    answer = await http.get(f"{url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200, answer.text
    return Scrape(answer.text)
