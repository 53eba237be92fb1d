"""The chart, rendered by Helm's own code, checked against Kubernetes' schemas, and read as a cluster's keepers do."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import helm_python
import kubernetes_validate
import pytest
import yaml
from tests.build.conftest import perdure

from perdure.build import kubernetes
from perdure.build.errors import BuildError

IMAGE = {"image": {"repository": "registry.example/agent", "tag": "1"}}
EXTERNAL = IMAGE | {"existingSecret": "agent-secrets"}
POSTGRES = IMAGE | {"postgres": {"enabled": True, "password": "s3cret"}, "secrets": {"TOKEN": 7}}
EVERYTHING = POSTGRES | {
    "autoscaling": {"kind": "hpa", "min": 0},
    "ingress": {"enabled": True, "host": "agent.example", "tlsSecret": "tls", "className": "nginx"},
    "networkPolicy": {"from": [{"namespaceSelector": {}}], "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]},
    "insecure": True,
    "prefix": "/api",
    "environment": {"LOG_LEVEL": "debug"},
    "api": {"nodeSelector": {"a": "b"}, "tolerations": [{"operator": "Exists"}], "podAnnotations": {"c": "d"}},
    "worker": {"affinity": {"nodeAffinity": {}}},
    "image": {"repository": "r/agent", "digest": f"sha256:{'0' * 64}", "pullSecrets": [{"name": "pull"}]},
    "serviceAccount": {"annotations": {"e": "f"}},
}
VALUES = {"external": EXTERNAL, "postgres": POSTGRES, "everything": EVERYTHING}


@pytest.fixture(autouse=True)
def _library_only(monkeypatch):
    monkeypatch.setattr(kubernetes.shutil, "which", lambda name: None)


def rendered(values: dict[str, Any], *sets: str) -> list[dict[str, Any]]:
    text = kubernetes.render(kubernetes.Release("agent", "ns", values, sets=sets))
    return [each for each in yaml.safe_load_all(text) if each]


def named(found: list[dict[str, Any]], kind: str, suffix: str = "") -> dict[str, Any]:
    [one] = [each for each in found if each["kind"] == kind and each["metadata"]["name"].endswith(suffix)]
    return one


def pods(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        each["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"]: each["spec"]["template"]
        for each in found
        if "template" in each.get("spec", {})
    }


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_manifests_fit_the_schemas_of_the_oldest_and_of_a_new_kubernetes(values):
    report = helm_python.lint(str(kubernetes.CHART), values, strict=True)
    assert report["errors"] == []
    assert [each for each in report["messages"] if each["severity"] > 1] == []
    found = rendered(values)
    assert len(found) >= 9
    for version, each in itertools.product(("1.25", "1.34"), found):
        kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_pods_keep_to_the_restricted_standard(values):
    # https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
    found = pods(rendered(values))
    assert set(found) == {"api", "worker", "migrate"} | ({"postgres"} if "postgres" in values else set())
    for template in found.values():
        spec = template["spec"]
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert all(set(volume) - {"name"} <= {"emptyDir", "persistentVolumeClaim"} for volume in spec["volumes"])
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]


def test_selectors_and_policies_mean_the_pods_that_they_should():
    found = rendered(EVERYTHING)
    labels = {part: template["metadata"]["labels"] for part, template in pods(found).items()}

    def chosen(selector: dict[str, Any]) -> set[str]:
        def fits(told: dict[str, str]) -> bool:
            wanted = selector.get("matchLabels", {}).items() <= told.items()
            return wanted and all(told[one["key"]] in one["values"] for one in selector.get("matchExpressions", ()))

        return {part for part, told in labels.items() if fits(told)}

    for part in ("api", "worker"):
        assert chosen(named(found, "Deployment", part)["spec"]["selector"]) == {part}
        assert chosen(named(found, "PodDisruptionBudget", part)["spec"]["selector"]) == {part}
        [zone, host] = pods(found)[part]["spec"]["topologySpreadConstraints"]
        assert chosen(zone["labelSelector"]) == chosen(host["labelSelector"]) == {part}
    assert chosen({"matchLabels": named(found, "Service", "perdure")["spec"]["selector"]}) == {"api"}
    policies = {
        frozenset(chosen(each["spec"]["podSelector"])): each["spec"]
        for each in found
        if each["kind"] == "NetworkPolicy"
    }
    assert set(policies) == {frozenset({"api", "worker", "migrate"}), frozenset({"api"}), frozenset({"postgres"})}
    assert "ingress" not in policies[frozenset({"api", "worker", "migrate"})]
    [rule] = policies[frozenset({"postgres"})]["ingress"]
    assert chosen(rule["from"][0]["podSelector"]) == set(labels)


def test_probes_jobs_and_secrets_are_those_of_the_image():
    found = rendered(EVERYTHING)
    api, worker = (pods(found)[part]["spec"]["containers"][0] for part in ("api", "worker"))
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert api[probe]["httpGet"] == {"path": "/api/ok", "port": "http"}
    variables = {each["name"]: each.get("value") for each in worker["env"]}
    assert (variables["PERDURE_SERVES"], variables["PERDURE_JOBS"], variables["LOG_LEVEL"]) == ("0", "10", "debug")
    assert "PERDURE_INSECURE" not in variables
    assert named(found, "Secret", "agent-perdure")["stringData"] == {"TOKEN": "7"}
    text = json.dumps([each for each in found if each["kind"] != "Secret"])
    assert "s3cret" not in text
    assert api["image"] == f"r/agent@sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("given", "secret"), [({"password": "s3cret"}, "agent-postgres"), ({"existingSecret": "mine"}, "mine")]
)
def test_postgres_of_its_own_and_who_uses_it_have_one_password_and_one_address(given, secret):
    found = rendered(POSTGRES | {"postgres": {"enabled": True, **given}})
    for part, template in pods(found).items():
        variables = template["spec"]["containers"][0]["env"]
        names = [each["name"] for each in variables]
        password = variables[names.index("POSTGRES_PASSWORD")]["valueFrom"]["secretKeyRef"]
        assert password == {"name": secret, "key": "POSTGRES_PASSWORD"}
        if part != "postgres":  # Kubernetes only puts in what stands before
            uri = variables[names.index("DATABASE_URI")]["value"]
            assert uri == "postgresql://perdure:$(POSTGRES_PASSWORD)@agent-postgres:5432/perdure"
            assert names.index("POSTGRES_PASSWORD") < names.index("DATABASE_URI")
    assert named(found, "Service", "postgres")["metadata"]["name"] == "agent-postgres"
    made = [each for each in found if each["kind"] == "Secret" and each["metadata"]["name"] == "agent-postgres"]
    assert [each["stringData"] for each in made] == ([{"POSTGRES_PASSWORD": "s3cret"}] if "password" in given else [])


def test_postgres_of_its_own_keeps_its_data_and_lets_in_whom_it_should():
    found = rendered(POSTGRES | {"autoscaling": {"kind": "keda"}}, "postgres.storage=5Gi", "postgres.storageClass=fast")
    database = named(found, "StatefulSet")
    [claim] = database["spec"]["volumeClaimTemplates"]
    assert claim["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "5Gi"}},
    }
    [container] = database["spec"]["template"]["spec"]["containers"]
    variables = {each["name"]: each.get("value") for each in container["env"]}
    [place] = [each["mountPath"] for each in container["volumeMounts"] if each["name"] == "data"]
    assert variables["PGDATA"].startswith(f"{place}/")
    assert "pgvector" in container["image"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["exec"]["command"][0] == "pg_isready"
    keda = named(found, "NetworkPolicy", "-keda")["spec"]
    assert keda["podSelector"]["matchLabels"].items() <= pods(found)["postgres"]["metadata"]["labels"].items()
    assert keda["ingress"][0]["from"][0]["podSelector"]["matchLabels"] == {"app": "keda-operator"}
    without = rendered(EXTERNAL)
    assert not [each for each in without if each["kind"] == "StatefulSet" or "postgres" in each["metadata"]["name"]]


def test_migrations_come_before_an_upgrade_and_are_another_job_for_another_image():
    first, second = (named(rendered(EXTERNAL, f"image.tag={tag}"), "Job") for tag in ("a", "b"))
    assert first["metadata"]["name"] != second["metadata"]["name"]
    assert first["metadata"]["annotations"]["helm.sh/hook"] == "pre-upgrade,pre-install"
    assert first["spec"]["template"]["spec"]["containers"][0]["args"] == ["setup"]
    assert named(rendered(POSTGRES), "Job")["metadata"]["annotations"]["helm.sh/hook"] == "pre-upgrade"


async def test_workers_are_scaled_by_what_waits_or_runs(database):
    import psycopg

    from perdure.server.database.postgres import PostgresDatabase

    scaled = named(rendered(EXTERNAL, "autoscaling.kind=keda", "worker.jobs=4"), "ScaledObject")
    assert "replicas" not in named(rendered(EXTERNAL, "autoscaling.kind=keda"), "Deployment", "worker")["spec"]
    [trigger] = scaled["spec"]["triggers"]
    assert trigger["metadata"]["targetQueryValue"] == "4"
    opened = PostgresDatabase(database)
    await opened.setup()
    await opened.aclose()
    insert = """INSERT INTO perdure_server_runs (run_id, thread_id, assistant_id, graph_id, status, metadata, kwargs,
        multitask_strategy, priority, due_at, created_at, updated_at, attempt, generation, lease_until, watched)
        VALUES (%s, 't', 'a', 'g', %s, '{}', '{}', 'enqueue', 0, %s, 0, 0, 0, 0, 0, 0)"""
    with psycopg.connect(database) as connection:
        now = time.time()
        rows = [("1", "pending", now - 1), ("2", "pending", now + 60), ("3", "running", 0), ("4", "success", 0)]
        connection.cursor().executemany(insert, rows)
        assert connection.execute(trigger["metadata"]["query"]).fetchone() == (2,)
    hpa = named(rendered(EVERYTHING), "HorizontalPodAutoscaler")
    assert (hpa["spec"]["minReplicas"], hpa["spec"]["maxReplicas"]) == (1, 10)
    assert hpa["spec"]["metrics"][0]["external"]["metric"]["name"] == "perdure_queue_depth"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (IMAGE, "no database"),
        ({}, "image.repository"),
        (IMAGE | {"postgres": {"enabled": True}}, "postgres.password"),
        (POSTGRES | {"secrets": {"DATABASE_URI": "postgresql://other"}}, "two databases"),
        (POSTGRES | {"postgres": {"enabled": True, "password": "a@b"}}, "password"),
        (POSTGRES | {"postgres": {"enabled": True, "pasword": "x"}}, "pasword"),
        (EXTERNAL | {"replicas": 3}, "replicas"),
        (EXTERNAL | {"autoscaling": {"kind": "magic"}}, "autoscaling"),
    ],
)
def test_values_that_cannot_work_are_refused(values, told):
    with pytest.raises(BuildError, match=told):
        rendered(values)


def test_command_writes_manifests_and_the_chart(tmp_path):
    (tmp_path / "My_Agent").mkdir()
    folder = tmp_path / "My_Agent"
    (folder / "perdure.json").write_text('{"graphs": {"a": "./a.py:g"}, "http": {"mount_prefix": "/agents"}}')
    (folder / "a.py").touch()
    (folder / "values.yaml").write_text("existingSecret: mine\napi: {replicas: 5}\n")
    command = ["k8s", "--image", "registry.example:5000/a/agent:2", "-f", "values.yaml", "--set", "api.jobs=3"]
    perdure(*command, "-o", "out.yaml", cwd=folder)
    found = list(yaml.safe_load_all((folder / "out.yaml").read_text()))
    api = named(found, "Deployment", "my-agent-perdure-api")
    assert api["spec"]["replicas"] == 5
    [container] = api["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example:5000/a/agent:2"
    assert {"name": "PERDURE_JOBS", "value": "3"} in container["env"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/agents/ok"
    perdure("k8s", "--chart", "chart", cwd=folder)
    assert helm_python.Chart.load(str(folder / "chart")).name == "perdure"
    assert helm_python.Chart.load(str(folder / "chart" / "charts" / "postgres")).name == "postgres"
    alone = helm_python.lint(str(folder / "chart" / "charts" / "postgres"), {"password": "s3cret"}, strict=True)
    assert alone["errors"] == []
    assert "isn't empty" in perdure("k8s", "--chart", "chart", cwd=folder, code=2).stderr
    assert "--image" in perdure("k8s", cwd=folder, code=2).stderr
