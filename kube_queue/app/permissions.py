"""What a real cluster is given besides our CRDs: accounts with their rights, and the policy that
holds annotated jobs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson
import structlog

from kube_queue import manifests
from kube_queue.api.errors import (
    AlreadyExists,
    ApiError,
    ConnectionLost,
    NotFound,
    ServerFault,
)
from kube_queue.api.names import (
    CONTROLLER_COMPONENT,
    JOB_EXTENSIONS_COMPONENT,
    QUEUE_NAMESPACE,
    SCHEDULER_COMPONENT,
    SUSPEND_ANNOTATION,
)
from kube_queue.api.types import TFJOBS, ResourceType
from kube_queue.kube.client import Client

ACCOUNTS: Final = (CONTROLLER_COMPONENT, JOB_EXTENSIONS_COMPONENT, SCHEDULER_COMPONENT)
"""The ServiceAccounts of namespace kube-queue; each ClusterRole is named after its account."""
NO_POLICIES: Final = (
    "this cluster serves no MutatingAdmissionPolicy (admissionregistration.k8s.io/v1, in Kubernetes"
    " since 1.36): create queued jobs with runPolicy.suspend, or an operator that does not know the"
    " annotation starts them at once"
)
POLL_SECONDS = 0.1
IN_FORCE_WITHIN = 30.0
# The longest time Kubernetes may be asked for; the account's key goes with the cluster anyway.
TOKEN_SECONDS = 2**32 - 1

_RBAC = "rbac.authorization.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"
SERVICE_ACCOUNTS: Final = ResourceType("", "v1", "serviceaccounts", "ServiceAccount")
_KINDS: Final = {
    resource.kind: resource
    for resource in (
        SERVICE_ACCOUNTS,
        ResourceType(_RBAC, "v1", "clusterroles", "ClusterRole", False),
        ResourceType(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", False),
        ResourceType(_RBAC, "v1", "roles", "Role"),
        ResourceType(_RBAC, "v1", "rolebindings", "RoleBinding"),
        ResourceType(
            _ADMISSION, "v1", "mutatingadmissionpolicies", "MutatingAdmissionPolicy", False
        ),
        ResourceType(
            _ADMISSION,
            "v1",
            "mutatingadmissionpolicybindings",
            "MutatingAdmissionPolicyBinding",
            False,
        ),
    )
}

_log = structlog.get_logger("app.permissions")


async def install_accounts(client: Client) -> None:
    """The accounts exist and have their rights; run again, it brings them up to date.

    The namespace kube-queue must exist. Raises ApiError, ConnectionLost.
    """
    await apply(client, manifests.load("rbac.yaml"))


async def install_policy(client: Client) -> bool:
    """The policy stands there; False when the cluster knows no such policies.

    Raises ApiError, ConnectionLost.
    """
    try:
        await apply(client, manifests.load("admission-policy.yaml"))
    except NotFound:
        return False
    return True


async def say_when_too_old(client: Client) -> None:
    """One warning where this is a Kubernetes that knows admission policies, but none of the kind
    that holds annotated jobs.

    Silent for a server that knows no such group at all, such as the embedded one: the operators
    played there honour the annotation.
    """
    try:
        answer = await client.raw("GET", f"/apis/{_ADMISSION}/v1")
    except NotFound:
        return
    except (ApiError, ConnectionLost) as error:
        _log.info("the cluster does not say which policies it knows", problem=str(error))
        return
    served = {one.get("name") for one in orjson.loads(answer.body).get("resources", ())}
    if "mutatingadmissionpolicies" not in served:
        _log.warning(NO_POLICIES)


async def policy_in_force(client: Client) -> None:
    """Annotated TFJobs are held at creation: API servers take a moment to notice a policy.

    Returns at once where no TFJobs are served. Raises ApiError, ConnectionLost; ServerFault also
    after 30 s.
    """
    try:
        async with asyncio.timeout(IN_FORCE_WITHIN):
            while not await _holds(client):
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        problem = (
            f"the policy that holds annotated jobs has no effect after {IN_FORCE_WITHIN:.0f} s"
        )
        raise ServerFault(500, "Timeout", problem) from None


async def token_of(client: Client, account: str, namespace: str = QUEUE_NAMESPACE) -> str:
    """A token that speaks for this account. Raises ApiError, ConnectionLost."""
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": TOKEN_SECONDS},
    }
    answer = await client.create_subresource(SERVICE_ACCOUNTS, namespace, account, "token", request)
    return str(answer["status"]["token"])


async def apply(client: Client, documents: Iterable[Mapping[str, Any]]) -> None:
    """These accounts, rights and policies stand as written. Raises ApiError, ConnectionLost."""
    for manifest in documents:
        metadata = manifest["metadata"]
        resource, namespace = _KINDS[manifest["kind"]], metadata.get("namespace", "")
        try:
            await client.create(resource, dict(manifest), namespace)
        except AlreadyExists:
            await client.patch(resource, namespace, metadata["name"], dict(manifest))


async def _holds(client: Client) -> bool:
    """Whether a job that asks for it would be held; nothing is created. True without TFJobs."""
    probe: dict[str, Any] = {
        "apiVersion": TFJOBS.api_version,
        "kind": TFJOBS.kind,
        "metadata": {
            "name": "kube-queue-probe",
            "namespace": "default",
            "annotations": {SUSPEND_ANNOTATION: "true"},
        },
        "spec": {"tfReplicaSpecs": {}},
    }
    try:
        answer = await client.raw(
            "POST", TFJOBS.path("default"), query=[("dryRun", "All")], body=orjson.dumps(probe)
        )
    except NotFound:
        return True
    except ServerFault:
        # The policy is known, but not yet the definition it is to be applied to.
        return False
    job = orjson.loads(answer.body)
    return job.get("spec", {}).get("runPolicy", {}).get("suspend") is True
