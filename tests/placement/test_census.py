"""What is told to whoever counts pods, and what goes with a cluster."""

from __future__ import annotations

from kube_queue.api.pods import Pod
from kube_queue.placement.cluster import Cluster
from tests.placement.builders import a_node, a_pod


class Counted:
    """Names of the pods that count, and of those that room is kept for."""

    def __init__(self, cluster: Cluster) -> None:
        self.there: set[str] = set()
        self.promised: set[str] = set()
        cluster.count(self)

    def pod_counted(self, pod: Pod) -> None:
        self.there.add(pod.name)

    def pod_uncounted(self, pod: Pod) -> None:
        self.there.remove(pod.name)

    def pod_promised(self, pod: Pod) -> None:
        self.promised.add(pod.name)

    def pod_unpromised(self, pod: Pod) -> None:
        self.promised.remove(pod.name)


def test_a_census_counts_pods_whether_their_node_is_known_or_not() -> None:
    cluster = Cluster()
    cluster.pod_seen(a_pod("early").on("n1").pod)
    counted = cluster.shared(Counted)
    cluster.node_seen(a_node("n1").node)
    cluster.pod_seen(a_pod("late").on("n2").pod)
    assert counted.there == {"early", "late"}
    cluster.node_gone("n1")
    assert counted.there == {"early", "late"}
    placed = cluster.forget("uid-early")
    assert counted.there == {"late"}
    assert placed is not None
    cluster.put_back(placed)
    assert counted.there == {"early", "late"}


def test_a_census_counts_the_pods_that_room_is_kept_for() -> None:
    cluster = Cluster()
    cluster.node_seen(a_node("n1").node)
    cluster.nominate(a_pod("a").pod, "n1")
    counted = cluster.shared(Counted)
    cluster.nominate(a_pod("b").pod, "n1")
    assert counted.promised == {"a", "b"}
    cluster.nominate(a_pod("a").pod, "")
    cluster.pod_seen(a_pod("b").on("n1").pod)
    assert (counted.promised, counted.there) == (set(), {"b"})


def test_what_goes_with_a_cluster_is_built_once() -> None:
    cluster = Cluster()
    assert cluster.shared(Counted) is cluster.shared(Counted)
    assert cluster.shared(Counted) is not Cluster().shared(Counted)


def test_room_that_is_firmly_kept_is_not_lifted_for_a_higher_priority() -> None:
    cluster = Cluster()
    cluster.node_seen(a_node("n1").node)
    cluster.nominate(a_pod("soft").asking(cpu=1).pod, "n1")
    cluster.nominate(a_pod("firm").asking(cpu=2).pod, "n1", firm=True)
    assert cluster.lift_below(100)
    assert cluster.columns.takes(0, "cpu") == 2000
    cluster.lower()
    assert cluster.columns.takes(0, "cpu") == 3000
    cluster.lift(("uid-firm",))
    assert cluster.columns.takes(0, "cpu") == 1000
    cluster.lower()
    cluster.nominate(a_pod("firm").pod, "")
    assert cluster.columns.takes(0, "cpu") == 1000
