"""Which pods make a gang, and what has to happen for it to be tried.

A gang is named by namespace and name. A job that is created again under its name makes a new gang:
members of other controllers than those whose pods are alive count for nothing. What alive members
of several controllers share (a launcher's Job beside the workers' MPIJob) is one gang.

Pods without a controller are of one gang as long as the PodGroup that they name is the same object.
Where labels or annotations alone make them a gang, one that has ended counts with those that were
there when it was given its node: pods created after that are another attempt.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from kube_queue.api.gangs import GangMark, GangSource, MatchPolicy, PodGroup
from kube_queue.api.names import CONSTRAINT_ANNOTATION
from kube_queue.api.pods import Pod
from kube_queue.placement.units import Part, Unit, UnitKey, trial_order
from kube_queue.placement.verdict import Refusal

PLUGIN: Final = "Gang"
_RANK: Final = {source: rank for rank, source in enumerate(GangSource)}
_BY_PODS: Final = frozenset({GangSource.LABELS, GangSource.ANNOTATIONS})
"""Sources in which the pods themselves say what their gang needs."""


class Members(NamedTuple):
    """A gang's pods by what they do."""

    waiting: tuple[Pod, ...]
    """Neither gated nor on a node, in the order in which they are tried."""
    placed: tuple[Pod, ...]
    succeeded: int
    failed: int
    gated: int


@dataclass(slots=True, eq=False)
class Gang:
    """All pods that name one gang, by uid."""

    key: UnitKey
    pods: dict[str, Pod] = field(default_factory=dict)
    satisfied: frozenset[str] = frozenset()
    """uids of the controllers whose pods once reached the minimum, or of what stands for pods
    without one; empty: never."""
    marks: dict[GangMark, int] = field(default_factory=dict)
    """What its pods say of it, and how many say it."""

    def put(self, pod: Pod) -> None:
        """The pod is one of its, as it is now."""
        self.take(pod.uid)
        self.pods[pod.uid] = pod
        if pod.gang is not None:
            self.marks[pod.gang] = self.marks.get(pod.gang, 0) + 1

    def take(self, uid: str) -> bool:
        """The pod is none of its. Returns whether it was."""
        pod = self.pods.pop(uid, None)
        if pod is None or pod.gang is None:
            return False
        self.marks[pod.gang] -= 1
        if not self.marks[pod.gang]:
            del self.marks[pod.gang]
        return True

    @property
    def mark(self) -> GangMark:
        """The strongest source that a pod names; pods that cannot be read speak first."""
        return min(self.marks, key=lambda mark: (_RANK[mark.source], not mark.problem, -mark.min))


class Gangs:
    """Every gang, and every pod by itself, that waits."""

    def __init__(self) -> None:
        self._gangs: dict[UnitKey, Gang] = {}
        self._alone: dict[UnitKey, Pod] = {}
        self._groups: dict[tuple[GangSource, str, str], PodGroup] = {}
        self._once: dict[UnitKey, dict[str, frozenset[str]]] = {}
        """By gang and PodGroup: uids of controllers whose pods reached the minimum, as PodGroups
        have kept them over a restart."""
        self._placed: dict[str, str] = {}
        """Pods that were given a node, perhaps not seen there yet."""

    # --- events ---------------------------------------------------------------------------------

    def pod_seen(self, old: Pod | None, new: Pod | None) -> tuple[UnitKey, ...]:
        """The pod is as it says, None: gone. Returns the units that may be others now."""
        touched: dict[UnitKey, None] = {}
        if old is not None and (new is None or key_of(old) != key_of(new)):
            touched.update(dict.fromkeys(self._remove(old)))
        if new is not None:
            key = key_of(new)
            touched[key] = None
            if new.gang is not None:
                gang = self._gangs.setdefault(key, Gang(key))
                gang.put(new)
                touched.update(dict.fromkeys(self._companions(gang)))
            elif new.node or new.finished or new.deletion:
                self._alone.pop(key, None)
            else:
                self._alone[key] = new
        if new is None and old is not None:
            self._placed.pop(old.uid, None)
        return tuple(touched)

    def renew(self, pod: Pod) -> None:
        """The pod is as it says, and no unit is another for it."""
        gang = self._gangs.get(key_of(pod)) if pod.gang is not None else None
        if gang is not None:
            gang.put(pod)
        elif key_of(pod) in self._alone:
            self._alone[key_of(pod)] = pod

    def group_seen(self, old: PodGroup | None, new: PodGroup | None) -> tuple[UnitKey, ...]:
        """The PodGroup is as it says, None: gone. Returns the units that may be others now."""
        for group in (old, new):
            if group is not None:
                self._groups.pop((group.source, group.namespace, group.name), None)
                self._forget_once(group)
        if new is not None:
            self._groups[new.source, new.namespace, new.name] = new
            if new.satisfied_by:
                once = self._once.setdefault(UnitKey(new.namespace, new.name), {})
                once[new.uid] = new.satisfied_by
        group = new if new is not None else old
        if group is None:
            return ()
        gang = self._gangs.get(UnitKey(group.namespace, group.name))
        return self._companions(gang) if gang is not None else ()

    def assumed(self, pod: Pod, node: str) -> None:
        """The pod was given the node; it is seen there later. An empty node: not any more."""
        if node:
            self._placed[pod.uid] = node
        else:
            self._placed.pop(pod.uid, None)

    def satisfy(self, key: UnitKey) -> bool:
        """The gang's minimum is reached, if it is: never again is anything asked of these
        controllers' gang. Returns whether that is news.
        """
        gang = self._gangs.get(key)
        if gang is None:
            return False
        identities = self._identities(gang, _alive(gang))
        if not identities or self.is_satisfied(gang):
            return False
        members = self.members(gang)
        bound = sum(bool(pod.node) for pod in members.placed)
        least = self._least(gang)
        # While nobody says what the minimum is, nobody knows that it is reached.
        if not least or bound + members.succeeded + members.failed < least:
            return False
        gang.satisfied = identities
        return True

    # --- questions ------------------------------------------------------------------------------

    def gang(self, key: UnitKey) -> Gang | None:
        """The gang of this key."""
        return self._gangs.get(key)

    def gangs(self) -> Iterable[Gang]:
        """Every gang that has a pod."""
        return self._gangs.values()

    def group_of(self, gang: Gang) -> PodGroup | None:
        """The PodGroup object that describes the gang, if it exists."""
        mark = gang.mark
        return self._groups.get((mark.source, gang.key.namespace, mark.name))

    def unit(self, key: UnitKey) -> Unit | None:
        """The unit as it is now; None: nothing of it waits for a node."""
        pod = self._alone.get(key)
        if pod is not None:
            if pod.gated or pod.uid in self._placed:
                return None
            part = Part(key, (pod,), need=1, least=1)
            constraint = pod.spec.annotations.get(CONSTRAINT_ANNOTATION, "")
            return Unit(key, (part,), pod.priority, constraint, "", resumes=False)
        gang = self._gangs.get(key)
        return self._unit_of(gang) if gang is not None else None

    def members(self, gang: Gang) -> Members:
        """The gang's pods by what they do; those of former jobs of its name are left out."""
        alive = _alive(gang)
        waiting = [pod for pod in alive if not pod.node and pod.uid not in self._placed]
        over = self._over(gang, alive)
        succeeded = sum(pod.succeeded for pod in over)
        return Members(
            waiting=tuple(sorted((pod for pod in waiting if not pod.gated), key=trial_order)),
            placed=tuple(pod for pod in alive if pod.node or pod.uid in self._placed),
            succeeded=succeeded,
            failed=len(over) - succeeded,
            gated=sum(pod.gated for pod in waiting),
        )

    def is_satisfied(self, gang: Gang) -> bool:
        """Whether the present members are of a gang that had its minimum once."""
        identities = self._identities(gang, _alive(gang))
        if gang.satisfied & identities:
            return True
        return any(uids & identities for uids in self._once.get(gang.key, {}).values())

    def least(self, gang: Gang) -> int:
        """The gang's minimum; 0 while nobody says it."""
        return self._least(gang)

    def disagreement(self, gang: Gang) -> str:
        """What is to be said of members that name different minimums; empty where they agree."""
        named = sorted({pod.gang.min for pod in _alive(gang) if pod.gang is not None})
        if len(named) < 2 or gang.mark.source not in _BY_PODS:
            return ""
        return f"members name different minimums ({', '.join(map(str, named))}): {named[-1]} counts"

    # --- inside ---------------------------------------------------------------------------------

    def _over(self, gang: Gang, alive: list[Pod]) -> list[Pod]:
        """Members that have ended and count with those that are alive; without any, all."""
        over = [pod for pod in gang.pods.values() if pod.finished]
        if not over or not alive:
            return over
        bare = self._bare_identity(gang)
        identities = {_identity(pod, bare) for pod in alive}
        since = min((pod.created for pod in alive if pod.controller is None), default=None)

        def was_there(pod: Pod) -> bool:
            if pod.controller is not None or since is None or not pod.bound:
                return False
            return since <= pod.bound

        return [pod for pod in over if _identity(pod, bare) in identities or was_there(pod)]

    def _identities(self, gang: Gang, pods: Iterable[Pod]) -> frozenset[str]:
        bare = self._bare_identity(gang)
        return frozenset(_identity(pod, bare) for pod in pods)

    def _bare_identity(self, gang: Gang) -> str:
        """The uid that stands for members without a controller; empty: each for itself."""
        if not gang.pods or gang.mark.source in _BY_PODS:
            return ""
        group = self.group_of(gang)
        return group.uid if group is not None else ""

    def _forget_once(self, group: PodGroup) -> None:
        key = UnitKey(group.namespace, group.name)
        once = self._once.get(key)
        if once is not None:
            once.pop(group.uid, None)
            if not once:
                del self._once[key]

    def _unit_of(self, gang: Gang) -> Unit | None:
        gangs = [self._gangs[key] for key in self._companions(gang) if key in self._gangs]
        parts: list[Part] = []
        resumes = False
        problem = self._problem(gang)
        for each in gangs:
            members = self.members(each)
            least = self._least(each)
            counted = self._counted(each, members, least)
            need = max(0, least - counted)
            resumes |= 0 < len(members.placed) < least and not self.is_satisfied(each)
            if len(members.waiting) < need and problem is None:
                problem = _too_few(each, members, counted, least)
            parts.append(Part(each.key, members.waiting, need, least, members.placed))
        waiting = [pod for part in parts for pod in part.members]
        if not waiting:
            return None
        group = self.group_of(gang)
        return Unit(
            key=min(each.key for each in gangs),
            parts=tuple(parts),
            priority=min(pod.priority for pod in waiting),
            constraint=constraint_among(waiting),
            domain_key=group.topology_key if group is not None else "",
            resumes=resumes and problem is None,
            problem=problem,
        )

    def _problem(self, gang: Gang) -> Refusal | None:
        mark = gang.mark
        if mark.problem:
            return Refusal(PLUGIN, f"InvalidGang: {mark.problem}", unresolvable=True)
        for key in mark.groups:
            namespace, _, name = key.partition("/")
            if UnitKey(namespace, name) not in self._gangs:
                return Refusal(PLUGIN, f"gang {key}, which has to start together, has no pods yet")
        if mark.source in _BY_PODS:
            return None
        group = self.group_of(gang)
        if group is None:
            what = f"PodGroup {gang.key.namespace}/{mark.name} of {mark.source} does not exist"
            return Refusal(PLUGIN, what)
        if group.problem:
            return Refusal(PLUGIN, f"InvalidPodGroup: {group.problem}", unresolvable=True)
        return None

    def _least(self, gang: Gang) -> int:
        group = self.group_of(gang)
        if gang.mark.source not in _BY_PODS:
            return group.min_member if group is not None else 0
        return max((pod.gang.min for pod in _alive(gang) if pod.gang is not None), default=0)

    def _counted(self, gang: Gang, members: Members, least: int) -> int:
        over = members.succeeded + members.failed
        match gang.mark.policy:
            case MatchPolicy.ONCE_SATISFIED:
                if self.is_satisfied(gang):
                    return least
                return len(members.placed) + over
            case MatchPolicy.WAITING_AND_RUNNING:
                return len(members.placed)
            case MatchPolicy.WAITING_RUNNING_SUCCEED:
                return len(members.placed) + members.succeeded
            case MatchPolicy.ONLY_WAITING:
                return _of_broken_commit(members.placed)

    def _companions(self, gang: Gang) -> tuple[UnitKey, ...]:
        """The gangs that are placed together with this one, itself included."""
        found = {gang.key: None}
        todo = [gang.key]
        while todo:
            each = self._gangs.get(todo.pop())
            for name in each.mark.groups if each is not None and each.pods else ():
                key = UnitKey(*name.split("/", 1))
                if key not in found:
                    found[key] = None
                    todo.append(key)
        return tuple(found)

    def _remove(self, pod: Pod) -> Iterator[UnitKey]:
        key = key_of(pod)
        yield key
        if pod.gang is None:
            self._alone.pop(key, None)
            return
        gang = self._gangs.get(key)
        if gang is None or not gang.take(pod.uid):
            return
        if not gang.pods:
            del self._gangs[key]
            return
        yield from self._companions(gang)


def key_of(pod: Pod) -> UnitKey:
    """The key of the gang the pod names, or its own."""
    if pod.gang is None:
        return UnitKey(pod.namespace, pod.name, pod.uid)
    return UnitKey(pod.namespace, pod.gang.name)


def _alive(gang: Gang) -> list[Pod]:
    return [pod for pod in gang.pods.values() if not pod.finished and not pod.deletion]


def _identity(pod: Pod, bare: str) -> str:
    """What tells the pod's gang from others of its name; ``bare``: of pods without a controller."""
    return pod.controller.uid if pod.controller is not None else bare or pod.uid


def _of_broken_commit(placed: Iterable[Pod]) -> int:
    """Members that were bound in a commit of which others were not."""
    sizes: dict[str, list[int]] = {}
    for pod in placed:
        commit, _, size = pod.commit.rpartition("/")
        if commit and size.isdigit():
            sizes.setdefault(commit, []).append(int(size))
    return sum(len(found) for found in sizes.values() if len(found) < found[0])


def _too_few(gang: Gang, members: Members, counted: int, least: int) -> Refusal:
    there = counted + len(members.waiting)
    gated = f", {members.gated} more are held by a scheduling gate" if members.gated else ""
    return Refusal(
        PLUGIN,
        f"rejected by podgroup {gang.key.name}: {there} of at least {least} pods are there{gated}",
    )


def constraint_among(members: Iterable[Pod]) -> str:
    """The first topology constraint that a member names, not read yet; empty: none does."""
    for pod in members:
        text = pod.spec.annotations.get(CONSTRAINT_ANNOTATION)
        if text:
            return text
    return ""
