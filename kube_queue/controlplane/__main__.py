"""`python -m kube_queue.controlplane build PROGRAM` prints the path of a working binary."""

import argparse
import asyncio
import sys

from kube_queue.controlplane.build import obtain
from kube_queue.controlplane.errors import ControlPlaneError
from kube_queue.controlplane.programs import PROGRAMS, program


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 and the path on standard output, or 1 and one sentence on standard error."""
    parser = argparse.ArgumentParser(prog="python -m kube_queue.controlplane")
    verbs = parser.add_subparsers(dest="verb", required=True)
    build = verbs.add_parser("build", help="find the program or build it, and print its path")
    build.add_argument("program", help=", ".join(row.name for row in PROGRAMS))
    chosen = parser.parse_args(arguments)
    try:
        path = asyncio.run(obtain(program(chosen.program), _say))
    except ControlPlaneError as problem:
        _say(str(problem))
        return 1
    except KeyboardInterrupt:
        _say("interrupted; nothing half built is left")
        return 130
    sys.stdout.write(f"{path}\n")
    return 0


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
