"""The cluster around the cache: API objects, a watch that lags and skips, writes in flight."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from kube_queue.api.lifecycle import HOLDS_QUOTA, Phase
from kube_queue.api.resources import EMPTY
from kube_queue.api.units import Unit
from tests.builders import START, a_unit, vector

HELD = (Phase.RESERVED, Phase.DEQUEUED, Phase.RUNNING)


@dataclass
class Write:
    """An admission or eviction on its way: not landed yet, landed (``version``) or refused."""

    uid: str
    precondition: str
    preemptor: str | None = None
    """Whom an eviction is for; None for an admission."""
    version: str = ""
    refused: bool = False
    orphan: bool = False
    """Sent by a process that is gone: nobody waits for its outcome."""

    @property
    def open(self) -> bool:
        return not self.version and not self.refused


ARRIVALS = st.fixed_dictionaries(
    {
        "namespace": st.sampled_from("aabbbccx"),
        "request": st.builds(
            lambda cpu, memory: vector(cpu=cpu, memory=memory),
            st.sampled_from([0, 1, 1, 1, 2, 2, 3, 4]),
            st.sampled_from([0, 0, 0, 0, 1, 3]),
        ),
        "priority": st.sampled_from([0, 0, 1, 2, 5]),
        "queue": st.sampled_from(["", "", "", "", "shared", "root-c"]),
        "preemptible": st.sampled_from([True, True, True, True, False]),
        "expected_seconds": st.sampled_from([0, 5, 40]),
        "later": st.sampled_from([0, 0, 0, 0, 0, 5]),
    }
)
"""The fields of a unit that arrives; ``later``: seconds until it may be tried."""


class ClusterMachine(RuleBasedStateMachine):
    """What happens outside the controller."""

    wild = True
    """Whether quota also comes and goes without a decision."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, Unit] = {}
        self.watch: deque[tuple[str, Unit | None]] = deque()
        self.writes: list[Write] = []
        self.now = START
        self.version = 10
        self.names = 0

    def write(self, unit: Unit, **changes: object) -> Unit:
        self.version += 1
        fresh = replace(unit, resource_version=str(self.version), **changes)  # type: ignore[arg-type]
        self.objects[unit.uid] = fresh
        self.watch.append((unit.uid, fresh))
        return fresh

    def pick(self, data: st.DataObject, *phases: Phase, evicted: bool = False) -> Unit | None:
        found = [
            unit
            for unit in self.objects.values()
            if (not phases or unit.phase in phases) and (unit.evicted or not evicted)
        ]
        return data.draw(st.sampled_from(found)) if found else None

    def micros(self) -> int:
        return int(self.now * 1e6)

    # --- units that wait ---

    @rule(data=st.data(), many=st.integers(1, 4), told=st.sampled_from([True, True, False]))
    def units_arrive(
        self, data: st.DataObject, many: int, told: bool, namespaces: str = ""
    ) -> None:
        for _ in range(many):
            self.names += 1
            fields = data.draw(ARRIVALS)
            if namespaces:
                fields["namespace"] = data.draw(st.sampled_from(namespaces))
            later = fields.pop("later")
            unit = replace(
                a_unit(f"u-{self.names}").unit,
                **fields,
                evictable=self.names % 7 != 0,
                submitted=self.micros() - self.names % 2,
                requeue_at=int((self.now + later) * 1e6) if later else 0,
            )
            self.write(unit)
        self.tell(told)

    def tell(self, now: bool) -> None:
        """What the watch holds is told at once, or later."""

    @rule(
        data=st.data(),
        edit=st.sampled_from(["priority", "priority", "request", "quota", "message"]),
        told=st.booleans(),
    )
    def a_waiting_unit_is_edited(self, data: st.DataObject, edit: str, told: bool) -> None:
        unit = self.pick(data, Phase.ENQUEUED)
        if unit is None:
            return
        values: dict[str, st.SearchStrategy[object]] = {
            "priority": st.integers(0, 5),
            "request": st.integers(0, 4).map(lambda cpu: vector(cpu=cpu)),
            "quota": st.sampled_from(["", "a", "c", "nobody"]),
            "message": st.just("waits"),
        }
        self.write(unit, **{edit: data.draw(values[edit])})
        self.tell(told)

    @rule(data=st.data())
    def a_unit_is_switched_off_or_on(self, data: st.DataObject) -> None:
        unit = self.pick(data)
        if unit is None:
            return
        # The controller evicts what runs and is not to run, for nobody.
        evicted = unit.evicted or (unit.active and unit.phase in HELD)
        self.write(unit, active=not unit.active, evicted=evicted)

    @rule(data=st.data())
    def a_reason_is_written(self, data: st.DataObject) -> None:
        if unit := self.pick(data, Phase.ENQUEUED):
            self.write(unit, message="waits")

    # --- units that hold quota ---

    @precondition(lambda self: self.wild)
    @rule(data=st.data(), cpu=st.integers(-1, 4))
    def a_job_is_released_by_hand_or_resized(self, data: st.DataObject, cpu: int) -> None:
        if cpu < 0 and (unit := self.pick(data, Phase.ENQUEUED)):
            self.write(
                unit,
                phase=Phase.DEQUEUED,
                held=unit.request,
                **self._grant(),
            )
        elif cpu >= 0 and (unit := self.pick(data, Phase.RUNNING)):
            self.write(unit, held=vector(cpu=cpu))

    @rule(data=st.data())
    def jobs_start(self, data: st.DataObject) -> None:
        if unit := self.pick(data, Phase.RESERVED, Phase.DEQUEUED):
            starts = {Phase.RESERVED: Phase.DEQUEUED, Phase.DEQUEUED: Phase.RUNNING}
            phase = starts[unit.phase]
            self.write(unit, phase=phase, started=self.micros() * (phase is Phase.RUNNING))

    @rule(data=st.data(), well=st.booleans(), told=st.sampled_from([True, True, False]))
    def a_job_ends(self, data: st.DataObject, well: bool, told: bool) -> None:
        if unit := self.pick(data, Phase.DEQUEUED, Phase.RUNNING):
            self._leaves(unit, Phase.SUCCEED if well else Phase.FAILED)
        self.tell(told)

    @precondition(lambda self: any(unit.evicted for unit in self.objects.values()))
    @rule(data=st.data(), later=st.sampled_from([0, 0, 0, 7]), many=st.integers(1, 3))
    def evicted_jobs_are_gone(self, data: st.DataObject, later: int, many: int) -> None:
        for _ in range(many):
            if unit := self.pick(data, *HELD, evicted=True):
                self._leaves(unit, Phase.ENQUEUED, later)
        self.tell(later == 0)

    @rule(data=st.data(), phase=st.sampled_from([Phase.ENQUEUED, Phase.TIMEOUT_BACKOFF]))
    def a_job_returns_its_quota(self, data: st.DataObject, phase: Phase) -> None:
        if unit := self.pick(data, *HELD, Phase.TIMEOUT_BACKOFF):
            self._leaves(unit, phase)

    def _grant(self) -> dict[str, object]:
        granted = self.micros()
        words = {"evicted": False, "preemptor": "", "left_for": "", "left_at": 0}
        return {"allocated": granted, "granted": granted, **words}

    def _leaves(self, unit: Unit, phase: Phase, later: int = 0) -> None:
        due = int((self.now + later) * 1e6) if later else 0
        # Whether the condition of a past eviction is cleared is the job side's affair.
        evicted = unit.evicted and self.names % 2 == 0
        waits = phase is Phase.ENQUEUED
        self.write(
            unit,
            phase=phase,
            held=EMPTY,
            allocated=0,
            started=0,
            requeue_at=due,
            evicted=evicted,
            preemptor=unit.preemptor if evicted else "",
            ended=self.micros() if phase is Phase.SUCCEED else 0,
            left_for=unit.preemptor if waits and unit.evicted else "",
            left_at=self.micros() if waits and unit.evicted and unit.preemptor else 0,
        )

    @rule(data=st.data())
    def a_unit_is_deleted(self, data: st.DataObject) -> None:
        if unit := self.pick(data):
            del self.objects[unit.uid]
            self.watch.append((unit.uid, None))

    @rule(seconds=st.sampled_from([0.5, 3.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    # --- writes ---

    @precondition(lambda self: any(write.open for write in self.writes))
    @rule(
        data=st.data(),
        lost=st.sampled_from([False, False, False, True]),
        phase=st.sampled_from([Phase.DEQUEUED, Phase.DEQUEUED, Phase.RESERVED]),
    )
    def a_write_arrives(self, data: st.DataObject, lost: bool, phase: Phase) -> None:
        self.arrives(data.draw(st.sampled_from([w for w in self.writes if w.open])), lost, phase)

    def arrives(self, write: Write, lost: bool = False, phase: Phase = Phase.DEQUEUED) -> None:
        unit = self.objects.get(write.uid)
        if lost or unit is None:
            write.refused = True
        elif write.preemptor is not None:
            self._evicts(write, unit)
        elif unit.resource_version != write.precondition:
            write.refused = True
        else:
            assert unit.phase not in HOLDS_QUOTA, "admitted twice"
            write.version = self.write(
                unit,
                phase=phase,
                held=unit.request,
                **self._grant(),
            ).resource_version

    def _evicts(self, write: Write, unit: Unit) -> None:
        # A conflict is read again and written again as long as there is something to evict.
        if unit.phase not in HELD or unit.evicted:
            write.refused = True
        else:
            evicted = self.write(unit, evicted=True, preemptor=write.preemptor)
            write.version = evicted.resource_version
