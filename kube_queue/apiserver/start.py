"""What exists before the first request: namespaces and priority classes, as in every cluster.

Holds: populate, and recall, which brings back what a journal holds.
"""

from collections.abc import Callable

from kube_queue.apiserver import meta
from kube_queue.apiserver.crds import RESOURCE
from kube_queue.apiserver.journal import Journal
from kube_queue.apiserver.store import ADDED, Collection, Event, Object
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


def recall(world: World, journal: Journal, seen: Callable[[Collection, Event], None]) -> None:
    """The store holds what the journal holds; `seen` is told of every definition.

    Raises JournalError when the journal is damaged.
    """
    store = world.store
    definitions = store.collection(*RESOURCE)
    for resource, raw in journal.rows(definitions.resource):
        group, _, plural = resource.partition("/")
        # Objects whose definition serves no version at present are kept all the same.
        collection = store.collections.get((group, plural)) or store.add_collection(group, plural)
        record = store.restore(collection, raw)
        if collection is definitions:
            seen(collection, Event(ADDED, record, None))


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
