"""That every pod keeps the restricted level, whatever the values are.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
"""

from collections.abc import Iterator

import pytest

from deploy.chart import VALUES, Object, list_pods, load_values, render

VOLUME_KINDS = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip


def list_objections(pod: Object) -> Iterator[str]:
    """Yield what is beyond the restricted level, and what is beyond our own: no token, a limit, a root that is kept."""
    spec = pod["spec"]
    yield from (name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name))
    security = spec.get("securityContext", {})
    if security.get("runAsNonRoot") is not True or security.get("runAsUser") == 0:
        yield "may run as root"
    if security.get("seccompProfile", {}).get("type") not in {"RuntimeDefault", "Localhost"}:
        yield "seccomp"
    if spec.get("automountServiceAccountToken") is not False:
        yield "token"
    if spec.get("enableServiceLinks") is not False:
        yield "service links"
    yield from (
        f"volume {volume['name']}" for volume in spec.get("volumes", []) if not set(volume) - {"name"} <= VOLUME_KINDS
    )
    for container in (*spec["containers"], *spec.get("initContainers", [])):
        yield from list_container_objections(container)


def list_container_objections(container: Object) -> Iterator[str]:
    security = container.get("securityContext", {})
    if security.get("allowPrivilegeEscalation") is not False or security.get("privileged"):
        yield "privileges"
    if security.get("readOnlyRootFilesystem") is not True:
        yield "root"
    if security.get("capabilities") != {"drop": ["ALL"]}:
        yield "capabilities"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield "host port"
    if "memory" not in container.get("resources", {}).get("limits", {}):
        yield "memory"


@pytest.mark.parametrize("name", VALUES)
def test_every_pod_is_restricted(name: str) -> None:
    for where, pod in list_pods(render(load_values(name))):
        assert list(list_objections(pod)) == [], where


def test_a_pod_that_says_nothing_is_objected_to() -> None:
    bare = {"spec": {"hostNetwork": True, "volumes": [{"name": "all", "hostPath": {}}], "containers": [{}]}}
    assert list(list_objections(bare)) == [
        "hostNetwork", "may run as root", "seccomp", "token", "service links", "volume all", "privileges", "root",
        "capabilities", "memory",
    ]  # fmt: skip


def test_a_cluster_that_chooses_users_is_not_told_one() -> None:
    for where, pod in list_pods(render(load_values("unguarded"))):
        assert {"runAsUser", "runAsGroup", "fsGroup"}.isdisjoint(pod["spec"]["securityContext"]), where
