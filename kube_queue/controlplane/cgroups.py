"""The cgroup that the pods of one node live in: made, and removed with all that is in it."""

import asyncio
import contextlib
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")

_GONE_WITHIN = 15.0
_POLL_SECONDS = 0.05
_UNIFIED = "cgroup.controllers"
# In the first version of cgroups these are not inherited, and a group without them runs nothing.
_INHERITED = ("cpuset.cpus", "cpuset.mems")


def make(name: str, root: Path = ROOT) -> None:
    """A group of this name is there in every hierarchy. Raises OSError."""
    unified = (root / _UNIFIED).is_file()
    if unified:
        given = (root / _UNIFIED).read_text(encoding="ascii").split()
        wanted = " ".join(f"+{one}" for one in given)
        (root / "cgroup.subtree_control").write_text(wanted, encoding="ascii")
    for hierarchy in _hierarchies(root):
        group = hierarchy / name
        group.mkdir(exist_ok=True)
        for setting in () if unified else _INHERITED:
            if (hierarchy / setting).is_file():
                (group / setting).write_bytes((hierarchy / setting).read_bytes())


async def remove(name: str, root: Path = ROOT) -> list[Path]:
    """The groups of this name are gone, once the processes in them are; those left are returned.

    Whoever was killed may take a moment to end.
    """
    groups = [hierarchy / name for hierarchy in _hierarchies(root)]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_GONE_WITHIN):
            for group in groups:
                while not _removed(group):
                    await asyncio.sleep(_POLL_SECONDS)
    return [group for group in groups if group.exists()]


def of_prefix(prefix: str, root: Path = ROOT) -> set[str]:
    """The names of all groups at the top that begin so."""
    return {
        group.name
        for hierarchy in _hierarchies(root)
        for group in hierarchy.glob(f"{prefix}*")
        if group.is_dir()
    }


def _hierarchies(root: Path) -> list[Path]:
    if (root / _UNIFIED).is_file():
        return [root]
    # The same hierarchy under a second name is a link.
    return [one for one in root.iterdir() if one.is_dir() and not one.is_symlink()]


def _removed(group: Path) -> bool:
    """Inner groups first: a group with others in it stays."""
    try:
        inner = [one for one in group.iterdir() if one.is_dir()]
    except FileNotFoundError:
        return True
    for one in inner:
        _removed(one)
    try:
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False  # a process in it has not ended yet
    return True
