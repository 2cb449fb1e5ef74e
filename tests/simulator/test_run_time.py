"""How long a pod runs is read from its own words."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kube_queue.simulator.run_time import DEFAULT_RUN_SECONDS, script_of
from tests.examples import examples


def pod(*commands: list[str], **annotations: str) -> dict[str, object]:
    named = {f"simulator.kube-queue/{key.replace('_', '-')}": v for key, v in annotations.items()}
    return {
        "metadata": {"annotations": named},
        "spec": {"containers": [{"command": command} for command in commands]},
    }


@pytest.mark.parametrize(
    ("command", "seconds"),
    [
        (["sleep", "3s"], 3),
        (["sleep", "3"], 3),
        (["/bin/sleep", "1m"], 60),
        (["sleep", "0.5"], 0.5),
        (["sleep", "1h", "30m"], 5400),
        (["sleep", "1d"], 86400),
        (["sleep", "infinity"], math.inf),
        (["/bin/sh", "-c", "--", "sleep 30s"], 30),
        (["sh", "-c", "sleep 2"], 2),
        (["bash", "-ec", "echo start; sleep 2m; sleep 5 && echo done"], 125),
        (["sh", "-c", "sleep 3; exit 1"], 3),
        (["sh", "-c", "while true; do sleep 1; done"], math.inf),
        (["tail", "-f", "/dev/null"], math.inf),
        (["true"], 0),
        (["sh", "-c", "sleep $SECONDS_TO_RUN"], DEFAULT_RUN_SECONDS),
        (["sleep", "soon"], DEFAULT_RUN_SECONDS),
        (["python", "train.py", "--sleep", "5"], DEFAULT_RUN_SECONDS),
        (["sh"], DEFAULT_RUN_SECONDS),
        (["nginx"], DEFAULT_RUN_SECONDS),
        ([], DEFAULT_RUN_SECONDS),
    ],
)
def test_the_command_says_how_long(command: list[str], seconds: float):
    assert script_of(pod(command)).seconds == seconds


def test_command_and_args_are_read_together():
    manifest = {
        "spec": {
            "containers": [{"command": ["/bin/sh", "-c", "--"], "args": ["sleep 30s"]}],
        }
    }
    assert script_of(manifest).seconds == 30


def test_the_annotation_beats_the_command():
    assert script_of(pod(["sleep", "3"], run_seconds="90.5")).seconds == 90.5


@pytest.mark.parametrize("value", ["", "long", "-3", "nan"])
def test_an_annotation_that_is_no_time_is_passed_over(value: str):
    assert script_of(pod(["sleep", "3"], run_seconds=value)).seconds == 3


def test_a_pod_lasts_as_long_as_its_longest_container():
    assert script_of(pod(["sleep", "3"], ["sleep", "7"])).seconds == 7


def test_a_container_that_serves_gets_the_default():
    assert script_of(pod(["sleep", "3"], ["nginx"])).seconds == DEFAULT_RUN_SECONDS


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["sh", "-c", "sleep 1; exit 3"], 3),
        (["sh", "-c", "sleep 1; false"], 1),
        (["false"], 1),
        (["sh", "-c", "exit 1 || sleep 3"], 0),
        (["sleep", "1"], 0),
    ],
)
def test_the_script_says_how_it_ends(command: list[str], code: int):
    assert script_of(pod(command)).exit_code == code


def test_the_annotated_exit_code_beats_the_script():
    assert script_of(pod(["sh", "-c", "exit 3"], exit_code="137")).exit_code == 137


@settings(deadline=None, max_examples=examples(60))
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=6,
    )
)
def test_whatever_stands_there_a_script_is_read(junk: object):
    script = script_of({"metadata": junk, "spec": {"containers": [{"command": junk}, junk]}})
    assert script.seconds >= 0


@settings(deadline=None)
@given(st.lists(st.text(), min_size=1))
def test_whatever_is_commanded_a_script_is_read(command: list[str]):
    assert script_of(pod(command)).seconds >= 0
