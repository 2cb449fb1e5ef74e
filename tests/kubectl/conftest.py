"""A real kubectl against a running embedded server.

The binary is the one named by KUBECTL, else the one on PATH. Where there is none the tests are
skipped; with KUBECTL_REQUIRED=1 they fail instead. One server serves each test process; every test
gets a namespace of its own.
"""

import contextlib
import itertools
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

TOKEN = "a-token-for-tests"
PATIENCE = 30.0
WIDGETS: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {
            "kind": "Widget",
            "plural": "widgets",
            "singular": "widget",
            "shortNames": ["wd"],
            "categories": ["all"],
        },
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "additionalPrinterColumns": [
                    {
                        "name": "State",
                        "type": "string",
                        "jsonPath": ".status.conditions[-1:].type",
                    },
                    {
                        "name": "Ready",
                        "type": "string",
                        "jsonPath": '.status.conditions[?(@.type=="Ready")].status',
                        "priority": 1,
                    },
                    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "description": "What the widget should be.",
                                "required": ["size"],
                                "properties": {
                                    "size": {
                                        "type": "integer",
                                        "minimum": 1,
                                        "description": "How big it should be.",
                                    },
                                    "colour": {"type": "string", "default": "grey"},
                                    "parts": {"type": "array", "items": {"type": "string"}},
                                },
                            },
                            "status": {
                                "type": "object",
                                "properties": {
                                    "conditions": {
                                        "type": "array",
                                        "items": {
                                            "type": "object",
                                            "properties": {
                                                "type": {"type": "string"},
                                                "status": {"type": "string"},
                                            },
                                        },
                                    }
                                },
                            },
                        },
                    }
                },
            }
        ],
    },
}


@dataclass(frozen=True, slots=True)
class Ran:
    """What one kubectl command printed, and its exit code."""

    out: str
    err: str
    code: int

    @property
    def lines(self) -> list[str]:
        """The lines of its output."""
        return self.out.splitlines()

    def table(self) -> list[dict[str, str]]:
        """A printed table: one mapping from heading to cell for each row."""
        if not self.lines:
            return []
        heading, *rows = self.lines
        columns = list(re.finditer(r"\S+( \S+)*", heading))
        ends = [*(column.start() for column in columns[1:]), None]
        return [
            {
                column[0]: row[column.start() : end].strip()
                for column, end in zip(columns, ends, strict=True)
            }
            for row in rows
        ]

    @property
    def squeezed(self) -> str:
        """Its output with every run of blanks as one: layouts differ between versions."""
        return re.sub(r"[ \t]+", " ", self.out)


@dataclass(frozen=True, slots=True)
class Server:
    """A running embedded server: a plain URL for us, one with TLS for kubectl.

    kubectl sends a token only over TLS.
    """

    url: str
    tls_url: str
    certificate: Path

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer to one request of our own, beside kubectl."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.loads(answer.read())


@dataclass(frozen=True, slots=True)
class Kubectl:
    """The command, with a kubeconfig and a cache of its own, in one namespace."""

    binary: str
    home: Path
    server: Server
    namespace: str
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, text: str | None = None, fails: bool = False) -> Ran:
        """Runs to its end; `text` is standard input; `fails`: whether an error is expected."""
        done = subprocess.run(
            self.command(*arguments),
            input=text,
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=PATIENCE,
            check=False,
        )
        ran = Ran(done.stdout, done.stderr, done.returncode)
        assert (ran.code != 0) is fails, f"kubectl {arguments}: {ran.code}\n{ran.out}\n{ran.err}"
        return ran

    def command(self, *arguments: str) -> list[str]:
        """The whole command line."""
        return [self.binary, f"--namespace={self.namespace}", *arguments]

    def json(self, *arguments: str) -> Any:
        """What `get -o json` says."""
        return json.loads(self("get", *arguments, "-o", "json").out)

    def apply(
        self, *objects: dict[str, Any], fails: bool = False, more: tuple[str, ...] = ()
    ) -> Ran:
        """Applies the objects from standard input."""
        return self("apply", *more, "-f", "-", text=yaml.safe_dump_all(objects), fails=fails)

    def create(
        self, *objects: dict[str, Any], fails: bool = False, more: tuple[str, ...] = ()
    ) -> Ran:
        """Creates the objects from standard input."""
        return self("create", *more, "-f", "-", text=yaml.safe_dump_all(objects), fails=fails)

    @contextlib.contextmanager
    def following(self, *arguments: str) -> Iterator[Callable[[], str]]:
        """Runs in the background; the given callable waits for its next line."""
        process = subprocess.Popen(
            self.command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment,
        )
        lines: queue.Queue[str] = queue.Queue()
        assert process.stdout is not None
        stdout = process.stdout

        def read() -> None:
            for line in stdout:
                lines.put(line.rstrip("\n"))

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield lambda: lines.get(timeout=PATIENCE)
        finally:
            process.terminate()
            process.wait(PATIENCE)
            reader.join(PATIENCE)
            stdout.close()


@pytest.fixture(scope="session")
def binary() -> str:
    """The kubectl to test with."""
    found = os.environ.get("KUBECTL") or shutil.which("kubectl")
    if found and shutil.which(found):
        return found
    why = "no kubectl: set KUBECTL to a binary or put one on PATH"
    if os.environ.get("KUBECTL_REQUIRED") == "1":
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="session")
def server(binary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An embedded server in a process of its own, with the kind Widget."""
    folder = tmp_path_factory.mktemp("server")
    token, certificate = folder / "token", folder / "certificate.pem"
    token.write_text(TOKEN)
    files = ("--token-file", str(token), "--certificate-file", str(certificate))
    process = subprocess.Popen(
        [sys.executable, "-m", "kube_queue.apiserver", "--port", "0", *files],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        url, tls_url = (process.stdout.readline().strip() for _ in range(2))
        running = Server(url, tls_url, certificate)
        crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        running.ask("POST", crds, WIDGETS)
        yield running
    finally:
        process.terminate()
        process.wait(PATIENCE)
        process.stdout.close()


_counter = itertools.count(1)


@pytest.fixture(scope="session")
def home(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home directory with a kubeconfig and nothing else."""
    folder = tmp_path_factory.mktemp("home")
    cluster = {"server": server.tls_url, "certificate-authority": str(server.certificate)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "local",
        "clusters": [{"name": "local", "cluster": cluster}],
        "users": [{"name": "local", "user": {"token": TOKEN}}],
        "contexts": [{"name": "local", "context": {"cluster": "local", "user": "local"}}],
    }
    (folder / "config").write_text(yaml.safe_dump(config))
    return folder


@pytest.fixture
def kubectl(binary: str, server: Server, home: Path) -> Kubectl:
    """kubectl in a new namespace."""
    namespace = f"test-{next(_counter)}"
    server.ask("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    environment = {
        "HOME": str(home),
        "KUBECONFIG": str(home / "config"),
        "KUBECACHEDIR": str(home / "cache"),
        "KUBECTL_KUBERC": "false",
        "PATH": os.environ.get("PATH", ""),
    }
    return Kubectl(binary, home, server, namespace, environment)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test below this folder needs kubectl."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.kubectl)
