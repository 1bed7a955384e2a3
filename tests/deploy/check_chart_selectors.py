"""That what selects finds what it is meant to find, and nothing else."""

from itertools import permutations

import pytest

from deploy.chart import (
    VALUES,
    Object,
    get_labels,
    is_selected,
    list_pods,
    load_values,
    merge,
    pick,
    pick_one,
    render,
)

each_set = pytest.mark.parametrize("name", VALUES)


def find_server(objects: list[Object]) -> dict[str, str]:
    return get_labels(pick_one(objects, "Deployment")["spec"]["template"])


def list_server_selectors(objects: list[Object]) -> list[tuple[str, dict[str, str]]]:
    """Return (whose, selector) of all that mean the pods that serve."""
    deployment = pick_one(objects, "Deployment")
    selectors = [
        ("Deployment", deployment["spec"]["selector"]["matchLabels"]),
        ("Service", pick_one(objects, "Service")["spec"]["selector"]),
    ]
    selectors += [
        ("PodDisruptionBudget", each["spec"]["selector"]["matchLabels"])
        for each in pick(objects, "PodDisruptionBudget")
    ]
    selectors += [
        ("topologySpreadConstraints", each["labelSelector"]["matchLabels"])
        for each in deployment["spec"]["template"]["spec"].get("topologySpreadConstraints", [])
    ]
    selectors += [
        (each["metadata"]["name"], each["spec"]["podSelector"]["matchLabels"])
        for each in pick(objects, "NetworkPolicy")
        if each["spec"]["policyTypes"] == ["Ingress"]
    ]
    return selectors


@each_set
def test_selectors_of_the_server_find_its_pods_and_no_others(name: str) -> None:
    objects = render(load_values(name))
    others = [get_labels(pod) for where, pod in list_pods(objects) if not where.startswith("Deployment/")]
    assert others
    for whose, selector in list_server_selectors(objects):
        assert selector, whose
        assert is_selected(selector, find_server(objects)), whose
        assert not any(is_selected(selector, labels) for labels in others), whose


@each_set
def test_releases_beside_each_other_do_not_find_each_other_s_pods(name: str) -> None:
    values = merge(load_values(name), {"fullnameOverride": ""})
    for one, other in permutations(("bots", "slack-mcp"), 2):
        labels = [get_labels(pod) for _, pod in list_pods(render(values, release=other))]
        for whose, selector in list_server_selectors(render(values, release=one)):
            assert not any(is_selected(selector, each) for each in labels), whose


@each_set
def test_the_service_leads_to_the_port_that_the_container_has(name: str) -> None:
    objects = render(load_values(name))
    (container,) = pick_one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    (port,) = pick_one(objects, "Service")["spec"]["ports"]
    assert port["targetPort"] in ports
    environ = {each["name"]: each["value"] for each in container["env"]}
    assert str(ports[port["targetPort"]]) == environ["PORT"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] in ports


def test_the_ingress_leads_to_the_service() -> None:
    objects = render(load_values("everything"))
    service = pick_one(objects, "Service")
    (rule,) = pick_one(objects, "Ingress")["spec"]["rules"]
    for path in rule["http"]["paths"]:
        assert path["backend"]["service"]["name"] == service["metadata"]["name"]
        assert path["backend"]["service"]["port"]["name"] == service["spec"]["ports"][0]["name"]


def test_the_monitor_finds_the_service_and_its_port() -> None:
    objects = render(load_values("everything"))
    service, monitor = pick_one(objects, "Service"), pick_one(objects, "ServiceMonitor")
    assert is_selected(monitor["spec"]["selector"]["matchLabels"], service["metadata"]["labels"])
    assert monitor["spec"]["namespaceSelector"]["matchNames"] == [service["metadata"]["namespace"]]
    (endpoint,) = monitor["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["path"]) == (service["spec"]["ports"][0]["name"], "/metrics")


@each_set
def test_the_account_is_one_that_there_is_and_has_no_token(name: str) -> None:
    objects = render(load_values(name))
    accounts = {each["metadata"]["name"] for each in pick(objects, "ServiceAccount")}
    assert pick_one(objects, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"] in accounts | {"default"}
    assert all(each["automountServiceAccountToken"] is False for each in pick(objects, "ServiceAccount"))


@pytest.mark.parametrize("name", ["everything", "sqlite", "unguarded"])
def test_no_pod_is_outside_of_the_network_policy(name: str) -> None:
    objects = render(load_values(name))
    (everybody,) = (each for each in pick(objects, "NetworkPolicy") if "Egress" in each["spec"]["policyTypes"])
    pods = list(list_pods(objects))
    assert len(pods) >= 2
    for where, pod in pods:
        assert is_selected(everybody["spec"]["podSelector"]["matchLabels"], get_labels(pod)), where
    assert "ingress" not in everybody["spec"]


def test_pods_reach_names_database_https_and_what_was_added() -> None:
    objects = render(load_values("everything"))
    (everybody,) = (each for each in pick(objects, "NetworkPolicy") if "Egress" in each["spec"]["policyTypes"])
    reached = {each["port"]: rule.get("to") for rule in everybody["spec"]["egress"] for each in rule["ports"]}
    assert set(reached) == {53, 5432, 443, 6379, "http"}
    assert reached[5432] == [{"podSelector": {"matchLabels": {"cnpg.io/cluster": "database"}}}]
    assert {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}} in reached[443]


def test_sqlite_needs_no_way_to_a_database() -> None:
    objects = render(load_values("sqlite"))
    (everybody,) = (each for each in pick(objects, "NetworkPolicy") if "Egress" in each["spec"]["policyTypes"])
    assert 5432 not in {each["port"] for rule in everybody["spec"]["egress"] for each in rule["ports"]}
