"""One cycle: one unit, on the cluster as it is, is placed whole or not at all.

::

    gate ─▶ quota ─▶ (each domain, tightest first) place what is needed ─▶ quota of those ─▶ Bind
      │       │                                      │ no domain
      ▼       ▼                                      ▼
    Wait ◀── preemption: whose leaving would help? ──┴──▶ Preempt

Members above what the gang needs are placed afterwards, each by itself, and roll nothing back.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import replace

from kube_queue.api.gangs import TopologyConstraint
from kube_queue.api.pods import Pod
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.columns import Mask, both
from kube_queue.placement.decisions import Bind, Decision, Preempt, Wait
from kube_queue.placement.framework import Profile
from kube_queue.placement.gangs import PLUGIN as GANG
from kube_queue.placement.gangs import Gangs
from kube_queue.placement.making_room import Room
from kube_queue.placement.placing import Placer
from kube_queue.placement.topology import (
    PLUGIN,
    Domain,
    constraint_of,
    domains,
    no_domain,
    pinned,
    rooms_of,
    tightest_first,
)
from kube_queue.placement.trying import Trial, helped_by_pods
from kube_queue.placement.units import Unit
from kube_queue.placement.verdict import Refusal, Verdict, refused


class Cycle:
    """Decides about one unit after another on one cluster."""

    def __init__(self, cluster: Cluster, profile: Profile, gangs: Gangs | None = None) -> None:
        self.placer = Placer(cluster, profile)
        self._room = Room(self.placer, gangs if gangs is not None else Gangs())
        self._cluster = cluster
        self._profile = profile

    def decide(
        self,
        unit: Unit,
        *,
        closed: Mask | None = None,
        may_preempt: bool = True,
        spared: frozenset[str] = frozenset(),
    ) -> Decision:
        """What becomes of the unit now; pods of a Bind are assumed, else nothing has changed.

        ``closed``: rows that are kept for somebody else. ``spared``: uids of pods that are not
        evicted for it, because that was refused before.
        """
        if unit.problem is not None:
            return self._refused(unit, unit.problem)
        # Room that is kept for the unit itself is open to it, and where there is no other also what
        # is kept for the less important: they may be many, and lifting them costs each of them.
        self._cluster.lift([pod.uid for pod in unit.members()])
        is_open = ~closed if closed is not None else None
        try:
            decision = self._place(unit, is_open)
            if isinstance(decision, Wait) and self._cluster.lift_below(unit.priority):
                decision = self._place(unit, is_open)
            if isinstance(decision, Wait) and may_preempt and not decision.never:
                self._room.begin(spared, is_open)
                decision = self._preempt(unit, decision)
            if isinstance(decision, Bind):
                for pod, _ in decision.placements:
                    self._cluster.nominate(pod, "")
            return decision
        finally:
            self._cluster.lower()

    # --- steps ----------------------------------------------------------------------------------

    def _place(self, unit: Unit, is_open: Mask | None) -> Decision:
        needed = [pod for part in unit.parts for pod in part.members[: part.need]]
        refusal = self._quota(unit, needed) if needed else None
        if refusal is not None:
            return self._refused(unit, refusal)
        where = self._domains(unit)
        if isinstance(where, Refusal):
            return self._refused(unit, where)
        trial = Trial(self.placer)
        for domain in where:
            within = both(domain.rows, is_open) if domain is not None else is_open
            if not trial.place_parts(unit.parts, within):
                continue
            refusal = self._quota_of_chosen(unit, needed, trial)
            if refusal is not None:
                trial.back()
                return self._refused(unit, refusal)
            together = len(trial.placements)
            refusal = self._place_rest(unit, trial, within)
            if trial.placements:
                return Bind(unit.key, tuple(trial.placements), together)
            if refusal is not None:
                return self._refused(unit, refusal)
        return self._no_room(unit, trial)

    def _quota(self, unit: Unit, members: Sequence[Pod]) -> Refusal | None:
        for plugin in self._profile.unit_filters:
            refusal = plugin.unit_refusal(unit, members)
            if refusal is not None:
                return refusal
        return None

    def _quota_of_chosen(self, unit: Unit, asked: Sequence[Pod], trial: Trial) -> Refusal | None:
        """Where other members than those asked about were chosen, they are asked about as well."""
        chosen = [placement.pod for placement in trial.placements]
        if {pod.uid for pod in chosen} == {pod.uid for pod in asked}:
            return None
        placements = list(trial.placements)
        trial.back()
        refusal = self._quota(unit, chosen)
        if refusal is None:
            for placement in placements:
                self._cluster.assume(*placement)
            trial.placements = placements
        return refusal

    def _anywhere(self, unit: Unit) -> Iterator[Domain | None]:
        """All rows. Then, where members have to be near others, one domain after another: the first
        member may have gone where the others have no room beside it.
        """
        yield None
        needed = [pod for part in unit.parts for pod in part.members[: part.need]]
        keys = {term.key for pod in needed for term in pod.spec.affinity.required}
        for key in sorted(keys) if len(needed) > 1 else ():
            found = domains(self._cluster, TopologyConstraint("", (key,), ()))
            yield from tightest_first(rooms_of(self.placer, found, needed, len(needed)))

    def _domains(self, unit: Unit) -> Iterable[Domain | None] | Refusal:
        """Where to try, in order; one None: anywhere."""
        constraint = constraint_of(unit)
        if constraint is None:
            return self._anywhere(unit)
        if isinstance(constraint, Refusal):
            return constraint
        found = domains(self._cluster, constraint)
        if not found:
            keys = ", ".join(constraint.keys)
            return Refusal(PLUGIN, f"no node has the labels of the constraint: {keys}", True)
        found = pinned(found, unit.placed(), self._cluster.row_of)
        rooms = rooms_of(self.placer, found, list(unit.members()), max(1, unit.need))
        promising = tightest_first(rooms)
        return promising if promising else no_domain(rooms, constraint)

    def _place_rest(self, unit: Unit, trial: Trial, within: Mask | None) -> Refusal | None:
        """Every other member that fits is placed, each on its own account. Returns why the first
        that no quota takes was not.
        """
        first: Refusal | None = None
        done = {placement.pod.uid for placement in trial.placements}
        refused_kinds: set[Hashable] = set()
        for pod in unit.members():
            if pod.uid in done:
                continue
            kind = self.placer.kind_of(pod)
            if kind in refused_kinds and not helped_by_pods(pod):
                continue
            refusal = self._quota(unit, (pod,))
            first = first or refusal
            if refusal is not None or not trial.place(pod, within):
                refused_kinds.add(kind)
        return first

    # --- when there is no room ------------------------------------------------------------------

    def _no_room(self, unit: Unit, trial: Trial) -> Wait:
        """The member that found no node says why; the others were rejected with it."""
        assert trial.failure is not None
        failed, verdict = trial.failure
        why = {failed.uid: verdict}
        for part in unit.parts:
            text = f"rejected by podgroup {part.key.name}: {failed.name}: {verdict.message}"
            rejected = Refusal(GANG, text, unresolvable=verdict.unresolvable)
            for pod in part.members:
                why.setdefault(pod.uid, refused(rejected, self._cluster.node_count))
        return Wait(unit.key, why, lacks_room=True)

    def _preempt(self, unit: Unit, wait: Wait) -> Decision:
        members = [pod for part in unit.parts for pod in part.members[: max(1, part.need)]]
        why = wait.why[members[0].uid]
        for plugin in self._profile.post_filters:
            plan = plugin.preemption(unit, members, why, self._room)
            if plan is not None:
                return Preempt(unit.key, plan, wait.why)
        return replace(wait, again=True) if self._room.more else wait

    def _refused(self, unit: Unit, refusal: Refusal) -> Wait:
        verdict: Verdict = refused(refusal, self._cluster.node_count)
        why = {pod.uid: verdict for pod in unit.members()}
        return Wait(unit.key, why, never=refusal.never)
