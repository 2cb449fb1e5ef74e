"""kubectl on Deployments and their like: create, get, scale, rollout, describe, explain."""

from typing import Any

from tests.kubectl.conftest import Kubectl

DEPLOYMENTS = "/apis/apps/v1/namespaces/{}/deployments/web"


def _report(kubectl: Kubectl, **status: Any) -> None:
    """The status a deployment controller would write."""
    path = DEPLOYMENTS.format(kubectl.namespace)
    found = kubectl.server.ask("GET", path)
    found["status"] = {"observedGeneration": found["metadata"]["generation"], **status}
    kubectl.server.ask("PUT", f"{path}/status", found)


def test_a_deployment_is_created_shown_and_scaled(kubectl: Kubectl) -> None:
    created = kubectl("create", "deployment", "web", "--image=nginx", "--replicas=2")
    assert created.lines == ["deployment.apps/web created"]
    (row,) = kubectl("get", "deploy", "-o", "wide").table()
    age = row.pop("AGE")
    assert age.endswith("s")
    assert row == {
        "NAME": "web",
        "READY": "0/2",
        "UP-TO-DATE": "0",
        "AVAILABLE": "0",
        "CONTAINERS": "nginx",
        "IMAGES": "nginx",
        "SELECTOR": "app=web",
    }
    assert kubectl("scale", "deploy/web", "--replicas=5").lines == ["deployment.apps/web scaled"]
    assert kubectl.json("deploy", "web")["spec"]["replicas"] == 5
    refused = kubectl("scale", "deploy/web", "--current-replicas=2", "--replicas=3", fails=True)
    assert refused.err == "error: Expected replicas to be 2, was 5\n"


def test_rollout_status_waits_for_what_the_controller_reports(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "web", "--image=nginx", "--replicas=2")
    _report(kubectl, replicas=2, updatedReplicas=1, readyReplicas=1, availableReplicas=1)
    with kubectl.following("rollout", "status", "deployment/web") as line:
        assert line() == (
            'Waiting for deployment "web" rollout to finish: 1 out of 2 new replicas have been '
            "updated..."
        )
        _report(kubectl, replicas=2, updatedReplicas=2, readyReplicas=2, availableReplicas=2)
        assert line() == 'deployment "web" successfully rolled out'
    assert kubectl("get", "deploy", "web").table()[0]["READY"] == "2/2"


def test_rollouts_are_paused_resumed_and_restarted(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "web", "--image=nginx")
    assert kubectl("rollout", "pause", "deploy/web").lines == ["deployment.apps/web paused"]
    assert kubectl.json("deploy", "web")["spec"]["paused"] is True
    assert kubectl("rollout", "resume", "deploy/web").lines == ["deployment.apps/web resumed"]
    assert kubectl("rollout", "restart", "deploy/web").lines == ["deployment.apps/web restarted"]
    template = kubectl.json("deploy", "web")["spec"]["template"]
    assert "kubectl.kubernetes.io/restartedAt" in template["metadata"]["annotations"]
    told = kubectl("set", "image", "deployment/web", "nginx=nginx:2")
    assert told.lines == ["deployment.apps/web image updated"]
    assert kubectl("rollout", "history", "deploy/web").lines[1] == "No rollout history found."


def test_describe_and_explain_tell_of_a_deployment(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "web", "--image=nginx")
    told = kubectl("describe", "deployment", "web").squeezed
    assert "Replicas: 1 desired | 0 updated | 0 total | 0 available | 0 unavailable" in told
    assert "RollingUpdateStrategy: 25% max unavailable, 25% max surge" in told
    explained = kubectl("explain", "deployment.spec.strategy.rollingUpdate").squeezed
    assert "maxSurge\t<IntOrString>" in explained.replace(" <", "\t<")


def test_every_kind_of_workload_has_its_row_and_its_place_in_all(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "web", "--image=nginx")
    made = kubectl.json("deploy", "web")
    for kind in ("ReplicaSet", "StatefulSet", "DaemonSet"):
        spec = {key: made["spec"][key] for key in ("selector", "template")}
        kubectl.apply(
            {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web"}, "spec": spec}
        )
    assert set(kubectl("get", "rs").table()[0]) == {"NAME", "DESIRED", "CURRENT", "READY", "AGE"}
    assert kubectl("get", "sts").table()[0]["READY"] == "0/1"
    assert kubectl("get", "ds").table()[0]["NODE SELECTOR"] == "<none>"
    everything = kubectl("get", "all", "-o", "name").lines
    assert everything == [
        "daemonset.apps/web",
        "deployment.apps/web",
        "replicaset.apps/web",
        "statefulset.apps/web",
    ]
    for kind in ("rs", "sts", "ds"):
        assert kubectl("describe", kind, "web").squeezed.startswith("Name: web\n")


def test_a_service_in_front_of_it_has_an_address(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "web", "--image=nginx")
    told = kubectl("expose", "deployment", "web", "--port=80")
    assert told.lines == ["service/web exposed"]
    (row,) = kubectl("get", "svc", "web").table()
    assert (row["TYPE"], row["PORT(S)"]) == ("ClusterIP", "80/TCP")
    assert row["CLUSTER-IP"].startswith("10.96.")


def test_a_cron_job_is_kept_and_said_to_do_nothing(kubectl: Kubectl) -> None:
    told = kubectl("create", "cronjob", "c", "--image=x", "--schedule=*/5 * * * *")
    assert told.lines == ["cronjob.batch/c created"]
    assert "nobody here acts upon them" in told.err
    (row,) = kubectl("get", "cronjob").table()
    assert (row["SCHEDULE"], row["SUSPEND"], row["ACTIVE"]) == ("*/5 * * * *", "False", "0")


def test_volumes_claims_and_classes_are_shown(kubectl: Kubectl) -> None:
    name = f"{kubectl.namespace}-fast"
    kubectl.apply(
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": name},
            "provisioner": "example.com/disk",
            "volumeBindingMode": "WaitForFirstConsumer",
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data"},
            "spec": {
                "storageClassName": name,
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        },
    )
    (row,) = kubectl("get", "sc", name).table()
    assert row["VOLUMEBINDINGMODE"] == "WaitForFirstConsumer"
    (row,) = kubectl("get", "pvc").table()
    assert (row["STATUS"], row["STORAGECLASS"]) == ("Pending", name)
    assert "Status: Pending" in kubectl("describe", "pvc", "data").squeezed
