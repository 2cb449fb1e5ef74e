"""The life cycle: what may follow what, who writes it, and what holds quota."""

from __future__ import annotations

import re

import pytest

from kube_queue.api import lifecycle
from kube_queue.api.errors import InvalidInput
from kube_queue.api.lifecycle import (
    FINISHED,
    HOLDS_QUOTA,
    TRANSITIONS,
    Owner,
    Phase,
    allowed,
    phase_of,
)
from kube_queue.api.reasons import Reason


def test_no_phase_is_left_after_the_end() -> None:
    assert all(frm not in FINISHED for frm, _, _ in TRANSITIONS)


def test_every_phase_can_be_reached_and_every_unit_can_reach_an_end() -> None:
    reached = {Phase.ENQUEUED}
    for _ in Phase:
        reached |= {to for frm, to, _ in TRANSITIONS if frm in reached}
    assert reached == set(Phase)
    ending = set(FINISHED)
    for _ in Phase:
        ending |= {frm for frm, to, _ in TRANSITIONS if to in ending}
    assert ending == set(Phase)


def test_only_the_job_side_ends_a_job_and_only_the_controller_reserves() -> None:
    assert {owner for _, to, owner in TRANSITIONS if to in FINISHED} == {Owner.JOB_SIDE}
    assert {owner for _, to, owner in TRANSITIONS if to is Phase.RESERVED} == {Owner.CONTROLLER}


def test_admission_and_adoption_are_the_same_move_by_different_owners() -> None:
    for owner in Owner:
        assert allowed(Phase.ENQUEUED, Phase.DEQUEUED, owner)
    assert not allowed(Phase.ENQUEUED, Phase.RUNNING, Owner.JOB_SIDE)


def test_quota_is_held_from_reservation_to_the_end() -> None:
    assert {Phase.RESERVED, Phase.DEQUEUED, Phase.RUNNING} == HOLDS_QUOTA


def test_the_picture_shows_every_phase() -> None:
    drawn = lifecycle.__doc__ or ""
    assert all(re.search(rf"\b{phase.value}\b", drawn) for phase in Phase)


def test_an_empty_phase_means_enqueued_and_an_unknown_one_is_refused() -> None:
    assert phase_of("") is Phase.ENQUEUED
    assert [phase_of(phase.value) for phase in Phase] == list(Phase)
    with pytest.raises(InvalidInput):
        phase_of("running")


def test_every_reason_is_one_camel_case_word_with_one_sentence() -> None:
    for reason in Reason:
        assert re.fullmatch(r"[A-Z][A-Za-z]+", reason.value)
        assert reason == reason.value
        assert Reason(reason.value) is reason
        assert reason.meaning.endswith(".")
        assert "\n" not in reason.meaning
    assert len({reason.meaning for reason in Reason}) == len(Reason)
