"""`python -m e2e.differential`: does the embedded API server answer as Kubernetes does?

Sends every case to both, prints a line for each difference that is not accepted, and ends with 1 if
there is one, or if an accepted difference is no more; with 2 when Kubernetes cannot be had.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

from e2e.differential.accepted import ACCEPTED
from e2e.differential.case import Case
from e2e.differential.cases import all_cases
from e2e.differential.compare import Difference, between, judged
from e2e.differential.play import Seen, play
from e2e.differential.server import embedded, genuine
from kube_queue.controlplane.errors import ControlPlaneError

WIDTH = 200


async def run(cases: list[Case], *, whole: bool, width: int, accepted: bool) -> int:
    """The exit code: 0 when the two servers differ only where that is accepted."""
    began = time.perf_counter()
    async with embedded() as ours, genuine(lambda line: print(line, flush=True)) as theirs:
        ready = time.perf_counter()
        seen = await asyncio.gather(play(ours, cases), play(theirs, cases))
    code = verdict(cases, *seen, whole=whole, width=width, accepted=accepted)
    now = time.perf_counter()
    print(f"{ready - began:.1f} s to start, {now - ready:.1f} s to play")
    return code


def verdict(
    cases: list[Case], ours: Seen, theirs: Seen, *, whole: bool, width: int, accepted: bool = False
) -> int:
    """What differs and what is stale is printed, and what is `accepted` if asked; the exit code."""
    found = [one for case in cases for one in found_in(case, ours, theirs)]
    judgement = judged(found, ACCEPTED, whole=whole)
    for one, by in judgement.accepted if accepted else ():
        print(f"ACCEPTED {one.line(width)} | by {by}")
    for one in judgement.open:
        print(f"DIFFERS  {one.line(width)}")
    for text in judgement.stale:
        print(f"STALE    accepted, but nothing differs there: {text}")
    print(
        f"{len(cases)} cases, {sum(case.requests() for case in cases)} requests: "
        f"{len(judgement.open)} differences, {len(judgement.accepted)} accepted, "
        f"{len(judgement.stale)} stale entries"
    )
    return 1 if judgement.open or judgement.stale else 0


def found_in(case: Case, ours: Seen, theirs: Seen) -> list[Difference]:
    """The differences of one case."""
    pairs = zip(ours[case.name], theirs[case.name], strict=True)
    return [
        one
        for number, (left, right) in enumerate(pairs, 1)
        for one in between(f"{case.name} {number} ", left, right)
    ]


def main() -> int:
    """Read the command line and compare."""
    parser = argparse.ArgumentParser(prog="python -m e2e.differential", description=__doc__)
    parser.add_argument("--list", action="store_true", help="print the cases and leave")
    parser.add_argument(
        "--table", action="store_true", help="print the accepted differences as in the docs"
    )
    parser.add_argument(
        "--accepted", action="store_true", help="print the accepted differences that were met"
    )
    parser.add_argument(
        "--width", type=int, default=WIDTH, help="most characters of a value (default: %(default)s)"
    )
    parser.add_argument("names", nargs="*", metavar="TEXT", help="play cases with this in the name")
    options = parser.parse_args()
    if options.table:
        print("\n".join(entry.row() for entry in ACCEPTED))
        return 0
    names = options.names
    cases = [one for one in all_cases() if not names or any(text in one.name for text in names)]
    if options.list:
        print("\n".join(f"{one.requests():>3}  {one.name}" for one in cases))
        return 0
    if not cases:
        parser.error("no case has that in its name; see --list")
    try:
        whole, width, accepted = not names, options.width, options.accepted
        return asyncio.run(run(cases, whole=whole, width=width, accepted=accepted))
    except ControlPlaneError as failed:
        print(f"Kubernetes cannot be had: {failed}")
        return 2


if __name__ == "__main__":
    sys.exit(main())
