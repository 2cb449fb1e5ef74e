"""Resource types know their URL paths, and starting a command line costs no heavy import."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kube_queue.api.types import CRDS, JOBS, PODS, QUEUE_UNITS, ResourceType


@pytest.mark.parametrize(
    ("resource", "arguments", "path"),
    [
        (PODS, (), "/api/v1/pods"),
        (PODS, ("ns",), "/api/v1/namespaces/ns/pods"),
        (PODS, ("ns", "p"), "/api/v1/namespaces/ns/pods/p"),
        (PODS, ("ns", "p", "binding"), "/api/v1/namespaces/ns/pods/p/binding"),
        (JOBS, ("ns", "j", "status"), "/apis/batch/v1/namespaces/ns/jobs/j/status"),
        (QUEUE_UNITS, (), "/apis/scheduling.x-k8s.io/v1alpha1/queueunits"),
        (CRDS, ("ns", "x"), "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/x"),
        (PODS, ("a/b", "c d"), "/api/v1/namespaces/a%2Fb/pods/c%20d"),
    ],
)
def test_the_path_names_collection_object_or_subresource(
    resource: ResourceType, arguments: tuple[str, ...], path: str
) -> None:
    assert resource.path(*arguments) == path


def test_the_api_version_of_the_core_group_has_no_slash() -> None:
    assert (PODS.api_version, JOBS.api_version) == ("v1", "batch/v1")


def test_the_names_a_command_line_needs_load_no_heavy_library() -> None:
    modules = "names errors types lifecycle reasons resources units queues quota conditions"
    script = (
        "import sys\n"
        f"for name in '{modules}'.split(): __import__('kube_queue.api.' + name)\n"
        "import kube_queue.manifests\n"
        "heavy = {'pydantic', 'aiohttp', 'rich', 'yaml', 'numpy', 'structlog', 'asyncio'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
