"""What the chart's objects are, for several sets of values."""

import itertools
from pathlib import Path
from typing import Any

import helm_python
import jsonschema
import kubernetes_validate
import pytest
import typer
import yaml
from deploy.custom_kinds import SCHEMAS

from deploy.chart import (
    CHART,
    ROOT,
    VALUES,
    Object,
    get_env,
    get_labels,
    list_pods,
    load_values,
    merge,
    pick,
    pick_one,
    render,
)
from slack_mcp.cli.root import cli
from slack_mcp.settings import Settings
from slack_mcp.settings.kinds import get_name, is_secret

# The oldest that Chart.yaml takes, the newest that there is a schema of, and some in between.
VERSIONS = ("1.30", "1.32", "1.34", kubernetes_validate.latest_version())
SECRETS = {get_name(field) for field in Settings.model_fields.values() if is_secret(field)}
NAMES = {get_name(field) for field in Settings.model_fields.values()} | {f"{name}_FILE" for name in SECRETS}
SECRET_VALUES = {
    "DATABASE_URL": "postgresql://slack:canary@db.example/slack",
    "DATABASE_LISTEN_URL": "postgresql://slack:canary@db.example/slack",
    "ENCRYPTION_KEYS": f"k1:{'A' * 43}=",
    "OPENAI_API_KEY": "canary",
    "METRICS_TOKEN": "canary" * 8,
}

each_set = pytest.mark.parametrize("name", VALUES)


@each_set
def test_helm_finds_nothing_to_say(name: str) -> None:
    told = helm_python.lint(CHART, load_values(name), strict=True, namespace="slack")
    worse = [each for each in told["messages"] if each["error"] != "icon is recommended"]
    assert (worse, told["errors"]) == ([], [])


@each_set
@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_what_kubernetes_takes(name: str, version: str) -> None:
    for each in render(load_values(name)):
        if each["kind"] in SCHEMAS:
            jsonschema.validate(each, SCHEMAS[each["kind"]])
        else:
            kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize(
    "path", [("spec",), ("spec", "template", "spec"), ("spec", "template", "spec", "containers", 0)]
)
def test_what_kubernetes_does_not_know_is_found_out(path: tuple[str | int, ...]) -> None:
    deployment = pick_one(render(load_values("minimal")), "Deployment")
    place: Any = deployment
    for step in path:
        place = place[step]
    place["unheard"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[-1], strict=True)


@each_set
def test_every_variable_is_a_setting(name: str) -> None:
    values = load_values(name)
    for _, pod in list_pods(render(values)):
        assert set(get_env(pod)) - set(values.get("extraEnv", {})) <= NAMES


@each_set
def test_the_service_starts_with_these_settings(name: str, tmp_path: Path) -> None:
    pods = [pod for _, pod in list_pods(render(load_values(name))) if get_env(pod)]
    assert pods
    for pod in pods:
        environ = get_env(pod)
        for variable in environ:
            setting = variable.removesuffix("_FILE")
            if setting != variable:
                path = tmp_path / setting
                path.write_text(SECRET_VALUES[setting], encoding="utf-8")
                environ[variable] = str(path)
        settings = Settings.from_env(environ, dotenv=None)
        assert settings.host == "0.0.0.0"  # noqa: S104 - a pod is reached from outside
        assert settings.database.dialect == ("sqlite" if name == "sqlite" else "postgresql")


def test_numbers_come_as_they_were_written() -> None:
    settings = {"SLACK_MCP_MAX_FILE_BYTES": 104_857_600, "SLACK_BUDGET_FACTOR": 0.25, "SLACK_BUDGET": False}
    deployment = pick_one(render(merge(load_values("minimal"), {"settings": settings})), "Deployment")
    env = get_env(deployment["spec"]["template"])
    assert {name: env[name] for name in settings} == {
        "SLACK_MCP_MAX_FILE_BYTES": "104857600",
        "SLACK_BUDGET_FACTOR": "0.25",
        "SLACK_BUDGET": "false",
    }


@each_set
def test_secrets_are_named_and_never_told(name: str) -> None:
    objects = render(load_values(name))
    assert pick(objects, "Secret") == []
    for _, pod in list_pods(objects):
        assert set(get_env(pod)) & SECRETS == set()
        (container,) = pod["spec"]["containers"]
        assert all(set(each) == {"name", "value"} for each in container.get("env", []))


def test_a_secret_is_the_key_that_the_values_name() -> None:
    objects = render(load_values("everything"))
    volumes = pick_one(objects, "Deployment")["spec"]["template"]["spec"]["volumes"]
    (sources,) = (each["projected"]["sources"] for each in volumes if "projected" in each)
    told = {
        each["path"]: (source["secret"]["name"], each["key"])
        for source in sources
        for each in source["secret"]["items"]
    }
    assert told == {
        "DATABASE_LISTEN_URL": ("slack-mcp", "DATABASE_LISTEN_URL"),
        "DATABASE_URL": ("database-app", "uri"),
        "ENCRYPTION_KEYS": ("slack-mcp", "ENCRYPTION_KEYS"),
        "METRICS_TOKEN": ("slack-mcp", "METRICS_TOKEN"),
        "OPENAI_API_KEY": ("slack-mcp", "openai"),
    }


def test_defaults_are_three_pods_that_are_spread_and_kept() -> None:
    objects = render(load_values("minimal"))
    spec = pick_one(objects, "Deployment")["spec"]
    assert spec["replicas"] == 3
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert [each["topologyKey"] for each in spec["template"]["spec"]["topologySpreadConstraints"]] == [
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    ]
    assert pick_one(objects, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def test_the_autoscaler_alone_says_how_many_pods_there_are() -> None:
    objects = render(load_values("everything"))
    assert "replicas" not in pick_one(objects, "Deployment")["spec"]
    spec = pick_one(objects, "HorizontalPodAutoscaler")["spec"]
    assert spec["scaleTargetRef"]["name"] == pick_one(objects, "Deployment")["metadata"]["name"]
    assert [each["type"] for each in spec["metrics"]] == ["Resource", "External"]
    assert spec["metrics"][1]["external"]["metric"]["name"] == "slack_mcp_journal_backlog"


def test_prometheus_shows_the_token_that_the_pods_ask_for() -> None:
    values = merge(load_values("everything"), {"secretSettings": {"METRICS_TOKEN": {"name": "watch", "key": "token"}}})
    for given, told in ((load_values("everything"), ("slack-mcp", "METRICS_TOKEN")), (values, ("watch", "token"))):
        (endpoint,) = pick_one(render(given), "ServiceMonitor")["spec"]["endpoints"]
        assert tuple(endpoint["authorization"]["credentials"].values()) == told


def test_alerts_are_those_of_the_one_file() -> None:
    rule = pick_one(render(load_values("everything")), "PrometheusRule")
    alerts = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text(encoding="utf-8"))
    assert rule["spec"] == alerts


def test_the_backup_is_a_command_that_there_is() -> None:
    job = pick_one(render(load_values("everything")), "CronJob")
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    pod = job["spec"]["jobTemplate"]["spec"]["template"]
    container = find_container(pod)
    assert container["envFrom"] == [{"secretRef": {"name": "bucket"}}]
    assert get_env(pod)["BACKUP_TARGET"] == "s3://backups/slack-mcp"
    command: Any = typer.main.get_command(cli)
    *words, option, number = container["args"]
    for word in words:
        command = command.commands[word]
    assert option in {spelling for each in command.params for spelling in each.opts}
    assert number == "14"


def test_a_backup_on_a_volume_has_it_where_the_target_is() -> None:
    pod = pick_one(render(load_values("unguarded")), "CronJob")["spec"]["jobTemplate"]["spec"]["template"]
    (mount,) = (each for each in find_container(pod)["volumeMounts"] if each["name"] == "backups")
    assert get_env(pod)["BACKUP_TARGET"].startswith(mount["mountPath"])
    assert {"name": "backups", "persistentVolumeClaim": {"claimName": "backups"}} in pod["spec"]["volumes"]


@each_set
def test_probes_ask_routes_that_there_are(name: str) -> None:
    (container,) = pick_one(render(load_values(name)), "Deployment")["spec"]["template"]["spec"]["containers"]
    paths = {kind: container[kind]["httpGet"]["path"] for kind in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}


@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_the_schema_is_made_before_the_pods_or_by_them(kind: str) -> None:
    objects = render(load_values("everything" if kind == "Job" else "minimal"))
    jobs = pick(objects, "Job")
    if kind == "Deployment":
        assert jobs == []
        return
    (job,) = jobs
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["migrate", "up"]
    # Nothing of the release is there before the first install.
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == "default"


@pytest.mark.parametrize("changes", [{}, {"settings": {"PUBLIC_URL": "https://other.example"}}])
def test_the_public_address_is_that_of_the_ingress_unless_another_is_set(changes: dict[str, Any]) -> None:
    objects = render(merge(load_values("everything"), changes))
    env = get_env(pick_one(objects, "Deployment")["spec"]["template"])
    assert env["PUBLIC_URL"] == ("https://other.example" if changes else "https://slack-mcp.example.com")


def test_what_everybody_may_reach_has_neither_health_nor_metrics() -> None:
    ingress = pick_one(render(load_values("everything")), "Ingress")
    (rule,) = ingress["spec"]["rules"]
    paths = [each["path"] for each in rule["http"]["paths"]]
    assert paths == ["/slack", "/mcp", "/.well-known/oauth-protected-resource", "/temp-files"]


def test_sqlite_keeps_its_volume_and_never_has_two_pods() -> None:
    objects = render(load_values("sqlite"))
    deployment = pick_one(objects, "Deployment")
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    assert deployment["spec"]["replicas"] == 1
    claim = pick_one(objects, "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    (name,) = (
        each["persistentVolumeClaim"]["claimName"]
        for each in deployment["spec"]["template"]["spec"]["volumes"]
        if "persistentVolumeClaim" in each
    )
    assert name == claim["metadata"]["name"]


@pytest.mark.parametrize("release", ["a", "slack-mcp", "a-release-whose-name-is-as-long-as-helm-permits-12345"])
@each_set
def test_names_have_the_length_that_kubernetes_permits(name: str, release: str) -> None:
    objects = render(load_values(name), release=release)
    for each in objects:
        longest = 52 if each["kind"] == "CronJob" else 63
        assert len(each["metadata"]["name"]) <= longest
    for _, pod in list_pods(objects):
        assert all(len(value) <= 63 for value in get_labels(pod).values())


@each_set
def test_no_name_is_given_twice(name: str) -> None:
    seen = [(each["apiVersion"], each["kind"], each["metadata"]["name"]) for each in render(load_values(name))]
    assert len(seen) == len(set(seen))


def test_objects_are_in_the_release_s_namespace() -> None:
    for name, each in itertools.chain.from_iterable(
        ((name, each) for each in render(load_values(name))) for name in VALUES
    ):
        assert each["metadata"]["namespace"] == "slack", name


def find_container(pod: Object) -> Object:
    (container,) = pod["spec"]["containers"]
    found: Object = container
    return found


@each_set
def test_every_mount_has_its_volume_and_every_volume_its_mount(name: str) -> None:
    for where, pod in list_pods(render(load_values(name))):
        mounted = {each["name"] for each in find_container(pod).get("volumeMounts", [])}
        assert mounted == {each["name"] for each in pod["spec"].get("volumes", [])}, where
