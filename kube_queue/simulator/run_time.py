"""How long a pod runs and how it ends, read from its own words.

What decides, in this order: the annotations of the simulator; the command of each container, when
it is a sleep or a shell script with sleeps; else a pod that is always restarted serves for ever (a
web server), and any other runs DEFAULT_RUN_SECONDS. Init containers take no time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from kube_queue.api.names import RUN_SECONDS_ANNOTATION
from kube_queue.simulator.fields import mapping, mappings, text

DEFAULT_RUN_SECONDS: Final = 30.0
"""A pod whose command says nothing runs this long, unless it is always restarted."""
DEFAULT_STOP_SECONDS: Final = 0.5
"""A process ends this long after it was told to, unless its grace period is shorter."""
EXIT_CODE_ANNOTATION: Final = "simulator.kube-queue/exit-code"
"""On a pod: the exit code of its containers; absent, what its script says, else 0."""
STOP_SECONDS_ANNOTATION: Final = "simulator.kube-queue/stop-seconds"
"""On a pod: how long its processes take to end after SIGTERM; the grace period cuts it short."""

_CACHED_COMMANDS: Final = 4096
_SHELLS: Final = frozenset({"sh", "bash", "ash", "dash", "zsh"})
_UNITS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)([smhd]?)")
_SLEEP: Final = re.compile(r"\bsleep((?:\s+(?:[\d.]+[smhd]?|infinity|inf)(?![\w.]))+)")
_ENDLESS: Final = re.compile(r"\bwhile\s+(?:true|:|\[\s*1\s*\])|\btail\s+-f\b")
_EXIT: Final = re.compile(r"\bexit\s+(\d+)\s*;?\s*$")
_FALSE: Final = re.compile(r"(?:^|[;&|\s])false\s*;?\s*$")


@dataclass(frozen=True, slots=True)
class Script:
    """What a pod's containers do: run so many seconds (math.inf: for ever), end with this code,
    and take so many seconds to end once told to.
    """

    seconds: float
    exit_code: int
    stop_seconds: float = DEFAULT_STOP_SECONDS


def script_of(pod: Mapping[str, Any]) -> Script:
    """The script of a pod manifest; it never raises, odd annotations read as absent."""
    annotations = mapping(mapping(pod.get("metadata")).get("annotations"))
    spec = mapping(pod.get("spec"))
    commands = [_command(container) for container in mappings(spec.get("containers"))]
    unsaid = math.inf if spec.get("restartPolicy") == "Always" else DEFAULT_RUN_SECONDS
    seconds = _non_negative(annotations.get(RUN_SECONDS_ANNOTATION))
    if seconds is None:
        said = [_seconds(command) for command in commands]
        seconds = max(
            (unsaid if each is None else each for each in said),
            default=unsaid,
        )
    code = _non_negative(annotations.get(EXIT_CODE_ANNOTATION))
    if code is None or code == math.inf:
        code = max((_exit_code(command) for command in commands), default=0)
    stop = _non_negative(annotations.get(STOP_SECONDS_ANNOTATION))
    return Script(seconds, int(code), DEFAULT_STOP_SECONDS if stop is None else stop)


def _command(container: Mapping[str, Any]) -> tuple[str, ...]:
    words: list[str] = []
    for field in ("command", "args"):
        given = container.get(field)
        words += [text(word) for word in given] if isinstance(given, list) else []
    return tuple(words)


def _program(command: Sequence[str]) -> str:
    return command[0].rpartition("/")[2]


@lru_cache(maxsize=_CACHED_COMMANDS)
def _seconds(command: tuple[str, ...]) -> float | None:
    """None when the command does not say."""
    if not command:
        return None
    program = _program(command)
    if program == "sleep":
        return _sum(command[1:])
    if program in ("true", "false"):
        return 0.0
    if program == "tail" and "-f" in command:
        return math.inf
    script = _shell_script(command)
    if script is None:
        return None
    if _ENDLESS.search(script):
        return math.inf
    sleeps = [_sum(found.split()) for found in _SLEEP.findall(script)]
    said = [seconds for seconds in sleeps if seconds is not None]
    return sum(said) if said else None


@lru_cache(maxsize=_CACHED_COMMANDS)
def _exit_code(command: tuple[str, ...]) -> int:
    if not command:
        return 0
    if _program(command) == "false":
        return 1
    script = _shell_script(command) or ""
    found = _EXIT.search(script)
    if found:
        return int(found[1]) % 256
    return 1 if _FALSE.search(script) else 0


def _shell_script(command: Sequence[str]) -> str | None:
    """The text a shell was given with -c: the first word after its options."""
    if _program(command) not in _SHELLS:
        return None
    options = 1
    while options < len(command) and command[options][:1] in ("-", "+"):
        options += 1
    asked = any("c" in option for option in command[1:options] if not option.startswith("--"))
    return command[options] if asked and options < len(command) else None


def _sum(words: Sequence[str]) -> float | None:
    """sleep adds up its arguments; None when one is no duration."""
    total = 0.0
    for word in words:
        if word in ("infinity", "inf"):
            return math.inf
        match = _DURATION.fullmatch(word)
        if match is None:
            return None
        total += float(match[1]) * _UNITS[match[2]]
    return total if words else None


def _non_negative(value: object) -> float | None:
    if not isinstance(value, str):
        return None
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if seconds >= 0 else None
