"""One explanation as JSON, beside what every unit says of itself.

::

    policy      "" while there is no such Queue
    notice      what the Queue asks for and does not get
    waitsFor    what has to happen; "" for a unit that does not wait
    nextTry     the event that has it tried, and who goes before it then
    levels      from the leaf to the root: path, resourceQuota, resources [{resource, requested,
                used, min, max, available, minUsed, minAvailable}]; an absent min or max is null,
                available null where nothing limits; the last two null for a unit that may use more
                than min
    shortages   {path, resourceQuota, resource, bound, requested, used, limit, missing, message}
    head        who has to go first: {namespace, name, job, reason, message, waitsFor} | null
    holders     who holds what is shortest: {path, resourceQuota, resource, bound, top [HOLDER],
                more, moreAmount, unmanaged (by pods that no unit stands for), unread (units
                there that were not looked at)} | null
    HOLDER      namespace, name, job, quota, priority, preemptible, amount, since (RFC 3339),
                borrowed (what its leaf uses above its min)
    leaving     units that give quota back for this one: {namespace, name, job, quota label}
    estimate    {earliestSeconds, latestSeconds, unknown (why there is no latest)} | null

resourceQuota is the ``namespace/name`` of the ResourceQuota whose bound it is, the resource then a
key of its hard and max that amount; there is a level for each, and no min. It is empty where the
bound is a tree's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kube_queue.admission import Explanation, QuotaLevel, Shortage
from kube_queue.admission.decisions import Bound
from kube_queue.admission.estimate import Estimate
from kube_queue.admission.explain import Head, ResourceLevel
from kube_queue.admission.holders import Holder, Holders
from kube_queue.api.conditions import rfc3339
from kube_queue.api.resources import bound_of, format_amount
from kube_queue.api.units import JobRef, Unit
from kube_queue.serving.quotas import resource_quota_of

Words = dict[str, Any]


def explained_words(explained: Explanation) -> Words:
    """The fields of this module's docstring."""
    return {
        "policy": str(explained.policy or ""),
        "notice": explained.notice,
        "waitsFor": explained.waits_for,
        "nextTry": explained.next_try,
        "levels": [one for level in explained.levels for one in _levels(level)],
        "shortages": [_shortage(one) for one in explained.shortages if not _said_by_max(one)],
        "head": None if explained.head is None else _head(explained.head),
        "holders": None if explained.holders is None else _holders(explained.holders),
        "leaving": [{**_named(unit), "quota": unit.quota} for unit in explained.leaving],
        "estimate": None if explained.estimate is None else _estimate(explained.estimate),
    }


def job_words(job: JobRef | None) -> Words | None:
    """The job a unit stands for."""
    if job is None:
        return None
    return {
        "apiVersion": job.api_version,
        "kind": job.kind,
        "namespace": job.namespace,
        "name": job.name,
        "uid": job.uid,
    }


def amounts_words(amounts: Mapping[str, int]) -> dict[str, str]:
    """Quantities by resource."""
    return {name: format_amount(name, amount) for name, amount in sorted(amounts.items())}


def _amount(name: str, amount: int | None) -> str | None:
    return None if amount is None else format_amount(name, amount)


def _levels(level: QuotaLevel) -> list[Words]:
    """One for a node of a tree, one for each ResourceQuota of a namespace."""
    by_quota: dict[str, list[Words]] = {}
    for one in level.resources:
        quota = resource_quota_of(level.path, one.resource)
        by_quota.setdefault(quota, []).append(_resource(one, quota))
    return [
        {"path": level.path, "resourceQuota": quota, "resources": resources}
        for quota, resources in (by_quota or {"": []}).items()
    ]


def _resource(one: ResourceLevel, quota: str) -> Words:
    # What a ResourceQuota allows is kept as min as well, so that every job may use all of it.
    least = (None, None, None) if quota else (one.min, one.min_used, one.min_available)
    return {
        "resource": bound_of(one.resource)[1],
        "requested": _amount(one.resource, one.requested),
        "used": _amount(one.resource, one.used),
        "min": _amount(one.resource, least[0]),
        "max": _amount(one.resource, one.max),
        "available": _amount(one.resource, one.available),
        "minUsed": _amount(one.resource, least[1]),
        "minAvailable": _amount(one.resource, least[2]),
    }


def _said_by_max(shortage: Shortage) -> bool:
    """Whether it is the min that stands for a ResourceQuota's hard, which max says already."""
    return shortage.bound is Bound.MIN and bool(bound_of(shortage.resource)[0])


def _shortage(shortage: Shortage) -> Words:
    name = shortage.resource
    return {
        "path": shortage.path,
        "resourceQuota": resource_quota_of(shortage.path, name),
        "resource": bound_of(name)[1],
        "bound": shortage.bound.name.lower(),
        "requested": _amount(name, shortage.requested),
        "used": _amount(name, shortage.used),
        "limit": _amount(name, shortage.limit),
        "missing": _amount(name, shortage.missing),
        "message": shortage.message,
    }


def _named(unit: Unit) -> Words:
    return {"namespace": unit.namespace, "name": unit.name, "job": job_words(unit.job)}


def _head(head: Head) -> Words:
    told = {"reason": str(head.reason), "message": head.message, "waitsFor": head.waits_for}
    return {**_named(head.unit), **told}


def _holders(holders: Holders) -> Words:
    name = holders.resource
    return {
        "path": holders.path,
        "resourceQuota": resource_quota_of(holders.path, name),
        "resource": bound_of(name)[1],
        "bound": holders.bound.name.lower(),
        "top": [_holder(name, one) for one in holders.top],
        "more": holders.more,
        "moreAmount": _amount(name, holders.more_amount),
        "unmanaged": _amount(name, holders.unmanaged),
        "unread": holders.unread,
    }


def _holder(resource: str, holder: Holder) -> Words:
    return {
        **_named(holder.unit),
        "quota": holder.quota,
        "priority": holder.unit.priority,
        "preemptible": holder.unit.preemptible,
        "amount": _amount(resource, holder.amount),
        "since": rfc3339(holder.since),
        "borrowed": _amount(resource, holder.borrowed),
    }


def _estimate(estimate: Estimate) -> Words:
    return {
        "earliestSeconds": estimate.earliest,
        "latestSeconds": estimate.latest,
        "unknown": estimate.unknown,
    }
