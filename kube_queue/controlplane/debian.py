"""What a real node needs from the machine itself, from Debian's packages where it is missing."""

import os
import shutil
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kube_queue.controlplane.commands import run_command
from kube_queue.controlplane.errors import NotInstalled

_NETWORK_FOLDERS = ("/usr/lib/cni", "/opt/cni/bin")
_NETWORK_PLUGINS = ("loopback", "bridge", "host-local")
_INSTALL = ("install", "--yes", "--no-install-recommends", "--no-remove")
_ELF_INTERPRETER = 3


@dataclass(frozen=True, slots=True)
class Tools:
    """Where they are; `network` is the folder of the network plug-ins."""

    runc: Path
    network: Path
    busybox: Path
    compiler: Path


def unfit() -> str:
    """Why this machine can have no real node; empty when it can."""
    if sys.platform != "linux":
        return f"a real node needs Linux, this is {sys.platform}"
    if not _is_debian():
        return "a real node takes runc, busybox and network plug-ins from Debian's packages"
    if os.geteuid() != 0:
        return "a real node needs root: it makes namespaces, mounts and cgroups"
    return ""


async def tools(say: Callable[[str], None]) -> Tools:
    """They are all there; what was missing is installed, and `say` is told its names first.

    Nothing is removed for it. Raises NotInstalled. Call it where `unfit` has no objection.
    """
    missing = missing_packages()
    if missing:
        say(f"installing Debian packages: apt-get install {' '.join(missing)}")
        await _install(missing)
    runc, network, busybox, compiler = _runc(), _network(), _busybox(), _compiler()
    if runc is None or network is None or busybox is None or compiler is None:
        raise NotInstalled(f"apt-get installed {' '.join(missing)}, yet something of it is missing")
    return Tools(runc, network, busybox, compiler)


def missing_packages() -> list[str]:
    """The Debian packages without which there is no real node here."""
    wanted = {
        "runc": _runc(),
        "containernetworking-plugins": _network(),
        "busybox-static": _busybox(),
        "gcc libc6-dev": _compiler(),
    }
    return [name for names, found in wanted.items() if found is None for name in names.split()]


def is_static(program: Path) -> bool:
    """Whether it is a 64-bit program that needs no libraries and so runs in an empty image."""
    content = program.read_bytes()
    if content[:5] != b"\x7fELF\x02":
        return False
    order = "<" if content[5] == 1 else ">"
    (start,) = struct.unpack_from(order + "Q", content, 32)
    size, count = struct.unpack_from(order + "HH", content, 54)
    kinds = (struct.unpack_from(order + "I", content, start + i * size)[0] for i in range(count))
    return _ELF_INTERPRETER not in kinds


async def _install(packages: list[str]) -> None:
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    outcome = await run_command(["apt-get", *_INSTALL, *packages], env=quiet)
    if outcome.code != 0:
        # A fresh machine's lists may be empty, or name versions that have gone.
        await run_command(["apt-get", "update"], env=quiet)
        outcome = await run_command(["apt-get", *_INSTALL, *packages], env=quiet)
    if outcome.code != 0:
        raise NotInstalled(
            f"apt-get cannot install {' '.join(packages)}: {outcome.complaint}; "
            "install them by hand and try again"
        )


def _is_debian() -> bool:
    try:
        text = Path("/etc/os-release").read_text(encoding="utf-8")
    except OSError:
        return False
    facts = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    families = f"{facts.get('ID', '')} {facts.get('ID_LIKE', '')}".replace('"', "").split()
    return "debian" in families and shutil.which("apt-get") is not None


def _runc() -> Path | None:
    return _program("runc")


def _network() -> Path | None:
    for folder in map(Path, _NETWORK_FOLDERS):
        if all((folder / plugin).is_file() for plugin in _NETWORK_PLUGINS):
            return folder
    return None


def _busybox() -> Path | None:
    found = _program("busybox")
    return found if found is not None and is_static(found) else None


def _compiler() -> Path | None:
    """A C compiler that can link statically: libc's archive is there as well."""
    return _program("gcc") if any(Path("/usr/lib").glob("*/libc.a")) else None


def _program(name: str) -> Path | None:
    # What apt-get installs may lie outside the PATH of a service or a cron job.
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/bin")
    return Path(found) if found else None
