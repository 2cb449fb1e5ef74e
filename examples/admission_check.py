"""An admission check in thirty lines: a unit may run while a licence is left for it.

Units in phase Reserved hold their quota and ask the checks of their Queue. This one answers for
the check "licences"; everything else about the unit is left to kube-queue.

    spec: {admissionChecks: [{name: licences, labelSelector: {matchLabels: {kube-queue/app: cad}}}]}
"""

from __future__ import annotations

from typing import Any

from kube_queue.api.conditions import rfc3339
from kube_queue.api.errors import Conflict, NotFound
from kube_queue.api.types import QUEUE_UNITS
from kube_queue.kube.client import Client

CHECK = "licences"
USES_ONE = ("Dequeued", "Running")


async def answer_all(client: Client, licences: int, now: float) -> None:
    """Every reserved unit that asks has an answer; to be called whenever units change."""
    units = await client.list(QUEUE_UNITS)
    left = licences - sum(_phase(unit) in USES_ONE and _entry(unit) is not None for unit in units)
    left -= sum(_phase(unit) == "Reserved" and _state(unit) == "Ready" for unit in units)
    for unit in units:
        if _phase(unit) == "Reserved" and _state(unit) == "Pending":
            state, message = ("Ready", "") if left > 0 else ("Retry", "no licence is left")
            left -= state == "Ready"
            await _answer(client, unit, state, message, rfc3339(now))


async def _answer(client: Client, unit: dict[str, Any], state: str, message: str, at: str) -> None:
    answer = {"name": CHECK, "state": state, "message": message, "lastTransitionTime": at}
    checks = [
        answer if each["name"] == CHECK else each for each in unit["status"]["admissionChecks"]
    ]
    meta = unit["metadata"]
    # The list is replaced as a whole: the version saves the answers of other checks.
    patch = {
        "metadata": {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]},
        "status": {"admissionChecks": checks},
    }
    try:
        await client.patch(
            QUEUE_UNITS, meta["namespace"], meta["name"], patch, subresource="status"
        )
    except (Conflict, NotFound):
        return  # it changed or went: it is looked at again


def _phase(unit: dict[str, Any]) -> str:
    return str(unit.get("status", {}).get("phase", ""))


def _entry(unit: dict[str, Any]) -> dict[str, Any] | None:
    checks = unit.get("status", {}).get("admissionChecks", ())
    return next((each for each in checks if each["name"] == CHECK), None)


def _state(unit: dict[str, Any]) -> str:
    return str((_entry(unit) or {}).get("state", ""))
