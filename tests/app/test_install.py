"""Installing kube-queue's kinds into a cluster."""

import random

from kube_queue.api.types import CRDS
from kube_queue.apiserver.core import ApiServer
from kube_queue.app.in_process import InProcessTransport
from kube_queue.app.install import install, is_established
from kube_queue.kube.client import Client


def test_a_kind_whose_conditions_are_still_null_is_not_established() -> None:
    assert not is_established({"status": {"conditions": None}})
    assert not is_established({})


def test_a_kind_is_established_once_its_condition_says_so() -> None:
    condition = {"type": "Established", "status": "False"}
    assert not is_established({"status": {"conditions": [condition]}})
    assert is_established({"status": {"conditions": [{**condition, "status": "True"}]}})


async def test_definitions_that_others_bring_are_left_to_them() -> None:
    client = Client(InProcessTransport(ApiServer(clock=lambda: 0.0, rng=random.Random(1))))
    await install(client, operators=True, others=("tfjobs.kubeflow.org",))
    there = {crd["metadata"]["name"] for crd in await client.list(CRDS)}
    assert {"rayjobs.ray.io", "jaxjobs.kubeflow.org", "queueunits.scheduling.x-k8s.io"} <= there
    assert "tfjobs.kubeflow.org" not in there
