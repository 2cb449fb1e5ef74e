"""The log subresource: what is said of a container, and how it is followed."""

from typing import Any

import pytest

from tests.apiserver.client import PODS, Api, Object

STARTED, FINISHED = "2027-01-15T08:00:00Z", "2027-01-15T08:00:05Z"
FIRST = b"(simulated) started: sleep 5s\n"
LAST = b"(simulated) ended with exit code 0 (Completed)\n"


async def a_pod(api: Api, *containers: str, node: str = "n") -> None:
    spec: Object = {
        "containers": [
            {"name": name, "image": "busybox", "command": ["sleep"], "args": ["5s"]}
            for name in containers or ("main",)
        ]
    }
    if node:
        spec["nodeName"] = node
    await api.made(PODS, {"metadata": {"name": "p"}, "spec": spec})


async def is_in(api: Api, phase: str, state: Object, **more: Any) -> None:
    """The container's state, as a kubelet writes it."""
    container = {"name": "main", "ready": True, "restartCount": 0, "image": "", "imageID": ""}
    status = {"phase": phase, "containerStatuses": [{**container, "state": state, **more}]}
    answer = await api.patch(f"{PODS}/p/status", {"status": status})
    assert answer.status == 200, answer.body


RUNNING = {"running": {"startedAt": STARTED}}
ENDED = {
    "terminated": {
        "exitCode": 0, "reason": "Completed", "startedAt": STARTED, "finishedAt": FINISHED
    }
}  # fmt: skip


async def test_a_log_tells_how_a_container_began_and_ended(api: Api) -> None:
    await a_pod(api)
    await is_in(api, "Running", RUNNING)
    answer = await api.get(f"{PODS}/p/log")
    assert (answer.status, answer.body) == (200, FIRST)
    assert answer.headers["Content-Type"].startswith("text/plain")
    await is_in(api, "Succeeded", ENDED)
    assert (await api.get(f"{PODS}/p/log")).body == FIRST + LAST
    assert (await api.get(f"{PODS}/p/log", follow="true")).body == FIRST + LAST


async def test_lines_are_chosen_as_asked(local: Api) -> None:
    await a_pod(local)
    await is_in(local, "Succeeded", ENDED)
    for query, text in (
        ({"tailLines": "1"}, LAST),
        ({"tailLines": "0"}, b""),
        ({"limitBytes": "5"}, FIRST[:5]),
        ({"sinceTime": "2027-01-15T08:00:03Z"}, LAST),
        ({"timestamps": "true", "tailLines": "1"}, FINISHED.encode() + b" " + LAST),
        ({"container": "main"}, FIRST + LAST),
    ):
        assert (await local.get(f"{PODS}/p/log", **query)).body == text


async def test_a_log_is_followed_until_the_container_ends(api: Api) -> None:
    await a_pod(api)
    await is_in(api, "Running", RUNNING)
    stream = await api.watch(f"{PODS}/p/log", follow="true")
    lines = stream._lines
    assert await anext(lines) == FIRST
    await is_in(api, "Succeeded", ENDED)
    assert await anext(lines) == LAST
    assert await stream.ended()


async def test_following_ends_with_the_pod(local: Api) -> None:
    await a_pod(local)
    await is_in(local, "Running", RUNNING)
    stream = await local.watch(f"{PODS}/p/log", follow="true")
    assert await anext(stream._lines) == FIRST
    await local.delete(f"{PODS}/p", {"gracePeriodSeconds": 0})
    assert await stream.ended()


async def test_a_container_that_was_restarted_has_a_previous_log(local: Api) -> None:
    await a_pod(local)
    await is_in(local, "Running", RUNNING)
    refused = await local.get(f"{PODS}/p/log", previous="true")
    assert refused.message == 'previous terminated container "main" in pod "p" not found'
    await is_in(local, "Running", {"running": {"startedAt": FINISHED}}, lastState=ENDED)
    assert (await local.get(f"{PODS}/p/log", previous="true")).body == FIRST + LAST


async def test_a_pod_without_a_node_has_an_empty_log(local: Api) -> None:
    await a_pod(local, node="")
    assert (await local.get(f"{PODS}/p/log")).body == b""


async def test_a_container_that_has_not_begun_is_refused(local: Api) -> None:
    await a_pod(local)
    refused = await local.get(f"{PODS}/p/log")
    assert (refused.status, refused.message) == (
        400,
        'container "main" in pod "p" is waiting to start: ContainerCreating',
    )


async def test_one_of_many_containers_must_be_named(local: Api) -> None:
    await a_pod(local, "main", "side")
    refused = await local.get(f"{PODS}/p/log")
    assert refused.message == (
        "a container name must be specified for pod p, choose one of: [main side]"
    )
    refused = await local.get(f"{PODS}/p/log", container="other")
    assert refused.message == "container other is not valid for pod p"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"tailLines": "-1"}, 422),
        ({"limitBytes": "0"}, 422),
        ({"sinceSeconds": "0"}, 422),
        ({"tailLines": "many"}, 400),
        ({"tailLines": "1" * 40}, 400),
        ({"sinceTime": "yesterday"}, 400),
    ],
)
async def test_log_options_that_make_no_sense_are_refused(
    local: Api, query: dict[str, str], status: int
) -> None:
    await a_pod(local)
    assert (await local.get(f"{PODS}/p/log", **query)).status == status


async def test_a_log_is_only_read(local: Api) -> None:
    await a_pod(local)
    assert (await local.create(f"{PODS}/p/log", {})).status == 405
