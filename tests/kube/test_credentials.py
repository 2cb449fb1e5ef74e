"""Where the server is and who we are, from files, plug-ins and the pod's own account."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from kube_queue.api.errors import InvalidSetting
from kube_queue.app.virtual_time import run_virtual
from kube_queue.kube import credentials
from kube_queue.kube.connection import connect
from kube_queue.kube.credentials import Credentials, load_credentials
from kube_queue.kube.limiter import LimitedTransport
from tests.kube.test_transport import TLS, serving


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the machine's own kubeconfig, pod or proxies."""
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def a_kubeconfig(
    path: Path,
    user: dict[str, Any] | None = None,
    cluster: dict[str, Any] | None = None,
    *,
    name: str = "one",
    **more: Any,
) -> str:
    """A file with one cluster, user and context of that name, which is current."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {"server": f"https://{name}:6443", **(cluster or {})}}
        ],
        "users": [{"name": name, "user": user or {}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
        **more,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(config))
    return str(path)


def header(found: Credentials, *, renew: bool = False) -> str:
    """The Authorization header a first request would carry."""

    async def main() -> str:
        return await found.authorization.header(renew=renew)

    return run_virtual(main())


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def test_a_token_is_sent_as_bearer(tmp_path: Path) -> None:
    found = load_credentials(a_kubeconfig(tmp_path / "c", {"token": "secret"}))
    assert found.server == "https://one:6443"
    assert header(found) == "Bearer secret"
    assert "secret" not in repr(found)


def test_a_name_and_password_are_sent_as_basic(tmp_path: Path) -> None:
    user = {"username": "ann", "password": "pw"}
    found = load_credentials(a_kubeconfig(tmp_path / "c", user))
    assert header(found) == "Basic " + b64(b"ann:pw")


def test_a_token_file_is_read_again_after_a_minute_and_after_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first\n")
    found = load_credentials(a_kubeconfig(tmp_path / "c", {"tokenFile": "token", "token": "no"}))

    async def main() -> None:
        ask = found.authorization.header
        assert await ask() == "Bearer first"
        (tmp_path / "token").write_text("second")
        await asyncio.sleep(30)
        assert await ask() == "Bearer first"
        await asyncio.sleep(31)
        assert await ask() == "Bearer second"
        (tmp_path / "token").write_text("third")
        assert await ask(renew=True) == "Bearer third"

    run_virtual(main())


def test_certificates_come_as_data_or_as_files_beside_the_kubeconfig(tmp_path: Path) -> None:
    ca, crt, key = (TLS / name for name in ("ca.crt", "client.crt", "client.key"))
    as_data = a_kubeconfig(
        tmp_path / "data",
        {
            "client-certificate-data": b64(crt.read_bytes()),
            "client-key-data": b64(key.read_bytes()),
        },
        {"certificate-authority-data": b64(ca.read_bytes())},
    )
    directory = tmp_path / "files"
    as_files = a_kubeconfig(
        directory / "config",
        {"client-certificate": "client.crt", "client-key": str(key)},
        {"certificate-authority": "ca.crt"},
    )
    for file in (ca, crt):
        (directory / file.name).write_bytes(file.read_bytes())
    for path in (as_data, as_files):
        found = load_credentials(path)
        assert found.ca == ca.read_bytes()
        assert found.client_certificate is not None
        assert found.client_certificate.certificate == crt.read_bytes()
        assert found.client_certificate.key == key.read_bytes()
        assert found.ssl_context() is not None


def test_the_rest_of_a_context_is_read_as_well(tmp_path: Path) -> None:
    visibility = {"name": "kube-queue", "extension": {"visibility": "http://127.0.0.1:9"}}
    path = a_kubeconfig(
        tmp_path / "c",
        {"as": "ann"},
        {
            "server": "http://127.0.0.1:8080/prefix/",
            "insecure-skip-tls-verify": True,
            "tls-server-name": "kubernetes",
            "proxy-url": "http://proxy:3128",
            "extensions": [{"name": "other", "extension": 1}, visibility],
        },
        contexts=[{"name": "one", "context": {"cluster": "one", "user": "one", "namespace": "t"}}],
    )
    found = load_credentials(path)
    assert found.server == "http://127.0.0.1:8080/prefix"
    assert not found.verify
    assert found.tls_server_name == "kubernetes"
    assert found.proxy == "http://proxy:3128"
    assert found.headers == {"Impersonate-User": "ann"}
    assert found.namespace == "t"
    assert found.visibility == "http://127.0.0.1:9"
    assert found.ssl_context() is None


def test_kubeconfig_files_are_merged_and_the_first_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = a_kubeconfig(tmp_path / "1", {"token": "first"})
    second = a_kubeconfig(tmp_path / "2", {"token": "other"}, name="two")
    third = a_kubeconfig(tmp_path / "3", {"token": "late"})
    monkeypatch.setenv("KUBECONFIG", f"{first}:{tmp_path}/missing::{second}:{third}")
    assert header(load_credentials()) == "Bearer first"
    assert header(load_credentials(None, "two")) == "Bearer other"
    assert header(load_credentials(third)) == "Bearer late"


def test_a_named_file_comes_before_the_pod_and_the_pod_before_the_home_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_kubeconfig(tmp_path / "home" / ".kube" / "config", {"token": "home"})
    assert header(load_credentials()) == "Bearer home"
    account = tmp_path / "account"
    account.mkdir()
    (account / "token").write_text("pod")
    (account / "ca.crt").write_bytes((TLS / "ca.crt").read_bytes())
    (account / "namespace").write_text("kube-queue")
    monkeypatch.setattr(credentials, "SERVICE_ACCOUNT", account)
    assert header(load_credentials()) == "Bearer home"
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    found = load_credentials()
    assert (found.server, found.namespace) == ("https://[fd00::1]:6443", "kube-queue")
    assert found.ca.startswith(b"-----BEGIN CERTIFICATE")
    assert header(found) == "Bearer pod"
    named = a_kubeconfig(tmp_path / "c", {"token": "named"})
    assert header(load_credentials(named)) == "Bearer named"


def test_a_proxy_of_the_environment_is_used_except_for_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "spared")
    for server, proxy in (
        ("https://far:6443", "http://proxy:3128"),
        ("https://spared:6443", ""),
        ("https://127.0.0.1:6443", ""),
        ("https://localhost", ""),
        ("http://far", ""),
    ):
        path = a_kubeconfig(tmp_path / "c", cluster={"server": server})
        assert load_credentials(path).proxy == proxy


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("a: [", "is not YAML"),
        ("[]", "is no kubeconfig"),
        ("{}", "no current-context is set"),
        ("current-context: x", "there is no context 'x'"),
        ("{current-context: x, contexts: [{name: x, context: {cluster: c}}]}", "no cluster 'c'"),
        ("contexts: 7", "contexts: must be a list"),
        ("contexts: [{context: {}}]", "every entry needs a name"),
        ("users: [{name: u, user: 3}]", r"users\[u\].user: must be a mapping"),
    ],
)
def test_a_broken_kubeconfig_is_answered_with_where_and_what(
    tmp_path: Path, content: str, sentence: str
) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(InvalidSetting, match=sentence):
        load_credentials(str(path))


@pytest.mark.parametrize(
    ("user", "cluster", "sentence"),
    [
        ({}, {"server": "one:6443"}, r"clusters\[one\].server: must be an http or https address"),
        ({"token": 7}, {}, r"users\[one\].token: must be text, not int"),
        ({"tokenFile": "missing"}, {}, "cannot read .*missing: No such file"),
        ({"client-certificate": "missing"}, {}, "client-certificate: cannot read .*missing"),
        ({}, {"certificate-authority-data": "A"}, "certificate-authority-data: is not base64"),
        ({"as": "a", "as-groups": ["g"]}, {}, "cannot be impersonated"),
    ],
)
def test_a_broken_entry_is_answered_with_its_path(
    tmp_path: Path, user: dict[str, Any], cluster: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidSetting, match=sentence):
        header(load_credentials(a_kubeconfig(tmp_path / "c", user, cluster)))


def test_no_cluster_at_all_is_answered_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(InvalidSetting, match="no cluster is known"):
        load_credentials()
    with pytest.raises(InvalidSetting, match="--kubeconfig: there is no file /missing"):
        load_credentials("/missing")
    monkeypatch.setenv("KUBECONFIG", "/gone:/away")
    with pytest.raises(InvalidSetting, match="KUBECONFIG: there is no file /gone, /away"):
        load_credentials()


PLUGIN = """
import json, os, sys, pathlib
runs = pathlib.Path(sys.argv[1])
number = len(runs.read_text()) if runs.exists() else 0
runs.write_text("x" * (number + 1))
if number >= int(os.environ.get("FAIL_AFTER", "99")):
    sys.exit("the identity provider is away")
status = {"token": f"token-{number}", **json.loads(os.environ.get("MORE", "{}"))}
print(json.dumps({"apiVersion": "client.authentication.k8s.io/v1",
                  "kind": "ExecCredential", "status": status}))
"""


def a_plugin(tmp_path: Path, **env: str) -> dict[str, Any]:
    """A user entry with an exec plug-in that hands out token-0, token-1, …"""
    script = tmp_path / "plugin.py"
    script.write_text(PLUGIN)
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": sys.executable,
            "args": [str(script), str(tmp_path / "runs")],
            "env": [{"name": name, "value": value} for name, value in env.items()],
        }
    }


def runs_of(tmp_path: Path) -> int:
    runs = tmp_path / "runs"
    return len(runs.read_text()) if runs.exists() else 0


async def test_an_exec_plug_in_runs_with_the_first_request_and_after_a_refusal(
    tmp_path: Path,
) -> None:
    found = load_credentials(a_kubeconfig(tmp_path / "c", a_plugin(tmp_path)))
    assert runs_of(tmp_path) == 0
    ask = found.authorization.header
    assert await asyncio.gather(*(ask() for _ in range(5))) == ["Bearer token-0"] * 5
    assert runs_of(tmp_path) == 1
    # Five requests refused at once need one new token.
    assert await asyncio.gather(*(ask(renew=True) for _ in range(5))) == ["Bearer token-1"] * 5
    assert runs_of(tmp_path) == 2


async def test_a_token_about_to_expire_is_asked_for_again(tmp_path: Path) -> None:
    past = '{"expirationTimestamp": "2020-01-01T00:00:00Z"}'
    found = load_credentials(a_kubeconfig(tmp_path / "c", a_plugin(tmp_path, MORE=past)))
    assert await found.authorization.header() == "Bearer token-0"
    assert await found.authorization.header() == "Bearer token-0"
    found.authorization._check_again = 0.0  # A minute later.
    assert await found.authorization.header() == "Bearer token-1"


async def test_a_plug_in_that_fails_is_named_with_what_it_said(tmp_path: Path) -> None:
    path = a_kubeconfig(tmp_path / "c", a_plugin(tmp_path, FAIL_AFTER="0"))
    with pytest.raises(InvalidSetting, match=r"users\[one\].*the identity provider is away"):
        await load_credentials(path).authorization.header()


async def test_connect_makes_a_client_of_what_was_found(tmp_path: Path) -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        assert request.headers["User-Agent"] == "me/1"
        assert request.headers["Authorization"] == "Bearer secret"
        return web.json_response({"gitVersion": "v1.36.3"})

    async with serving(handler) as server:
        url = str(server.make_url(""))
        path = a_kubeconfig(tmp_path / "c", {"token": "secret"}, {"server": url})
        for qps in (0.0, 100.0):
            client = await connect(path, user_agent="me/1", qps=qps)
            assert b"v1.36.3" in (await client.raw("GET", "/version")).body
            assert isinstance(client.transport, LimitedTransport) == (qps > 0)
            await client.close()


def test_a_plain_kubeconfig_imports_nothing_heavy(tmp_path: Path) -> None:
    path = a_kubeconfig(tmp_path / "c", {"token": "secret"})
    program = f"""
        import sys
        from kube_queue.kube.credentials import load_credentials
        load_credentials({path!r})
        print([name for name in ("aiohttp", "kubernetes_asyncio", "tenacity", "structlog")
               if name in sys.modules])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_client_imports_neither_kubernetes_asyncio_nor_what_only_controllers_need() -> None:
    program = """
        import sys
        import kube_queue.kube.client, kube_queue.kube.transport
        print([name for name in ("kubernetes_asyncio", "tenacity", "structlog", "pydantic")
               if name in sys.modules])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
