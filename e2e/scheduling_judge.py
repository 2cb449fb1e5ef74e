"""`python -m e2e.scheduling_judge`: our base plug-ins beside the real kube-scheduler.

Random clusters without kubelets; pods are created one at a time, and kube-scheduler places them.
Each time we are asked about the same cluster: the node it chose has to be among those we would
take, and where it finds none we have to find none, for the same reasons of as many nodes each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import ssl
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from e2e.scheduling_binder import Binder
from e2e.scheduling_storage import Disks
from e2e.scheduling_worlds import NAMESPACES, PRIORITY, Chance, Manifest
from kube_queue.api.nodes import node_of
from kube_queue.api.pods import Pod, pod_of, shared_labels
from kube_queue.controlplane.cluster import ControlPlane, Shape, binaries_for
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.framework import Profile
from kube_queue.placement.placing import Placer
from kube_queue.placement.plugins import BASE
from kube_queue.placement.storage import Storage

ANSWER_WITHIN = 30.0
POLL_SECONDS = 0.01
MERGE = {"Content-Type": "application/merge-patch+json"}
NODES = "/api/v1/nodes"
_SENTINEL = "example.com/seen"
_TAINT = re.compile(r"untolerated taint \{.*\}")
"""We name the taint; kube-scheduler 1.36 counts them together."""
_COUNTED = re.compile(r"(\d+) (.+)")


class Api:
    """The API server, as its administrator."""

    def __init__(self, plane: ControlPlane) -> None:
        self._server = plane.server
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {plane.token}"},
            connector=aiohttp.TCPConnector(ssl=ssl.create_default_context(cadata=plane.authority)),
        )

    async def close(self) -> None:
        """The connections are closed."""
        await self._session.close()

    async def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Manifest:
        """The answer; anything but success is an error of the judge."""
        data = json.dumps(body) if body is not None else None
        sent = {"Content-Type": "application/json", **(headers or {})}
        async with self._session.request(
            method, self._server + path, data=data, headers=sent
        ) as answer:
            found: Manifest = await answer.json()
            if answer.status >= 400:
                raise RuntimeError(f"{method} {path}: {found.get('message')}")
            return found


@dataclass
class Tally:
    """What came of it."""

    pods: int = 0
    bound: int = 0
    best: int = 0
    """Pods whose node is among those that we score highest."""
    refused: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    disagreements: list[str] = field(default_factory=list)


class Judge:
    """One world: the cluster as the API server has it, and as we see it."""

    def __init__(self, api: Api, seed: int, tally: Tally, *, volumes: bool = True) -> None:
        self._api = api
        self._seed = seed
        self._tally = tally
        self._chance = Chance(seed)
        self._cluster = Cluster()
        profile = Profile(tuple(plugin(self._cluster) for plugin in BASE))
        self._placer = Placer(self._cluster, profile)
        self._disks = Disks(seed)
        self._binder = Binder(api.send, self._disks, self._cluster.shared(Storage))
        self._volumes = volumes
        self._bound: dict[str, tuple[str, str]] = {}
        self._marks = 0
        for name, labels in NAMESPACES.items():
            self._cluster.namespace_seen(
                name, shared_labels({**labels, "kubernetes.io/metadata.name": name})
            )

    async def play(self, pods: int) -> None:
        """So many pods are created, with changes of the cluster between."""
        names = [f"s{self._seed}-n{index}" for index in range(self._chance.number(5, 20))]
        for name in names:
            node = self._chance.node(name)
            await self._api.send("POST", NODES, node)
            # The server taints whatever node is new.
            await self._change(name, {"spec": {"taints": node["spec"]["taints"]}})
        if self._volumes:
            await self._binder.create(names)
        await self._settle(names[-1], storage=self._volumes)
        for index in range(pods):
            if self._chance.happens(0.1):
                await self._event(names)
            pod = self._chance.pod(f"s{self._seed}-p{index}")
            await self._ask(self._disks.mounting(pod) if self._volumes else pod)

    async def clear(self) -> None:
        """Nothing of the world is left."""
        for namespace in NAMESPACES:
            path = f"/api/v1/namespaces/{namespace}/pods?gracePeriodSeconds=0"
            await self._api.send("DELETE", path)
        await self._api.send("DELETE", NODES)

    # --- steps ----------------------------------------------------------------------------------

    async def _event(self, names: list[str]) -> None:
        if self._bound and self._chance.happens(0.5):
            uid = self._chance.of(sorted(self._bound))
            await self._delete(*self._bound.pop(uid))
            self._cluster.forget(uid)
            return
        name = self._chance.of(names)
        labels = {
            **dict.fromkeys((await self._api.send("GET", f"{NODES}/{name}"))["metadata"]["labels"]),
            **self._chance.labels_of(name),
        }
        change = {"metadata": {"labels": labels}, "spec": {"taints": self._chance.taints()}}
        await self._change(name, change)
        await self._settle(name)

    async def _change(self, name: str, change: Manifest) -> None:
        node = await self._api.send("PATCH", f"{NODES}/{name}", change, MERGE)
        self._cluster.node_seen(node_of(node))

    async def _settle(self, name: str, *, storage: bool = False) -> None:
        """The scheduler has seen the nodes as they are, and with `storage` all volumes and claims:
        it binds a pod by the last change.
        """
        self._marks += 1
        mark = f"s{self._seed}-m{self._marks}"
        await self._change(name, {"metadata": {"labels": {_SENTINEL: mark}}})
        node = await self._api.send("GET", f"{NODES}/{name}")
        if node["spec"].get("unschedulable"):
            await self._change(name, {"spec": {"unschedulable": False}})
        sentinel: Manifest = {
            "metadata": {"namespace": "default", "name": mark},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "nodeSelector": {_SENTINEL: mark},
                "tolerations": [{"operator": "Exists"}],
                "containers": [{"name": "c", "image": "example.com/none:1"}],
            },
        }
        if storage:
            claim = {"claimName": await self._binder.mark(mark)}
            sentinel["spec"]["volumes"] = [{"name": "d", "persistentVolumeClaim": claim}]
        room = int(node["status"]["allocatable"]["pods"])
        there = sum(pod["spec"].get("nodeName") == name for pod in await self._pods())
        if there >= room:
            more = {"status": {"allocatable": {"pods": str(there + 1)}}}
            found = await self._api.send("PATCH", f"{NODES}/{name}/status", more, MERGE)
            self._cluster.node_seen(node_of(found))
        await self._api.send("POST", "/api/v1/namespaces/default/pods", sentinel)
        await self._answered("default", mark, until_bound=True)
        await self._delete("default", mark)

    async def _ask(self, manifest: Manifest) -> None:
        namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
        await self._api.send("POST", f"/api/v1/namespaces/{namespace}/pods", manifest)
        answered = await self._answered(namespace, name)
        pod = pod_of(answered)
        self._tally.pods += 1
        if pod.node:
            self._compare_node(pod, answered)
            await self._binder.seen(answered)
            self._cluster.pod_seen(pod)
            self._bound[pod.uid] = namespace, name
        else:
            self._compare_refusal(pod, answered)
            await self._delete(namespace, name)

    def _compare_node(self, pod: Pod, manifest: Manifest) -> None:
        self._tally.bound += 1
        waiting = pod_of({**manifest, "spec": {**manifest["spec"], "nodeName": ""}})
        row = self._cluster.row_of[pod.node]
        mask = self._placer.feasible(waiting)
        if not mask[row]:
            refusal = self._placer.row_refusal(waiting, row)
            why = refusal.reason if refusal is not None else "nothing, asked about it alone"
            self._disagree(manifest, f"kube-scheduler took {pod.node}; we say: {why}")
            return
        scores = self._scores(waiting, mask)
        self._tally.best += bool(scores[row] == scores[mask].max())

    def _scores(self, pod: Pod, mask: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        scores = self._placer.views.of(pod.spec).score.copy()
        for plugin in self._placer.profile.state_scores:
            if plugin.scores_by_pods(pod):
                scores += plugin.weight * plugin.state_scores(pod, mask)
        return scores

    def _compare_refusal(self, pod: Pod, manifest: Manifest) -> None:
        self._tally.refused += 1
        mask = self._placer.feasible(pod)
        if mask.any():
            rows = np.flatnonzero(mask)
            nodes = [node.name for row in rows if (node := self._cluster.nodes[row]) is not None]
            said = f"kube-scheduler: {pod.unschedulable}; we would take {', '.join(nodes)}"
            self._disagree(manifest, said)
            return
        verdict = self._placer.verdict(pod)
        ours: Counter[str] = Counter()
        for each in verdict.counts:
            ours[_TAINT.sub("untolerated taint(s)", each.refusal.reason)] += each.nodes
        theirs = counts_of(pod.unschedulable)
        self._tally.reasons.update(theirs.keys())
        if ours != theirs:
            said = f"kube-scheduler: {pod.unschedulable}; we say: {verdict.message}"
            self._disagree(manifest, said)

    def _disagree(self, manifest: Manifest, what: str) -> None:
        spec = {key: manifest["spec"].get(key) for key in _SHOWN if manifest["spec"].get(key)}
        self._tally.disagreements.append(f"seed {self._seed}: {what}\n    {json.dumps(spec)}")

    async def _answered(self, namespace: str, name: str, *, until_bound: bool = False) -> Manifest:
        """The pod with a node, or with the reason why it got none."""
        path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        async with asyncio.timeout(ANSWER_WITHIN):
            while True:
                found = await self._api.send("GET", path)
                if found["spec"].get("nodeName"):
                    return found
                if pod_of(found).unschedulable and not until_bound:
                    return found
                await self._binder.complete(found)
                await asyncio.sleep(POLL_SECONDS)

    async def _pods(self) -> list[Manifest]:
        found: list[Manifest] = (await self._api.send("GET", "/api/v1/pods"))["items"]
        return found

    async def _delete(self, namespace: str, name: str) -> None:
        path = f"/api/v1/namespaces/{namespace}/pods/{name}?gracePeriodSeconds=0"
        await self._api.send("DELETE", path)


_SHOWN = (
    "volumes",
    "affinity",
    "topologySpreadConstraints",
    "tolerations",
    "nodeSelector",
    "containers",
)


def counts_of(message: str) -> Counter[str]:
    """The nodes of each reason in kube-scheduler's sentence."""
    text = message.partition("are available: ")[2].partition(" preemption:")[0]
    text = text.removesuffix("no new claims to deallocate,").strip().rstrip(".")
    found: Counter[str] = Counter()
    for part in text.split(", "):
        counted = _COUNTED.fullmatch(part)
        if counted is not None:
            found[counted[2]] += int(counted[1])
    return found


async def judged(first: int, worlds: int, pods: int, *, volumes: bool = True) -> Tally:
    """So many worlds were played on one control plane."""
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="kq-judge-") as folder:
        shape = Shape(controllers=())
        binaries = await binaries_for(shape, lambda line: print(line, flush=True))
        plane = ControlPlane(Path(folder), shape, binaries, lambda line: None)
        try:
            await plane.serve()
            await plane.populate()
            api = Api(plane)
            try:
                await _prepare(api)
                for seed in range(first, first + worlds):
                    judge = Judge(api, seed, tally, volumes=volumes)
                    await judge.play(pods)
                    await judge.clear()
            finally:
                await api.close()
        finally:
            await plane.stop(kill=True)
    return tally


async def _prepare(api: Api) -> None:
    priority = {
        "metadata": {"name": PRIORITY},
        "value": 1000,
        # Nobody is evicted here, so whoever comes first stays.
        "preemptionPolicy": "Never",
    }
    await api.send("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", priority)
    for name, labels in NAMESPACES.items():
        manifest = {"metadata": {"name": name, "labels": labels}}
        await api.send("POST", "/api/v1/namespaces", manifest)
    for name in ("default", *NAMESPACES):
        account = {"metadata": {"name": "default"}}
        await api.send("POST", f"/api/v1/namespaces/{name}/serviceaccounts", account)


def main() -> int:
    """The exit code: 0 where both agree about every pod."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=10)
    parser.add_argument("--pods", type=int, default=40, help="pods of each world")
    parser.add_argument("--seed", type=int, default=1, help="that of the first world")
    parser.add_argument("--no-volumes", action="store_true", help="no pod mounts anything")
    options = parser.parse_args()
    began = time.monotonic()
    tally = asyncio.run(
        judged(options.seed, options.worlds, options.pods, volumes=not options.no_volumes)
    )
    for each in tally.disagreements:
        print(each)
    print(
        f"{tally.pods} pods in {options.worlds} worlds in {time.monotonic() - began:.0f} s: "
        f"{tally.bound} bound, {tally.best} of them to a node that we score highest; "
        f"{tally.refused} refused; {len(tally.disagreements)} disagreements"
    )
    for reason, count in tally.reasons.most_common():
        print(f"  {count:5} x {reason}")
    return 1 if tally.disagreements else 0


if __name__ == "__main__":
    sys.exit(main())
