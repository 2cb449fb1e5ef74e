"""Absurd jobs of every kind: a reason on the job, never a crash, never an admission for less."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kube_queue.api import names
from kube_queue.api.errors import InvalidInput
from kube_queue.api.lifecycle import Phase
from kube_queue.api.names import (
    KUEUE_QUEUE_LABEL,
    PREEMPTIBLE_LABELS,
    QUOTA_LABELS,
)
from kube_queue.api.resources import ResourceVector
from kube_queue.api.units import project_unit
from kube_queue.jobframework.decisions import CreateUnit, Topic
from kube_queue.jobframework.extension import (
    HeldAtFirst,
    Hold,
    JobExtension,
    Reclaimable,
    ShowsQueuing,
    Stoppable,
    Suspendable,
    Warns,
    evictable,
)
from kube_queue.jobframework.registry import load_extensions
from kube_queue.jobframework.view import view_job
from tests.examples import examples
from tests.extensions.asking import total
from tests.extensions.manifests import (
    Manifest,
    a_component,
    a_jobset,
    a_kubeflow_job,
    a_member,
    a_pod,
    a_pod_group,
    a_raycluster,
    a_rayjob,
    a_replicated_job,
    a_sparkapp,
    a_trainjob,
    a_worker_group,
    a_workflow,
    an_appwrapper,
    an_lws_group,
    an_lws_pod,
    an_mpijob,
    an_old_mpijob,
)
from tests.extensions.test_conformance import SAMPLES
from tests.jobframework.builders import World, a_job, a_template, a_tfjob

HEAD = {"template": a_template()}
HELD: tuple[tuple[str, Manifest], ...] = (
    ("tfjob", a_tfjob(Chief=1, PS=2, Worker=3, Evaluator=1)),
    ("pytorchjob", a_kubeflow_job("PyTorchJob", "pytorchReplicaSpecs", Master=1, Worker=2)),
    ("xgboostjob", a_kubeflow_job("XGBoostJob", "xgbReplicaSpecs", Master=1, Worker=2)),
    ("paddlejob", a_kubeflow_job("PaddleJob", "paddleReplicaSpecs", Worker=2)),
    ("jaxjob", a_kubeflow_job("JAXJob", "jaxReplicaSpecs", Worker=2)),
    ("mxjob", a_kubeflow_job("MXJob", "mxReplicaSpecs", Scheduler=1, Server=1, Worker=2)),
    ("mpiv1", an_mpijob()),
    ("mpiv1", an_old_mpijob(launcherResources={"requests": {"cpu": "1"}})),
    ("mpiv1", an_old_mpijob(replicas=None, gpus=8, gpusPerNode=4)),
    ("job", a_job(parallelism=2, completions=2)),
    (
        "rayjob",
        a_rayjob(
            submissionMode="SidecarMode",
            rayClusterSpec={
                "headGroupSpec": HEAD,
                "enableInTreeAutoscaling": True,
                "autoscalerOptions": {"resources": {"requests": {"cpu": "1"}}},
                "workerGroupSpecs": [
                    a_worker_group("one", replicas=1, minReplicas=1, maxReplicas=1),
                    a_worker_group("two", replicas=2, numOfHosts=1),
                ],
            },
        ),
    ),
    ("rayjob", a_rayjob(submitterPodTemplate=a_template("2", "2Gi"))),
    (
        "sparkapp",
        a_sparkapp(
            type="Python",
            driver={"coreRequest": "500m", "memory": "512m", "memoryOverhead": "128m"},
            executor={
                "cores": 2,
                "instances": 2,
                "gpu": {"name": "nvidia.com/gpu", "quantity": 1},
                "sidecars": [{"name": "log", "resources": {"requests": {"cpu": "1"}}}],
                "template": a_template("1", "1Gi"),
            },
            dynamicAllocation={"enabled": True, "initialExecutors": 2, "minExecutors": 2},
            memoryOverheadFactor="0.4",
            sparkConf={"spark.executor.memory": "1g", "spark.executor.pyspark.memory": "1g"},
        ),
    ),
    ("workflow", a_workflow()),
    ("pod", a_pod("example.com/other")),
    ("podgroup", a_pod_group()),
    ("leaderworkerset", an_lws_group()),
    ("jobset", a_jobset()),
    ("trainjob", a_trainjob()),
    ("raycluster", a_raycluster()),
    (
        "appwrapper",
        an_appwrapper(
            a_component(
                "Odd", {"pods": a_template()}, {"path": "template.spec.pods", "replicas": 2}
            )
        ),
    ),
)
ABSURD: tuple[Any, ...] = (
    -1,
    -(10**30),
    10**30,
    2**63,
    True,
    "junk",
    "-5",
    "10e30",
    "9" * 400,
    "5Gb",
    "\x00",
    ["junk"],
    [None],
    [[]],
    {"junk": None},
    {"junk": {"junk": -1}},
)
EVERY = pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.long)])
"""The quick suite tries every third value, at every place: their number is no multiple of three."""
OPEN = frozenset(
    {
        "requests",
        "limits",
        "sparkConf",
        "tfReplicaSpecs",
        "pytorchReplicaSpecs",
        "xgbReplicaSpecs",
        "paddleReplicaSpecs",
        "jaxReplicaSpecs",
        "mxReplicaSpecs",
        "mpiReplicaSpecs",
        "members",
    }
)
"""Maps whose keys are names of one's own: there is no field that nobody knows."""
ANNOTATIONS = sorted(value for name, value in vars(names).items() if name.endswith("_ANNOTATION"))
LABELS = sorted({*QUOTA_LABELS, *PREEMPTIBLE_LABELS, KUEUE_QUEUE_LABEL})
PARTS = ("spec", "members")
"""Where a manifest says what it asks for: a job, or a group of pods."""
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**31), 10**31)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["true", "10Gi", "1e9", "Running", "Worker", "kube-queue-suspend"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["spec", "template", "replicas", "containers", "resources", "x", "cpu"])
            | st.text(max_size=8),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def extension_named(name: str) -> JobExtension:
    (extension,) = load_extensions(name)
    return extension


def places(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if here:
        yield here
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from places(inner, (*here, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(inner, (*here, index))


def tried(
    these: Iterator[Any] | Sequence[Any], values: Sequence[Any], every: int
) -> Iterator[tuple[Any, Any]]:
    """Every pair of one of these with one of the values, or every third pair."""
    return itertools.islice(itertools.product(these, values), 0, None, every)


def copied(manifest: Manifest) -> Manifest:
    """An equal one that shares nothing with it, much sooner than by deepcopy."""
    fresh: Manifest = pickle.loads(pickle.dumps(manifest))
    return fresh


def asking(manifest: Manifest) -> Manifest:
    """The parts of it that say what it asks for."""
    return {part: manifest[part] for part in PARTS if part in manifest}


def with_value(manifest: Manifest, place: tuple[Any, ...], value: Any) -> Manifest:
    changed = copied(manifest)
    at: Any = changed
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = value
    return changed


def at(manifest: Manifest, place: tuple[Any, ...]) -> Any:
    found: Any = manifest
    for step in place:
        found = found[step]
    return found


def is_template(value: Any) -> bool:
    """Whether it is a pod template, by what is in it."""
    spec = value.get("spec") if isinstance(value, dict) else None
    return isinstance(spec, dict) and "containers" in spec


def every_answer(extension: JobExtension, manifest: Manifest) -> None:
    """Ask everything an extension can be asked: nothing but a refusal of the pod sets may come."""
    before = copied(manifest)
    extension.state(manifest)
    extension.priority_class(manifest)
    extension.resume(manifest)
    evictable(extension, manifest)
    if isinstance(extension, Suspendable):
        extension.suspend(manifest)
    if isinstance(extension, Stoppable):
        extension.stop(manifest)
    if isinstance(extension, Reclaimable):
        with suppress(InvalidInput):
            assert all(isinstance(each, int) for each in extension.finished(manifest).values())
    if isinstance(extension, HeldAtFirst):
        with suppress(InvalidInput):
            extension.hold(manifest)
    if isinstance(extension, Warns):
        extension.warnings(manifest)
    if isinstance(extension, ShowsQueuing):
        extension.queuing(manifest, True, "2026-01-31T12:00:00Z")
        extension.queuing(manifest, False, "2026-01-31T12:00:00Z")
    assert manifest == before


def charged(extension: JobExtension, manifest: Manifest) -> ResourceVector | None:
    """What the job's unit asks for; None if the unit, or the job, has no way to be admitted.

    The unit says the same as the translator, in words that can be sent.
    """
    try:
        asked: ResourceVector | None = total(extension, manifest)
        problem = ""
    except InvalidInput as error:
        asked, problem = None, str(error)
        assert error.problem
    view = view_job(extension, manifest)
    over = view.state.outcome is not None or view.stopped
    if view.state.hold is Hold.NONE or over or view.foreign:
        return None
    (create, *_) = World(manifest, extension).plan()
    assert isinstance(create, CreateUnit)
    unit = project_unit(orjson.loads(orjson.dumps(create.manifest)))
    assert unit.invalid == problem[:1024]
    if asked is None:
        assert any(each.warning and each.message == unit.invalid for each in create.says)
        return None
    assert unit.request == asked
    return asked


@EVERY
@pytest.mark.parametrize(("name", "manifest"), HELD)
def test_no_absurd_value_anywhere_makes_a_job_ask_for_less(
    name: str, manifest: Manifest, every: int
) -> None:
    extension = extension_named(name)
    whole = charged(extension, manifest)
    assert whole
    for place, value in tried(places(asking(manifest)), ABSURD, every):
        changed = with_value(manifest, place, value)
        every_answer(extension, changed)
        now = charged(extension, changed)
        if now is None or isinstance(value, dict):
            # Fields nobody knows are legal, and so is a container without resources.
            continue
        less = [each for each, amount in whole.items if now[each] < amount]
        assert not less, f"{'.'.join(map(str, place))} = {value!r} asks for less {less}"


def test_every_kind_has_a_held_job_whose_request_is_known() -> None:
    assert {name for name, _manifest in HELD} == SAMPLES.keys()


@pytest.mark.parametrize(("name", "manifest"), HELD)
def test_an_empty_pod_template_is_a_reason_and_no_request_of_nothing(
    name: str, manifest: Manifest
) -> None:
    extension = extension_named(name)
    whole = charged(extension, manifest)
    assert whole
    for place in places(asking(manifest)):
        if not is_template(at(manifest, place)):
            continue
        for empty in ({}, {"spec": {}}, {"spec": {"containers": []}}, {"spec": None}):
            changed = with_value(manifest, place, empty)
            every_answer(extension, changed)
            # Spark makes the container that a template does not have.
            assert charged(extension, changed) is None or name == "sparkapp", (place, empty)


@EVERY
@pytest.mark.parametrize(("name", "manifest"), HELD)
def test_fields_nobody_knows_change_nothing(name: str, manifest: Manifest, every: int) -> None:
    extension = extension_named(name)
    whole = charged(extension, manifest)
    closed = [
        place
        for place in places(asking(manifest))
        if isinstance(at(manifest, place), dict) and place[-1] not in OPEN
    ]
    for place, value in tried(closed, ABSURD, every):
        changed = with_value(manifest, (*place, "nobodyKnowsThis"), value)
        every_answer(extension, changed)
        assert charged(extension, changed) == whole, (place, value)


@EVERY
@pytest.mark.parametrize(("name", "manifest"), HELD)
@pytest.mark.parametrize("place", ["annotations", "labels"])
def test_annotations_and_labels_that_are_no_texts_make_no_job_ask_for_less(
    name: str, manifest: Manifest, place: str, every: int
) -> None:
    extension = extension_named(name)
    whole = charged(extension, manifest)
    keys = ANNOTATIONS if place == "annotations" else LABELS
    for key, value in tried(keys, (*ABSURD, 7.5, [], {}), every):
        marks = {**manifest["metadata"].get(place, {}), key: value}
        changed = {**manifest, "metadata": {**manifest["metadata"], place: marks}}
        every_answer(extension, changed)
        now = charged(extension, changed)
        # One that is no longer held has no unit; one of its owner's words cannot be read.
        assert now is None or now == whole, (key, value)


@EVERY
@pytest.mark.parametrize(("name", "manifest"), HELD)
def test_no_absurd_edit_of_a_running_job_makes_it_hold_what_cannot_be_counted(
    name: str, manifest: Manifest, every: int
) -> None:
    extension = extension_named(name)
    admitted = World(manifest, extension)
    admitted.go()
    admitted.admit().go()
    assert admitted.job is not None
    for place, value in tried(places(asking(admitted.job)), ABSURD, every):
        job = with_value(admitted.job, place, value)
        world = World(job, extension, admitted.unit, waited=dict.fromkeys(Topic, 1e6))
        world.go()
        unit = project_unit(orjson.loads(orjson.dumps(world.unit)))
        assert unit.phase is Phase.DEQUEUED and unit.held, (place, value)
        assert all(amount < 2**63 for _, amount in unit.held.items), (place, value)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_missing_field_anywhere_is_no_crash(name: str) -> None:
    extension = extension_named(name)
    for sample in SAMPLES[name]:
        for place in places(dict(sample.manifest)):
            changed = copied(dict(sample.manifest))
            at: Any = changed
            for step in place[:-1]:
                at = at[step]
            del at[place[-1]]
            every_answer(extension, changed)
            if "uid" in changed.get("metadata", {}):
                charged(extension, changed)


@pytest.mark.parametrize("name", sorted(SAMPLES))
@given(data=st.data())
@settings(max_examples=examples(25))
def test_a_job_of_which_any_part_is_anything_gets_an_answer(name: str, data: st.DataObject) -> None:
    extension = extension_named(name)
    sample = data.draw(st.sampled_from(SAMPLES[name]))
    changed = dict(sample.manifest)
    for _ in range(data.draw(st.integers(1, 3))):
        parts = {part: changed[part] for part in (*PARTS, "status") if part in changed}
        place = data.draw(st.sampled_from(list(places(parts))))
        changed = with_value(changed, place, data.draw(json_values))
    every_answer(extension, changed)
    charged(extension, changed)


@pytest.mark.parametrize("name", sorted(SAMPLES))
@given(spec=json_values, status=json_values, annotations=json_values)
@settings(max_examples=examples(20))
def test_a_job_that_is_anything_gets_an_answer(
    name: str, spec: Any, status: Any, annotations: Any
) -> None:
    extension = extension_named(name)
    manifest = dict(SAMPLES[name][0].manifest)
    metadata = {**manifest["metadata"], "annotations": annotations}
    manifest |= {"metadata": metadata, "spec": spec, "status": status}
    every_answer(extension, manifest)
    charged(extension, manifest)


def of_its_own(pod: Manifest, number: int) -> Manifest:
    """The pod asks for what no other does."""
    (container,) = pod["spec"]["containers"]
    container["resources"] = {"requests": {"cpu": f"{number}m"}}
    return pod


def many_pods(name: str) -> Manifest:
    """A group of 5,000 pods, each of which asks for something else."""
    numbers = range(5000)
    if name == "podgroup":
        return a_pod_group(*(of_its_own(a_member(f"pod-{each}", "5000"), each) for each in numbers))
    return an_lws_group(*(of_its_own(an_lws_pod(each, "5000"), each) for each in numbers))


def many(name: str) -> Manifest:
    """A job of this kind with 5,000 groups of what it has groups of."""
    if name == "job":
        return a_job(template={"spec": {"containers": a_template()["spec"]["containers"] * 5000}})
    if name == "pod":
        pod = a_pod()
        pod["spec"]["containers"] *= 5000
        return pod
    if name == "rayjob":
        groups = [a_worker_group(f"group-{each}", replicas=1) for each in range(5000)]
        return a_rayjob(rayClusterSpec={"headGroupSpec": HEAD, "workerGroupSpecs": groups})
    if name == "sparkapp":
        sidecars = [{"name": f"c{each}", "resources": {}} for each in range(5000)]
        conf = {f"spark.executor.resource.r{each}.amount": "1" for each in range(5000)}
        executor = {"instances": 1, "sidecars": sidecars}
        return a_sparkapp(executor=executor, sparkConf=conf)
    if name == "workflow":
        return a_workflow("\n".join(f"example.com/r{each}: 1" for each in range(5000)))
    if name == "jobset":
        return a_jobset(*(a_replicated_job(f"job-{each}") for each in range(5000)))
    if name == "raycluster":
        groups = [a_worker_group(f"group-{each}", replicas=1) for each in range(5000)]
        return a_raycluster(workerGroupSpecs=groups)
    if name == "appwrapper":
        return an_appwrapper(*(a_component("Pod", a_template()["spec"]) for _ in range(5000)))
    if name == "trainjob":
        limits = {f"example.com/r{each}": "1" for each in range(5000)}
        return a_trainjob(resourcesPerNode={"limits": limits}, numNodes=2**31 - 1)
    manifest = copied(dict(SAMPLES[name][0].manifest))
    (field,) = manifest["spec"]
    replica = next(iter(manifest["spec"][field].values()))
    manifest["spec"][field] |= {f"Worker{each}": replica for each in range(5000)}
    return manifest


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_five_thousand_groups_are_refused_or_counted(name: str) -> None:
    extension = extension_named(name)
    manifest = many_pods(name) if name in ("podgroup", "leaderworkerset") else many(name)
    every_answer(extension, manifest)
    found = charged(extension, manifest)
    if name in ("job", "pod"):
        assert found == ResourceVector.parse({"cpu": 5000, "memory": "5000Gi"})
    elif name == "sparkapp":
        assert found == ResourceVector.parse({"cpu": 2, "memory": "2304Mi"})
    elif name == "trainjob":
        assert found is not None
        assert len(found.items) == 5000
    else:
        assert found is None
