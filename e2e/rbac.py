"""`python -m e2e.rbac`: play the scenarios on a genuine Kubernetes, then judge our rights by them.

Every verb that the manifests grant must have been used by some scenario, and no request of our
accounts may have been refused. The API server's audit log tells both.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.backends.kubernetes import KubernetesBackend
from e2e.scenario import all_scenarios
from kube_queue import manifests

_ACCOUNT = "system:serviceaccount:kube-queue:"
NOT_PLAYED = {
    "kube-queue-scheduler: patch events": "for what is told again, which hangs on time",
}
"""Rights that no scenario needs to use, each with its reason and the tests that use it."""


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One verb on one resource; in a `namespace`, or everywhere (empty); of one `name`, or any."""

    account: str
    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""

    def covers(self, asked: Right) -> bool:
        """Whether this right permits what was asked."""
        return (
            (self.account, self.verb, self.group, self.resource)
            == (asked.account, asked.verb, asked.group, asked.resource)
            and self.namespace in ("", asked.namespace)
            and self.name in ("", asked.name)
        )

    def __str__(self) -> str:
        """As one would say it: `kube-queue-controller: patch queues.scheduling.x-k8s.io`."""
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        where = f" in {self.namespace}" if self.namespace else ""
        which = f" {self.name}" if self.name else ""
        return f"{self.account}: {self.verb} {resource}{which}{where}"


def granted() -> list[Right]:
    """Every right that the shipped manifests grant."""
    objects = manifests.load("rbac.yaml")
    rules = {_place(each, each): each["rules"] for each in objects if "rules" in each}
    return [
        Right(subject["name"], verb, group, resource, each["metadata"].get("namespace", ""), name)
        for each in objects
        if "roleRef" in each
        for subject in each["subjects"]
        for rule in rules[_place(each, {**each["roleRef"], "metadata": each["roleRef"]})]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    ]


def _place(of: Mapping[str, Any], role: Mapping[str, Any]) -> tuple[str, str, str]:
    namespace = of["metadata"].get("namespace", "") if role["kind"] == "Role" else ""
    return role["kind"], namespace, role["metadata"]["name"]


def asked(log: Path) -> Iterator[tuple[Right, bool]]:
    """What our accounts asked, and whether it was permitted. Paths without objects are left out."""
    with log.open(encoding="utf-8") as lines:
        for line in lines:
            event = json.loads(line)
            user, about = event["user"]["username"], event.get("objectRef")
            if not user.startswith(_ACCOUNT) or about is None:
                continue
            parts = [about["resource"], about.get("subresource", "")]
            right = Right(
                user.removeprefix(_ACCOUNT),
                event["verb"],
                about.get("apiGroup", ""),
                "/".join(part for part in parts if part),
                about.get("namespace", ""),
                about.get("name", ""),
            )
            decision = event.get("annotations", {}).get("authorization.k8s.io/decision")
            yield right, decision == "allow"


def judge(*logs: Path) -> list[str]:
    """One sentence for each right that nobody used, and for each kind of request refused."""
    unused = set(granted())
    refused: set[Right] = set()
    seen: set[tuple[Right, bool]] = set()
    for request in (each for log in logs for each in asked(log)):
        if request in seen:
            continue
        seen.add(request)
        right, permitted = request
        if permitted:
            unused = {each for each in unused if not each.covers(right)}
        else:
            refused.add(right)
    known = {str(each) for each in granted()}
    return [
        *(f"never used: {each}" for each in sorted(unused) if str(each) not in NOT_PLAYED),
        *(f"refused: {each}" for each in sorted(refused)),
        *(f"excused and not granted: {each}" for each in NOT_PLAYED if each not in known),
    ]


async def play(numbers: list[str], at_once: int) -> int:
    """Play them, or all; the exit code is 1 when one did not hold or a right is wrong."""
    # Playing needs the modules of all back ends, judging a log does not.
    from e2e.__main__ import run

    rooms = [KubernetesBackend() for _ in range(at_once)]
    chosen = [one for one in all_scenarios() if not numbers or one.number in numbers]
    code = await run(rooms, chosen)
    wrong = judge(*(room.audit_log for room in rooms if room.audit_log.exists()))
    for room in rooms:
        await room.close()
    for sentence in wrong:
        print(sentence)
    print(f"{len(granted())} rights, {len(wrong)} wrong")
    return 1 if wrong else code


def main() -> int:
    """Read the command line and play."""
    parser = argparse.ArgumentParser(prog="python -m e2e.rbac", description=__doc__)
    parser.add_argument(
        "--at-once", type=int, default=1, metavar="N", help="play so many at a time (default: 1)"
    )
    parser.add_argument("numbers", nargs="*", metavar="NUMBER", help="scenarios to play; all")
    options = parser.parse_args()
    return asyncio.run(play(options.numbers, options.at_once))


if __name__ == "__main__":
    sys.exit(main())
