"""submit: jobs of every kind created held, and what would become of them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from kube_queue.api.types import JOBS, PODS, QUEUE_UNITS, TFJOBS, ResourceType
from kube_queue.api.units import unit_name
from kube_queue.app.submitting import Kinds, Wishes
from kube_queue.jobframework import Grouped, Hold, MadeFromTemplates, every_extension
from tests.cli.conftest import Desk
from tests.cli.test_changing_verbs import the_job

PAGES = Path(__file__).parents[2] / "docs" / "jobs"
CONFIG_MAP = """
apiVersion: v1
kind: ConfigMap
metadata: {name: input}
data: {seconds: "5"}
"""
CONFIG_MAPS = ResourceType("", "v1", "configmaps", "ConfigMap")


MAKERS = {
    maker.kind: maker
    for one in every_extension()
    if isinstance(one, MadeFromTemplates)
    for maker in one.makers
}
"""Kinds whose pods are queued one by one."""


def examples(*, made: bool = False) -> dict[str, dict[str, Any]]:
    """The manifest of every kind's page, with its marks taken away.

    Of the kinds whose jobs are queued, or (`made`) of those that make such jobs.
    """
    found = {}
    for page in sorted(PAGES.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        block = text.split("```yaml\n", 1)[1].split("```", 1)[0]
        manifest, *others = yaml.safe_load_all(block)
        if others:
            continue  # several objects that are one job together
        manifest["metadata"].get("annotations", {}).pop("scheduling.x-k8s.io/suspend", None)
        manifest["spec"].pop("suspend", None)
        manifest["spec"].get("runPolicy", {}).pop("suspend", None)
        manifest["spec"].pop("shutdownAfterJobFinishes", None)
        for pod in (manifest, manifest["spec"].get("template", {})):
            pod.get("spec", {}).pop("schedulingGates", None)
        manifest["metadata"]["name"] = page.stem
        # The quota's namespace is the one that exists.
        manifest["metadata"].pop("namespace", None)
        if (manifest["kind"] in MAKERS) is made:
            found[page.stem] = manifest
    return found


async def test_one_job_of_every_kind_is_created_held_and_queued(desk: Desk) -> None:
    manifests = examples()
    kinds = {
        (one.resource.group, one.resource.kind): one
        for one in every_extension()
        if not isinstance(one, Grouped)
    }
    assert len(manifests) >= 15
    await desk.done("stop", "root-default")
    source = desk.file("---\n".join(yaml.safe_dump(one) for one in manifests.values()))
    said = (await desk.done("submit", "-f", source)).splitlines()
    assert len(said) == len(manifests)
    for (name, manifest), line in zip(manifests.items(), said, strict=True):
        group, _, version = manifest["apiVersion"].rpartition("/")
        extension = kinds[group, manifest["kind"]]
        kind = ResourceType(group, version, extension.resource.plural, manifest["kind"])
        shown = f"{manifest['kind']} default/{name}"
        assert line == f"{shown} submitted: it is held until its turn comes"
        held = await desk.get(kind, name)
        assert extension.state(held).hold is not Hold.NONE, name
        await desk.phase(unit_name(name, extension.suffix), "Enqueued")


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "ReplicaSet"])
async def test_what_makes_pods_is_given_the_gate_and_the_flags_in_its_template(
    desk: Desk, kind: str
) -> None:
    manifest = copy.deepcopy(examples(made=True)["deployment"])
    manifest |= {"kind": kind}
    manifest["spec"]["template"]["spec"]["schedulingGates"] = [{"name": "example.com/other"}]
    code, out, _ = await desk.run("submit", "-f", "-", stdin=yaml.safe_dump(manifest))
    assert (code, out) == (
        0,
        f"{kind} default/deployment submitted: each Pod of it is held until its turn comes\n",
    )
    served = await desk.user.get(
        ResourceType("apps", "v1", f"{kind.lower()}s", kind), "default", "deployment"
    )
    gates = served["spec"]["template"]["spec"]["schedulingGates"]
    assert {"name": "kube-queue/admission"} in gates
    submission = Kinds().submission("here", manifest, Wishes("root-default", "default", 7))
    assert submission.waits == f"Each Pod of {kind} deployment"
    spec = submission.manifest["spec"]
    assert spec["replicas"] == 2
    template = spec["template"]
    assert template["spec"]["schedulingGates"] == [
        {"name": "example.com/other"},
        {"name": "kube-queue/admission"},
    ]
    assert template["metadata"] == {
        "labels": {"app": "web", "quota.scheduling.alibabacloud.com/name": "default"},
        "annotations": {
            "kube-queue/queue-name": "root-default",
            "scheduling.x-k8s.io/priority": "7",
        },
    }
    pod = await held_pod(desk, template)
    unit = await desk.phase(f"{pod}-pod-qu")
    assert (unit["spec"]["queue"], unit["spec"]["priority"]) == ("root-default", 7)


async def held_pod(desk: Desk, template: dict[str, Any]) -> str:
    """The name of a pod as the maker's controller would make it."""
    metadata = {**template["metadata"], "name": "made"}
    pod = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": metadata}
    await desk.user.create(PODS, pod, "default")
    return "made"


async def test_a_leaderworkerset_is_given_the_gate_in_both_templates_or_the_one_it_has(
    desk: Desk,
) -> None:
    manifest = examples(made=True)["leaderworkerset"]
    templates = manifest["spec"]["leaderWorkerTemplate"]
    for template in (templates["leaderTemplate"], templates["workerTemplate"]):
        template["spec"].pop("schedulingGates")
    gates = [{"name": "kube-queue/admission"}]
    wishes = Wishes("", "default", 7)
    made = Kinds().submission("here", manifest, wishes).manifest["spec"]["leaderWorkerTemplate"]
    for name in ("leaderTemplate", "workerTemplate"):
        assert made[name]["spec"]["schedulingGates"] == gates
        assert made[name]["metadata"]["annotations"] == {"scheduling.x-k8s.io/priority": "7"}
    del templates["leaderTemplate"]
    made = Kinds().submission("here", manifest, wishes).manifest["spec"]["leaderWorkerTemplate"]
    assert made.keys() == {"size", "workerTemplate"}
    said = await desk.done("submit", "-f", "-", "--dry-run", stdin=yaml.safe_dump(manifest))
    assert said.startswith(
        "Each group of Pods of LeaderWorkerSet leaderworkerset in namespace default would wait"
    )
    assert "cpu requested 6" in said


async def test_a_dry_run_tells_of_each_pod_that_would_be_made(desk: Desk) -> None:
    manifest = examples(made=True)["statefulset"]
    said = await desk.done("submit", "-f", "-", "--dry-run", stdin=yaml.safe_dump(manifest))
    assert said.startswith("Each Pod of StatefulSet statefulset in namespace default would run")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"template": None}, "spec.template: is missing"),
        ({"template": {"metadata": {}}}, "spec.template.spec: is missing"),
        ({"template": {"spec": {"nodeName": "a"}}}, "spec.template.spec.nodeName: "),
        (
            {"template": {"spec": {"schedulingGates": "none"}}},
            "spec.template.spec.schedulingGates: is no list",
        ),
    ],
)
async def test_a_template_whose_pods_could_not_wait_is_refused(
    desk: Desk, change: dict[str, Any], said: str
) -> None:
    manifest = examples(made=True)["deployment"]
    manifest["spec"] |= change
    refused = await desk.refused("submit", "-f", "-", code=2, stdin=yaml.safe_dump(manifest))
    assert said in refused


async def test_flags_say_queue_quota_and_priority_for_every_job(desk: Desk) -> None:
    flags = ("--queue", "express", "--quota", "default", "--priority", "7")
    code, _, err = await desk.run("submit", "-f", "-", *flags, stdin=the_job("pi"))
    assert (code, err) == (0, "Note: there is no Queue express yet; jobs wait until there is.\n")
    metadata = (await desk.get(JOBS, "pi"))["metadata"]
    assert metadata["annotations"]["kube-queue/queue-name"] == "express"
    assert metadata["annotations"]["scheduling.x-k8s.io/priority"] == "7"
    assert metadata["labels"]["quota.scheduling.alibabacloud.com/name"] == "default"
    unit = await desk.phase("pi-job-qu")
    assert (unit["spec"]["queue"], unit["spec"]["priority"]) == ("express", 7)


async def test_directories_lists_and_generated_names_are_taken_as_kubectl_does(desk: Desk) -> None:
    job = yaml.safe_load(the_job("listed", "1"))
    generated = yaml.safe_load(the_job("x", "1"))
    generated["metadata"] = {"generateName": "many-"}
    listed = {"apiVersion": "v1", "kind": "List", "items": [job, generated]}
    desk.file(json.dumps(listed), "all/a.json")
    desk.file("---\n" + CONFIG_MAP + "---\n", "all/b.yaml")
    desk.file("no manifest", "all/README.md")
    said = (await desk.done("submit", "-f", str(desk.folder / "all"))).splitlines()
    assert said[0] == "Job default/listed submitted: it is held until its turn comes"
    assert said[1].startswith("Job default/many-")
    assert said[2] == "ConfigMap default/input created as it is: its kind is not queued"
    assert (await desk.get(CONFIG_MAPS, "input"))["data"] == {"seconds": "5"}


async def test_a_job_that_exists_is_left_as_it_is_and_the_others_are_created(desk: Desk) -> None:
    await desk.done("submit", "-f", "-", stdin=the_job("pi", "1"))
    before = await desk.phase("pi-job-qu", "Dequeued")
    two = the_job("pi", "2") + "---" + the_job("other", "1")
    code, out, err = await desk.run("submit", "-f", "-", stdin=two)
    assert code == 1
    assert out == "Job default/other submitted: it is held until its turn comes\n"
    assert "standard input:2: Job default/pi exists already and is left as it is" in err
    assert err.endswith("Error: 1 of 2 objects were not created\n")
    assert (await desk.unit("pi-job-qu"))["metadata"]["uid"] == before["metadata"]["uid"]


async def test_nothing_is_created_when_a_part_of_the_file_is_wrong(desk: Desk) -> None:
    good = the_job("good", "1")
    wrong = {
        "no YAML": ("a: [", "job.yaml:15:1: is no YAML"),
        "tab": ("a:\n\tb: 1", "job.yaml:15:1: is no YAML"),
        "twice": ("kind: A\nkind: B", "job.yaml:15: 'kind' is there twice"),
        "text": ("only text", "job.yaml:14: is not an object with apiVersion and kind"),
        "no kind": ("metadata: {name: x}", "job.yaml:14: apiVersion: is missing"),
        "no name": ("apiVersion: v1\nkind: Pod", "job.yaml:14: metadata.name: is missing"),
        "binary": ("a: !!binary aGk=", "is nothing JSON can say"),
        "count": (the_job("bad", more="parallelism: -1"), "twice"),
        "negative": (
            the_job("bad").replace("parallelism: 1", "parallelism: -1"),
            "job.yaml:15: spec.parallelism: -1 is not a number of pods",
        ),
        "label": (
            the_job("bad").replace("{name: bad}", "{name: bad, labels: [a]}"),
            "job.yaml:15: metadata.labels: is not a mapping",
        ),
    }
    for name, (text, says) in wrong.items():
        source = desk.file(f"{good}---\n{text}\n")
        said = await desk.refused("submit", "-f", source, code=2)
        assert says in said, (name, said)
    await desk.refused("submit", "-f", str(desk.folder / "none.yaml"), code=2)
    assert await desk.user.list(JOBS) == []


@pytest.mark.parametrize("flags", [[], ["--dry-run"], ["--dry-run=server"]])
async def test_a_file_without_any_job_is_refused(desk: Desk, flags: list[str]) -> None:
    said = await desk.refused("submit", "-f", "-", *flags, code=2, stdin=CONFIG_MAP)
    assert (
        "holds no job that can be queued; the kinds are AppWrapper, Deployment, JAXJob, Job,"
        in said
    )
    assert await desk.user.list(CONFIG_MAPS) == []
    said = await desk.refused("submit", "-f", "-", *flags, code=2, stdin="---\n")
    assert "holds no object" in said


async def test_what_the_cluster_does_not_serve_or_the_flags_forbid_is_said(desk: Desk) -> None:
    said = await desk.refused("submit", "-f", "-", "--dry-run=all", code=2, stdin=the_job("pi"))
    assert "use client or server" in said
    old = the_job("pi").replace("batch/v1", "batch/v1beta9")
    said = await desk.refused("submit", "-f", "-", code=2, stdin=old)
    assert "batch/v1beta9 is no version of Job that can be queued" in said
    unknown = "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: x}\n---" + the_job("pi")
    said = await desk.refused("submit", "-f", "-", code=2, stdin=unknown)
    assert "standard input:1: this cluster serves no Thing of example.com/v1" in said
    elsewhere = the_job("pi").replace("{name: pi}", "{name: pi, namespace: other}")
    said = await desk.refused("submit", "-f", "-", "-n", "default", code=2, stdin=elsewhere)
    assert "Job pi is of namespace other, not default" in said
    kueue = the_job("pi").replace(
        "{name: pi}", "{name: pi, labels: {kueue.x-k8s.io/queue-name: a}}"
    )
    said = await desk.refused("submit", "-f", "-", code=2, stdin=kueue)
    assert "kube-queue would leave it alone" in said
    assert await desk.user.list(JOBS) == []


TRIES = pytest.mark.parametrize("controller", [True, False], ids=["asked", "rebuilt"])


@TRIES
async def test_a_dry_run_says_whether_it_would_run_and_creates_nothing(
    desk: Desk, controller: bool
) -> None:
    await desk.done("submit", "-f", "-", stdin=the_job("first", "3"))
    await desk.phase("first-job-qu", "Dequeued")
    if not controller:
        await desk.without_controller()
    said = await desk.run("submit", "-f", "-", "--dry-run", stdin=the_job("small", "1"))
    assert said[0] == 0, said
    assert ("no controller answers" in said[2]) is not controller
    assert said[1] == (
        "Job small in namespace default would run now.\n"
        "  Queue:      root-default, policy Round, position 1\n"
        "  Priority:   0\n"
    )
    big = await desk.done("submit", "-f", "-", "--dry-run=client", stdin=the_job("big", "2"))
    assert big.startswith("Job big in namespace default would wait (InsufficientQuota).\n")
    for line in ("Job default/first", "root/default"):
        assert line in big
    huge = await desk.done("submit", "-f", "-", "--dry-run", stdin=the_job("huge", "9"))
    assert "would wait (ExceedsMaxQuota)" in huge
    await desk.done("submit", "-f", "-", "--dry-run", "-n", "other", stdin=the_job("x", "1"))
    assert [one["metadata"]["name"] for one in await desk.user.list(JOBS)] == ["first"]
    assert [one["metadata"]["name"] for one in await desk.user.list(QUEUE_UNITS)] == [
        "first-job-qu"
    ]


async def test_each_of_several_jobs_is_judged_by_itself(desk: Desk) -> None:
    two = the_job("one", "3") + "---" + the_job("two", "3") + "---" + CONFIG_MAP
    said = await desk.done("submit", "-f", "-", "--dry-run", stdin=two)
    assert "Job one in namespace default would run now." in said
    assert "Job two in namespace default would run now." in said
    assert said.endswith("Each is judged by itself, as if the others were not submitted.\n")


async def test_a_dry_run_knows_held_queues_missing_ones_and_priority_classes(desk: Desk) -> None:
    await desk.done("stop", "root-default")
    said = await desk.done("submit", "-f", "-", "--dry-run", stdin=the_job("pi", "1"))
    assert "would wait (QueueStopped)" in said
    flags = ("--dry-run", "--queue", "none", "--priority", "12")
    said = await desk.done("submit", "-f", "-", *flags, stdin=the_job("pi", "1"))
    assert "would wait (NoQueue)" in said
    assert "Priority:   12" in said


async def test_a_dry_run_on_the_server_has_the_job_checked_there(desk: Desk) -> None:
    flags = ("-f", "-", "--dry-run=server")
    said = await desk.done("submit", *flags, stdin=the_job("pi", "1"))
    assert "would run now" in said
    # No selector can be written by hand: only the server knows.
    wrong = the_job("pi", "1").replace("restartPolicy: Never", "restartPolicy: Always")
    said = await desk.refused("submit", *flags, stdin=wrong)
    assert "Job pi would be refused" in said
    assert "restartPolicy" in said
    await desk.done("submit", "-f", "-", stdin=the_job("pi", "1"))
    code, out, err = await desk.run("submit", *flags, stdin=the_job("pi", "1"))
    assert (code, "would run now" in out) == (0, True)
    assert "Job pi exists already; submitting it would fail" in err


async def test_a_job_with_many_pod_sets_can_be_asked_about(desk: Desk) -> None:
    manifest = copy.deepcopy(examples()["jobset"])
    (job, *_) = manifest["spec"]["replicatedJobs"]
    manifest["spec"]["replicatedJobs"] = [
        {**copy.deepcopy(job), "name": f"job-{number}"} for number in range(400)
    ]
    said = await desk.done("submit", "-f", "-", "--dry-run", stdin=yaml.safe_dump(manifest))
    assert "ExceedsMaxQuota" in said or "would" in said


async def test_a_held_tfjob_shows_that_it_waits(desk: Desk) -> None:
    await desk.done("stop", "root-default")
    manifest = examples()["tfjob"]
    await desk.done("submit", "-f", "-", stdin=yaml.safe_dump(manifest))

    async def state() -> bool:
        job = await desk.get(TFJOBS, "tfjob")
        shown = job.get("status", {}).get("conditions") or [{}]
        return bool(shown[-1].get("type") == "Queuing")

    await desk.until(state)
