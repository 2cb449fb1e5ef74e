"""Kubeflow's training operator outside a pod, the unchanged program.

It wants what its manifests give it in a pod: its definitions, a Secret to keep certificates in, a
webhook configuration to put them into, and that Secret mounted at a path it does not let one
choose. The configuration here has no webhooks, so nothing is ever sent to its webhook server; that
server listens on every interface of the machine, for which it has no setting either.
"""

import asyncio
import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kube_queue.controlplane.api import Api
from kube_queue.controlplane.daemons import Daemon
from kube_queue.controlplane.errors import NotReady
from kube_queue.controlplane.files import write_private

SCHEMES = ("tfjob", "pytorchjob", "mpijob", "xgboostjob", "paddlejob", "mxjob")
SERVING_CERTS = Path("/tmp/k8s-webhook-server/serving-certs")

_GROUP = "kubeflow.org"
_NAMESPACE = "kubeflow"
_SECRET = "training-operator-webhook-cert"
_WEBHOOKS = "validator.training-operator.kubeflow.org"
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
_SECRETS = f"/api/v1/namespaces/{_NAMESPACE}/secrets"
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Ports:
    """What the operator listens on: for questions about its health, and for webhooks."""

    health: int
    webhooks: int


async def install_definitions(api: Api, folder: Path, schemes: Sequence[str]) -> None:
    """The operator's kinds of these schemes are served. Raises Refused."""
    plurals = [f"{scheme}s" for scheme in schemes]
    served = ((await api.get(f"/apis/{_GROUP}/v1")) or {}).get("resources", [])
    if {one["name"] for one in served} >= set(plurals):
        return
    # The files are long: libyaml reads them in a fraction of a second, Python alone in many.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for plural in plurals:
        text = (folder / f"{_GROUP}_{plural}.yaml").read_text(encoding="utf-8")
        await api.create(_DEFINITIONS, yaml.load(text, loader))
    for plural in plurals:
        while not _established(await api.get(f"{_DEFINITIONS}/{plural}.{_GROUP}")):
            await asyncio.sleep(_POLL_SECONDS)


async def prepare(api: Api) -> None:
    """The objects are there that the operator looks for at its start. Raises Refused."""
    await api.create("/api/v1/namespaces", _manifest("v1", "Namespace", _NAMESPACE))
    await api.create(_SECRETS, _manifest("v1", "Secret", _SECRET))
    configuration = "ValidatingWebhookConfiguration"
    manifest = _manifest("admissionregistration.k8s.io/v1", configuration, _WEBHOOKS)
    await api.create(_CONFIGURATIONS, manifest)


def daemon(binary: Path, kubeconfig: Path, schemes: Sequence[str], ports: Ports) -> Daemon:
    """The operator for the kinds of these schemes."""
    enabled = [word for scheme in schemes for word in ("-enable-scheme", scheme)]
    return Daemon(
        "training-operator",
        (
            binary,
            *enabled,
            "-metrics-bind-address=0",
            f"-health-probe-bind-address=127.0.0.1:{ports.health}",
            f"-webhook-server-port={ports.webhooks}",
            "-zap-log-level=info",
            "-controller-threads=4",
        ),
        {"KUBECONFIG": str(kubeconfig), "MY_POD_NAMESPACE": _NAMESPACE},
    )


async def mount_certificates(api: Api, folder: Path = SERVING_CERTS) -> None:
    """The files of the operator's Secret lie where it reads them, once it has filled the Secret.

    Clusters of one user share the folder, which does no harm as nobody asks these webhooks.
    Raises NotReady when the folder belongs to somebody else.
    """
    while True:
        secret = await api.get(f"{_SECRETS}/{_SECRET}")
        data = (secret or {}).get("data") or {}
        if data:
            break
        await asyncio.sleep(_POLL_SECONDS)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if folder.stat().st_uid != os.getuid():
            raise PermissionError
        for name, content in data.items():
            write_private(folder / name, base64.b64decode(content).decode())
    except OSError as problem:
        raise NotReady(
            f"training-operator reads its certificates from {folder}, where this user may not "
            "write: remove that folder"
        ) from problem


def _manifest(api_version: str, kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}}


def _established(definition: dict[str, Any] | None) -> bool:
    conditions = ((definition or {}).get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)
