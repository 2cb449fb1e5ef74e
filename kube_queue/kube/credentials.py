"""Where the API server is, and what proves who we are.

Holds: Credentials, load_credentials, and the kinds of Authorization.
Plain kubeconfigs (token, token file, certificates, password) and a pod's own service account are
read here. Only exec plug-ins and auth providers import kubernetes-asyncio, which costs more than
half a second, and only with the first request.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from kube_queue.api.errors import InvalidSetting
from kube_queue.kube.kubeconfig import (
    Context,
    Entry,
    home_file,
    named_files,
    read_context,
    read_file,
)

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
REREAD_SECONDS = 60.0


class Authorization(Protocol):
    """What proves who we are, request by request."""

    async def header(self, *, renew: bool = False) -> str:
        """The Authorization header's value, or empty. `renew`: the last one was refused."""
        ...


@runtime_checkable
class CertificateSource(Protocol):
    """An Authorization that may hand out client certificates as well."""

    def secures(self, tls: ssl.SSLContext) -> None:
        """Certificates handed out later are presented by this context's new connections."""
        ...


@dataclass(frozen=True, slots=True)
class FixedAuthorization:
    """A value that never changes; empty means nothing is sent."""

    value: str = field(default="", repr=False)

    async def header(self, *, renew: bool = False) -> str:
        """See Authorization."""
        return self.value


class TokenFile:
    """A token in a file that somebody else renews, as kubelets do for pods."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._value = ""
        self._read_again = 0.0

    async def header(self, *, renew: bool = False) -> str:
        """See Authorization. The file is read again every minute and after a refusal."""
        now = asyncio.get_running_loop().time()
        if renew or not self._value or now >= self._read_again:
            token = read_file(self._path, "token file").decode("utf-8", "replace").strip()
            self._value = f"Bearer {token}"
            self._read_again = now + REREAD_SECONDS
        return self._value


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate chain and its key, as PEM."""

    certificate: bytes
    key: bytes = field(repr=False)

    def load_into(self, context: ssl.SSLContext) -> None:
        """New connections of the context present it. Raises InvalidSetting."""
        with _private_file(self.certificate) as chain, _private_file(self.key) as key:
            try:
                context.load_cert_chain(chain, key)
            except ssl.SSLError as error:
                raise InvalidSetting(
                    f"cannot be used: {error}", "client-certificate, client-key"
                ) from None


@dataclass(frozen=True, slots=True)
class Credentials:
    """One API server and one identity."""

    server: str
    authorization: Authorization = field(default_factory=FixedAuthorization)
    ca: bytes = b""
    """PEM of the authorities to trust; empty means the system's."""
    verify: bool = True
    client_certificate: ClientCertificate | None = None
    tls_server_name: str = ""
    proxy: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    namespace: str = "default"
    visibility: str = ""
    """Where the controller of this cluster answers questions, from the kubeconfig; may be empty."""
    scheduler: str = ""
    """The same of its co-scheduler."""

    def ssl_context(self) -> ssl.SSLContext | None:
        """What connections are secured with; None for plain http. Raises InvalidSetting."""
        if not self.server.startswith("https:"):
            return None
        try:
            context = ssl.create_default_context(cadata=self.ca.decode("ascii", "replace") or None)
        except ssl.SSLError as error:
            raise InvalidSetting(f"is no PEM: {error}", "certificate-authority") from None
        # Clusters sign with authorities that strict checking refuses and every other client takes.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.client_certificate is not None:
            self.client_certificate.load_into(context)
        if isinstance(self.authorization, CertificateSource):
            self.authorization.secures(context)
        return context


def load_credentials(kubeconfig: str | None = None, context: str | None = None) -> Credentials:
    """What the named kubeconfig says; else KUBECONFIG's; else the pod's own; else ~/.kube/config.

    No plug-in runs yet. Raises InvalidSetting with what is missing and where.
    """
    files = named_files(kubeconfig)
    if not files and not context and _in_cluster():
        return _pod_credentials()
    if not files:
        if not home_file().is_file():
            raise InvalidSetting(
                "no cluster is known: no kubeconfig was named, and this is no pod",
                "--kubeconfig",
                f"name one, set KUBECONFIG, or create {home_file()}",
            )
        files = (home_file(),)
    return _from_context(read_context(files, context))


def _from_context(context: Context) -> Credentials:
    cluster, user = context.cluster, context.user
    server = cluster.text("server")
    if not server.startswith(("https://", "http://")):
        raise InvalidSetting("must be an http or https address", f"{cluster.path}.server")
    return Credentials(
        server=server.rstrip("/"),
        authorization=_authorization(context),
        ca=cluster.content("certificate-authority"),
        verify=not cluster.body.get("insecure-skip-tls-verify"),
        client_certificate=_certificate(user),
        tls_server_name=cluster.text("tls-server-name"),
        proxy=cluster.text("proxy-url") or _environment_proxy(server),
        headers=_impersonation(user),
        namespace=context.namespace or "default",
        visibility=context.visibility,
        scheduler=context.scheduler,
    )


def _authorization(context: Context) -> Authorization:
    user = context.user
    if user.body.get("exec") or user.body.get("auth-provider"):
        from kube_queue.kube.plugins import PluginAuthorization

        return PluginAuthorization(context)
    # Of token and tokenFile, kubectl takes the file: it can be renewed.
    if (token_file := user.file("tokenFile")) is not None:
        return TokenFile(token_file)
    if token := user.text("token"):
        return FixedAuthorization(f"Bearer {token}")
    if user.text("username"):
        pair = f"{user.text('username')}:{user.text('password')}"
        return FixedAuthorization("Basic " + base64.b64encode(pair.encode()).decode("ascii"))
    return FixedAuthorization()


def _certificate(user: Entry) -> ClientCertificate | None:
    certificate = user.content("client-certificate")
    if not certificate:
        return None
    return ClientCertificate(certificate, user.content("client-key"))


def _impersonation(user: Entry) -> Mapping[str, str]:
    pairs = (("Impersonate-User", "as"), ("Impersonate-Uid", "as-uid"))
    headers = {name: user.text(key) for name, key in pairs if user.text(key)}
    if user.body.get("as-groups") or user.body.get("as-user-extra"):
        raise InvalidSetting("groups and extras cannot be impersonated", f"{user.path}.as-groups")
    return headers


def _in_cluster() -> bool:
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and (SERVICE_ACCOUNT / "token").is_file()


def _pod_credentials() -> Credentials:
    host = os.environ["KUBERNETES_SERVICE_HOST"]
    port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    namespace = SERVICE_ACCOUNT / "namespace"
    return Credentials(
        # An IPv6 address needs its brackets in a URL.
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        authorization=TokenFile(SERVICE_ACCOUNT / "token"),
        ca=read_file(SERVICE_ACCOUNT / "ca.crt", "the pod's certificate authority"),
        namespace=namespace.read_text("utf-8").strip() if namespace.is_file() else "default",
    )


def _environment_proxy(server: str) -> str:
    parts = urlsplit(server)
    host = parts.hostname or ""
    # As everywhere in Kubernetes, this machine is never reached through a proxy.
    if host in ("localhost", "::1") or host.startswith("127.") or proxy_bypass(parts.netloc):
        return ""
    return getproxies().get(parts.scheme, "")


@contextlib.contextmanager
def _private_file(content: bytes) -> Iterator[str]:
    """The content as a file for libraries that read nothing else; gone afterwards."""
    descriptor, path = tempfile.mkstemp()
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        yield path
    finally:
        Path(path).unlink()
