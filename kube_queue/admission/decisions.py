"""What admission answers: frozen values, and the sentence a shortage is told in."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from kube_queue.api.names import MAX_JOBS
from kube_queue.api.reasons import Reason
from kube_queue.api.resource_quota import namespace_of
from kube_queue.api.resources import ResourceVector, bound_of, format_amount


class Bound(IntEnum):
    """Which bound of a quota node an amount is held against."""

    MAX = 0
    """``max`` x oversell rate: holds for every unit."""
    MIN = 1
    """``min`` x oversell rate: holds besides for units that are not preemptible."""
    PREEMPTIBLE_JOBS = 2
    """The tree's label ``kube-queue/max-preemptible-jobs``: preemptible units at the root."""


class Shortage(NamedTuple):
    """One bound that has no room: millicores for cpu, whole units for everything else.

    ``requested`` is 0 where the node is above its bound in something the unit does not ask for:
    a node above a bound admits nothing until it is below.
    """

    path: str
    bound: Bound
    resource: str
    requested: int
    used: int
    limit: int
    kept: int = 0
    """Kept back besides what is used: promised to units that wait for others to leave, or not lent
    by the quotas it belongs to."""
    never: bool = False
    """Whether not even an idle quota would have room."""

    @property
    def missing(self) -> int:
        """How much has to be given back before the bound has room."""
        return self.used + self.kept + self.requested - self.limit

    @property
    def never_fits(self) -> bool:
        """Whether the request is larger than the bound itself, or than what is left of it when
        others keep what they do not lend.
        """
        return self.never or self.requested > self.limit

    @property
    def reason(self) -> Reason:
        """The one word for it."""
        if self.never_fits:
            return Reason.EXCEEDS_MAX_QUOTA
        if self.resource == MAX_JOBS:
            return Reason.MAX_JOBS_REACHED
        if self.bound is Bound.MIN:
            return Reason.INSUFFICIENT_MIN
        return Reason.INSUFFICIENT_QUOTA

    @property
    def message(self) -> str:
        """One sentence: quota path, resource, requested, used, limit, and what is waited for."""
        return f"{self._facts()}; {self.waits_for}"

    @property
    def waits_for(self) -> str:
        """What has to happen before the unit is tried again."""
        if self.never_fits:
            bound = "hard limit" if self._quota else self._bound_name()
            return f"it can never run until that {bound} is raised or it asks for less"
        if self.resource == MAX_JOBS:
            jobs, end = ("job", "ends") if self.missing == 1 else ("jobs", "end")
            return f"waits until {self.missing} {jobs} in {self.path} {end}"
        where = f"namespace {namespace_of(self.path)}" if self._quota else self.path
        return f"waits until {self._amount(self.missing)} {self._what} is released in {where}"

    @property
    def _quota(self) -> str:
        """The ResourceQuota whose bound this is, empty where a quota tree's is."""
        return bound_of(self.resource)[0]

    @property
    def _what(self) -> str:
        return bound_of(self.resource)[1]

    def _bound_name(self) -> str:
        return ("max", "min", "max-preemptible-jobs")[self.bound]

    def _amount(self, amount: int) -> str:
        return format_amount(self.resource, amount)

    def _facts(self) -> str:
        bound = self._bound_name()
        if self.resource == MAX_JOBS:
            what = "preemptible job" if self.bound is Bound.PREEMPTIBLE_JOBS else "job"
            jobs = f"1 {what} of {{}} is" if self.used == 1 else f"{self.used} {what}s of {{}} are"
            kept = f" and room for {self.kept} is kept for others" if self.kept else ""
            return f"quota {self.path}: {jobs.format(f'{bound} {self.limit}')} admitted{kept}"
        if self._quota:
            return (
                f"ResourceQuota {namespace_of(self.path)}/{self._quota}: {self._what} requested "
                f"{self._amount(self.requested)}, used {self._amount(self.used)}, "
                f"hard {self._amount(self.limit)}"
            )
        by = " by units that are not preemptible" if self.bound is Bound.MIN else ""
        kept = f"kept for others {self._amount(self.kept)}, " if self.kept else ""
        return (
            f"quota {self.path}: {self.resource} requested {self._amount(self.requested)}, "
            f"used{by} {self._amount(self.used)}, {kept}{bound} {self._amount(self.limit)}"
        )


class Admit(NamedTuple):
    """The unit's quota is taken; write it with ``resource_version`` as the precondition."""

    uid: str
    namespace: str
    name: str
    resource_version: str
    leaf: str
    queue: str
    request: ResourceVector
    others_left: bool = False
    """Whether others were evicted for it."""


class Requeue(NamedTuple):
    """The unit was tried and does not fit; units alike share this answer and are not listed."""

    uid: str
    shortage: Shortage

    @property
    def reason(self) -> Reason:
        """The one word for it."""
        return self.shortage.reason

    @property
    def message(self) -> str:
        """The sentence for it; made when asked for, most are not."""
        return self.shortage.message


class Evict(NamedTuple):
    """The unit has to give its quota back for ``preemptor``, to whom it is promised meanwhile.

    ``reason`` is RECLAIMED (another quota takes back what is its own) or PREEMPTED (same quota,
    higher priority). The charge stays until the unit is seen without quota.
    """

    uid: str
    namespace: str
    name: str
    preemptor: str
    """The uid of the unit that is admitted once all its victims are gone."""
    reason: Reason
    message: str
    """One sentence that names the preemptor (see ``api.preemption``), both quotas, and why."""


Decision = Admit | Requeue | Evict
