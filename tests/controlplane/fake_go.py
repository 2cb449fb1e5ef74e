"""A Go tool of a few lines: it answers what the recipe asks and writes down that it was asked."""

import stat
from dataclasses import dataclass
from pathlib import Path

FAKE_GO = """#!{python}
import json, os, sys, time
from pathlib import Path

home = Path({home!r})
arguments = sys.argv[1:]
with (home / "asked").open("a") as log:
    log.write(" ".join(arguments) + "\\n")

def told(name):
    return (home / name).read_text() if (home / name).exists() else ""

if arguments[0] == "env":
    print(told("version") or "go1.26.6", "linux", "amd64", sep="\\n")
elif arguments[:2] == ["mod", "download"]:
    if told("unreachable"):
        print(json.dumps({{"Error": told("unreachable")}}))
        sys.exit(1)
    print(json.dumps({{"GoMod": str(home / "module.mod"), "Dir": str(home / "module")}}))
elif arguments[:2] == ["mod", "edit"]:
    print(json.dumps({{"Go": "1.26.0", "Replace": [
        {{"Old": {{"Path": "k8s.io/api"}}, "New": {{"Path": "./staging/src/k8s.io/api"}}}},
        {{"Old": {{"Path": "example.org/x"}}, "New": {{"Path": "example.org/y"}}}},
    ]}}))
elif arguments[:2] == ["mod", "tidy"]:
    (home / "go.mod").write_text(Path("go.mod").read_text())
    (home / "tools.go").write_text(Path("tools.go").read_text())
elif arguments[0] == "build":
    (home / "building").write_text(str(os.getpid()))
    target = Path(arguments[arguments.index("-o") + 1])
    target.parent.mkdir(parents=True, exist_ok=True)
    if told("error"):
        sys.exit(told("error"))
    target.write_text("#!/bin/sh\\n# half a binary")
    while (home / "hold").exists():
        time.sleep(0.01)
    target.write_text("#!/bin/sh\\necho Client Version: " + (told("prints") or "v1.36.3") + "\\n")
    target.chmod(0o755)
"""


@dataclass(frozen=True)
class FakeGo:
    """The folder it lives in steers it: files named version, unreachable, error, hold, prints."""

    home: Path

    def tell(self, name: str, text: str = "yes") -> None:
        (self.home / name).write_text(text)

    def asked(self) -> list[str]:
        log = self.home / "asked"
        return log.read_text().splitlines() if log.exists() else []

    def builds(self) -> int:
        return sum(line.startswith("build ") for line in self.asked())


def write_program(path: Path, text: str) -> Path:
    """An executable file with that text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path
