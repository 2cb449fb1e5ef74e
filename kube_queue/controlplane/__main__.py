"""`python -m kube_queue.controlplane build PROGRAM...` prints the paths of working binaries."""

import argparse
import asyncio
import sys

from kube_queue.controlplane.build import obtain_all
from kube_queue.controlplane.errors import ControlPlaneError
from kube_queue.controlplane.programs import PROGRAMS, program


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 and the paths on standard output, or 1 and one sentence on standard error."""
    parser = argparse.ArgumentParser(prog="python -m kube_queue.controlplane")
    verbs = parser.add_subparsers(dest="verb", required=True)
    build = verbs.add_parser("build", help="find the programs or build them, and print their paths")
    names = ", ".join(row.name for row in PROGRAMS)
    build.add_argument("programs", nargs="*", metavar="PROGRAM", help=f"{names}, or all (default)")
    chosen = parser.parse_args(arguments).programs or ["all"]
    try:
        rows = PROGRAMS if chosen == ["all"] else tuple(program(name) for name in chosen)
        paths = asyncio.run(obtain_all(rows, _say))
    except ControlPlaneError as problem:
        _say(str(problem))
        return 1
    except KeyboardInterrupt:
        _say("interrupted; the next build goes on with what is compiled")
        return 130
    sys.stdout.write("".join(f"{paths[row.name]}\n" for row in rows))
    return 0


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
