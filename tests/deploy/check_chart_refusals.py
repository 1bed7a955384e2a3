"""What the chart refuses, and with which words."""

from collections.abc import Iterator
from typing import Any

import helm_python
import pytest

from deploy.chart import Values, load_chart, load_values, merge, render

SENTENCES: dict[str, tuple[dict[str, Any], str]] = {
    "no secret": ({"existingSecret": ""}, "existingSecret is not set: name the Secret that holds DATABASE_URL"),
    "no database": ({"secretSettings": {"DATABASE_URL": None}}, "secretSettings.DATABASE_URL is missing"),
    "sqlite on three pods": (
        {"sqlite": {"enabled": True}, "secretSettings": {"DATABASE_URL": None}},
        "sqlite.enabled is for one pod: set replicaCount to 1",
    ),
    "sqlite that grows": (
        {
            "sqlite": {"enabled": True},
            "replicaCount": 1,
            "autoscaling": {"enabled": True},
            "secretSettings": {"DATABASE_URL": None},
        },
        "sqlite.enabled is for one pod",
    ),
    "sqlite with workers": (
        {"sqlite": {"enabled": True}, "replicaCount": 1, "workers": 2, "secretSettings": {"DATABASE_URL": None}},
        "sqlite.enabled is for one process: set workers to 1",
    ),
    "two databases": ({"sqlite": {"enabled": True}, "replicaCount": 1}, "exclude each other"),
    "sqlite with a job": (
        {
            "sqlite": {"enabled": True},
            "replicaCount": 1,
            "migration": {"mode": "job"},
            "secretSettings": {"DATABASE_URL": None},
        },
        "sqlite.enabled needs migration.mode start",
    ),
    "metrics that nobody may read": (
        {"metrics": {"serviceMonitor": {"enabled": True}}},
        "metrics.serviceMonitor.enabled needs secretSettings.METRICS_TOKEN",
    ),
    "backup to nowhere": ({"backup": {"enabled": True}}, "backup.enabled needs settings.BACKUP_TARGET"),
    "backup that is gone with its pod": (
        {"backup": {"enabled": True}, "settings": {"BACKUP_TARGET": "/backups"}},
        "settings.BACKUP_TARGET is /backups, which would be gone with the pod",
    ),
    "backup beside the volume": (
        {"backup": {"enabled": True, "existingClaim": "backups"}, "settings": {"BACKUP_TARGET": "/data/backups"}},
        "settings.BACKUP_TARGET is /data/backups, which would be gone with the pod",
    ),
    "backup of sqlite": (
        {
            "sqlite": {"enabled": True},
            "replicaCount": 1,
            "secretSettings": {"DATABASE_URL": None},
            "backup": {"enabled": True},
        },
        "backup.enabled needs PostgreSQL",
    ),
    "ingress of no name": ({"ingress": {"enabled": True}}, "ingress.enabled needs ingress.host"),
    "fewer than the fewest": (
        {"autoscaling": {"enabled": True, "minReplicas": 5, "maxReplicas": 4}},
        "autoscaling.maxReplicas is 4, below autoscaling.minReplicas, which is 5.",
    ),
    "nothing to scale by": (
        {"autoscaling": {"enabled": True, "cpu": {"enabled": False}}},
        "autoscaling.enabled needs something to scale by",
    ),
    "a share of nothing": (
        {"autoscaling": {"enabled": True}, "resources": {"requests": {"cpu": None}}},
        "autoscaling.cpu.enabled needs resources.requests.cpu",
    ),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_what_cannot_work_is_refused_with_a_sentence(name: str) -> None:
    changes, sentence = SENTENCES[name]
    with pytest.raises(helm_python.HelmRenderError) as refused:
        render(merge(load_values("minimal"), changes))
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("shutdown", "workers", "told"),
    [
        ({"preStopSeconds": 5, "drainTimeoutSeconds": 15, "gracePeriodSeconds": 25}, 1, None),
        ({"preStopSeconds": 6, "drainTimeoutSeconds": 15, "gracePeriodSeconds": 25}, 1, "a pod may need 26 s to end"),
        ({"drainDelaySeconds": 0.5, "gracePeriodSeconds": 25}, 1, "a pod may need 25.5 s to end"),
        ({"drainTimeoutSeconds": 0, "gracePeriodSeconds": 15}, 1, None),
        ({"drainTimeoutSeconds": 0, "gracePeriodSeconds": 14}, 1, "a pod may need 15 s to end"),
        ({"drainTimeoutSeconds": 20, "gracePeriodSeconds": 60}, 2, None),
        ({"drainTimeoutSeconds": 21, "gracePeriodSeconds": 60}, 2, "a worker is killed 25 s after SIGTERM"),
        ({"drainTimeoutSeconds": 21, "gracePeriodSeconds": 60}, 1, None),
    ],
)
def test_a_pod_has_the_time_that_it_may_need_to_end(shutdown: Values, workers: int, told: str | None) -> None:
    values = merge(load_values("minimal"), {"shutdown": shutdown, "workers": workers})
    if told is None:
        assert render(values)
        return
    with pytest.raises(helm_python.HelmRenderError) as refused:
        render(values)
    assert told in str(refused.value)


# Free by their nature: names of settings have a check of their own, the others are Kubernetes' own words.
OPEN = {
    "affinity", "extraEnv", "global", "ingress.annotations", "metrics.rules.labels", "metrics.serviceMonitor.labels",
    "nodeSelector", "podAnnotations", "podLabels", "resources.limits", "resources.requests", "service.annotations",
    "serviceAccount.annotations",
}  # fmt: skip


def list_sections(values: Values, path: str = "") -> Iterator[str]:
    """Yield the path of each value that has values in it, and of the whole."""
    yield path
    for key, value in values.items():
        if isinstance(value, dict):
            yield from list_sections(value, f"{path}.{key}".strip("."))


@pytest.mark.parametrize("path", sorted(set(list_sections(load_chart().values)) - OPEN))
def test_what_is_no_value_is_refused_everywhere(path: str) -> None:
    changes: Values = {"unheard": 1}
    for key in reversed(path.split(".") if path else []):
        changes = {key: changes}
    with pytest.raises(helm_python.HelmValuesError) as refused:
        render(merge(load_values("minimal"), changes))
    assert "'unheard' not allowed" in str(refused.value)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a secret among settings": ({"settings": {"DATABASE_URL": "postgresql://db.example/slack"}}, "/settings"),
    "a setting that is none": ({"settings": {"DATABASE_POOL_SIZ": 3}}, "/settings"),
    "what the chart sets": ({"settings": {"SLACK_MCP_DRAIN_DELAY_S": 3}}, "/settings"),
    "a secret's value": ({"secretSettings": {"AUTH_TOKEN": "canary"}}, "/secretSettings/AUTH_TOKEN"),
    "a secret's value, called so": ({"secretSettings": {"AUTH_TOKEN": {"value": "canary"}}}, "AUTH_TOKEN"),
    "a setting in disguise": ({"extraEnv": {"AUTH_TOKEN": "canary"}}, "AUTH_TOKEN"),
    "a file in disguise": ({"extraEnv": {"AUTH_TOKEN_FILE": "/tmp/token"}}, "AUTH_TOKEN_FILE"),  # noqa: S108
    "a word for a number": ({"replicaCount": "three"}, "/replicaCount"),
    "a mode that is none": ({"migration": {"mode": "never"}}, "/migration/mode"),
    "a digest that is none": ({"image": {"digest": "latest"}}, "/image/digest"),
    "root": ({"security": {"runAsUser": 0}}, "/security/runAsUser"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_values_are_refused_with_their_place(name: str) -> None:
    changes, place = WRONG[name]
    with pytest.raises(helm_python.HelmValuesError) as refused:
        render(merge(load_values("minimal"), changes))
    assert place in str(refused.value)
