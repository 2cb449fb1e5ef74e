"""What exists before the first request: namespaces and priority classes, as in every cluster.

Holds: populate.
"""

from kube_queue.apiserver import meta
from kube_queue.apiserver.store import Object
from kube_queue.apiserver.world import World

NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
PRIORITY_CLASSES = (
    ("system-cluster-critical", 2_000_000_000, "Cluster-critical pods: moved if they must be."),
    ("system-node-critical", 2_000_001_000, "Node-critical pods: not even moved."),
)


def populate(world: World) -> None:
    """The store holds what a new cluster holds."""
    namespaces = world.store.collection("", "namespaces")
    for name in NAMESPACES:
        obj = _object(world, "v1", "Namespace", name)
        obj["metadata"]["labels"] = {"kubernetes.io/metadata.name": name}
        obj["spec"] = {"finalizers": ["kubernetes"]}
        obj["status"] = {"phase": "Active"}
        world.store.put(namespaces, obj)
    classes = world.store.collection("scheduling.k8s.io", "priorityclasses")
    for name, value, description in PRIORITY_CLASSES:
        obj = _object(world, "scheduling.k8s.io/v1", "PriorityClass", name)
        obj["metadata"]["generation"] = 1
        obj.update(value=value, description=description, preemptionPolicy="PreemptLowerPriority")
        world.store.put(classes, obj)


def _object(world: World, api_version: str, kind: str, name: str) -> Object:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name,
            "uid": meta.new_uid(world.rng),
            "creationTimestamp": world.now(),
        },
    }
