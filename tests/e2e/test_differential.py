"""The comparison with Kubernetes, without Kubernetes: its cases, masks, eyes and table."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from e2e.differential import __main__ as program
from e2e.differential.accepted import ACCEPTED
from e2e.differential.case import Case, expand, filled, get, post, watch
from e2e.differential.cases import all_cases
from e2e.differential.compare import Accepted, Difference, between, differences, judged
from e2e.differential.mask import Masks
from e2e.differential.objects import config_map
from e2e.differential.play import play
from e2e.differential.server import Answer, embedded

CASES = all_cases()
DOCS = Path(__file__).parents[2] / "docs" / "embedded-cluster.md"
UID = "0a1b2c3d-0000-4000-8000-00000000000{}"


def an_answer(body: Any = None, **more: Any) -> Answer:
    return replace(Answer(200, "application/json", body=body), **more)


def a_map(number: int, version: str = "17", **more: Any) -> dict[str, Any]:
    meta = {"name": "a", "uid": UID.format(number), "resourceVersion": version}
    return {"metadata": {**meta, "creationTimestamp": "2026-01-02T03:04:05Z"}, **more}


def test_there_are_enough_requests_under_names_of_their_own() -> None:
    assert sum(case.requests() for case in CASES) >= 300
    assert len({case.name for case in CASES}) == len(CASES)
    assert len({case.slug for case in CASES}) == len(CASES)
    assert all(re.fullmatch("[a-z0-9]([-a-z0-9]{0,48}[a-z0-9])?", case.slug) for case in CASES)


def test_a_case_speaks_of_earlier_answers_only() -> None:
    for case in CASES:
        steps = [step for each in case.steps for step in each.flat()]
        for number, step in enumerate(steps, 1):
            assert expand(step.path).startswith("/"), case.name
            said = f"{step.path} {step.body!r}"
            assert all(int(found) < number for found in re.findall(r"<(\d+)\.", said)), case.name


def test_placeholders_are_filled_at_any_depth() -> None:
    body = {"{ns}": ["<1.metadata.uid>", {"n": 1, "none": "<2.x>"}], "last": "<1.items.1.n>"}
    answers = [{"metadata": {"uid": "u"}, "items": [{}, {"n": 7}]}]
    wanted = {"here": ["u", {"n": 1, "none": "none"}], "last": "7"}
    assert filled(body, {"ns": "here"}, answers) == wanted


def test_what_differs_by_nature_is_masked_and_still_tells_objects_apart() -> None:
    left, right = Masks(), Masks()
    ours = [left.value(a_map(1, "5")), left.value(a_map(2, "6")), left.value(a_map(1, "5"))]
    theirs = [right.value(a_map(7, "91")), right.value(a_map(8, "99")), right.value(a_map(7, "91"))]
    assert ours == theirs
    assert ours[0] == ours[2] != ours[1]
    assert ours[0]["metadata"]["creationTimestamp"] == "<time>"


def test_what_is_not_of_the_right_form_is_not_masked() -> None:
    wrong = {"metadata": {"uid": "none", "resourceVersion": "", "creationTimestamp": "today"}}
    assert Masks().value(wrong) == wrong


def test_generated_names_ages_and_managed_fields_are_masked() -> None:
    meta = {"name": "made-bcd2f", "managedFields": [{"time": "2026-01-02T03:04:05Z"}]}
    assert Masks(bases=["made-"]).value({"metadata": meta}) == {"metadata": {"name": "<generated>"}}
    assert Masks(fields=True).value(meta)["managedFields"] == [{"time": "<time>"}]
    table = {"rows": [{"cells": ["a", 1, "5m3s"]}], "metadata": {"resourceVersion": "8"}}
    assert Masks().value(table) == {
        "rows": [{"cells": ["a", 1, "<age>"]}],
        "metadata": {"resourceVersion": "<version>"},
    }


PLANTED = [
    ("status", an_answer({}, status=404), ["c 1 .status"]),
    ("media type", an_answer({"a": 1}, media="text/plain"), ["c 1 .type"]),
    ("a warning", an_answer({"a": 1}, warnings=["w"]), ["c 1 .warnings"]),
    ("a value", an_answer({"a": 2}), ["c 1 .body.a"]),
    ("a type", an_answer({"a": True}), ["c 1 .body.a"]),
    ("a field more", an_answer({"a": 1, "b": None}), ["c 1 .body.b"]),
    ("a field less", an_answer({}), ["c 1 .body.a"]),
    ("an event", an_answer({"a": 1}, events=[{"type": "ADDED"}]), ["c 1 .body", "c 1 .events"]),
    ("lateness", an_answer({"a": 1}, late="not yet"), ["c 1 .late"]),
]


@pytest.mark.parametrize(("answer", "places"), [row[1:] for row in PLANTED], ids=[
    row[0] for row in PLANTED])  # fmt: skip
def test_a_planted_difference_is_found(answer: Answer, places: list[str]) -> None:
    plain = Masks().answer(an_answer({"a": 1}))
    found = between("c 1 ", plain, Masks().answer(answer))
    assert [one.where for one in found][: len(places)] == places
    assert not between("c 1 ", plain, Masks().answer(an_answer({"a": 1})))


def test_the_order_and_number_of_items_count_but_not_those_of_causes() -> None:
    (longer,) = differences("x", [1, 2], [1, 2, 3])
    assert (longer.where, longer.kubernetes) == ("x", [1, 2, 3])
    assert [one.where for one in differences("x", [1, 2], [2, 1])] == ["x[0]", "x[1]"]
    causes = [{"field": "b", "message": "m"}, {"field": "a", "message": "m"}]
    ours, theirs = (
        {"status": 422, "body": {"message": f"X is invalid: {text}", "details": {"causes": found}}}
        for text, found in (("[b, a]", causes), ("[a, b, a]", [*reversed(causes), causes[1]]))
    )
    assert not between("c 1 ", ours, theirs)
    theirs["body"]["details"]["causes"].pop(0)
    ours["body"]["details"]["causes"][0] = {"field": "z", "message": "m"}
    assert between("c 1 ", ours, theirs)


def test_an_accepted_difference_has_to_be_met() -> None:
    table = [Accepted("w", "k", "e", "y", ("c * .body.a", "d [0] .body"))]
    found = [Difference("c 3 .body.a", 1, 2), Difference("c 3 .body.b", 1, 2)]
    verdict = judged(found, table, whole=True)
    assert [one.where for one in verdict.open] == ["c 3 .body.b"]
    assert [text for _, text in verdict.accepted] == ["c * .body.a"]
    assert verdict.stale == ("d [0] .body",)
    assert not judged(found, table, whole=False).stale


def test_every_accepted_place_belongs_to_a_case() -> None:
    for entry in ACCEPTED:
        for text in entry.where:
            case = re.split(r"(?:^| )(?:\d+|\*) [.*]", text)[0]
            pattern = ".*".join(map(re.escape, case.split("*")))
            assert any(re.match(pattern, one.name) for one in CASES), text


def test_the_docs_have_every_accepted_difference() -> None:
    section = DOCS.read_text(encoding="utf-8").partition("## Where it answers otherwise")[2]
    rows = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    assert rows[1:] == [entry.row() for entry in ACCEPTED]


async def test_two_servers_of_one_kind_do_not_differ() -> None:
    subjects = ("replace:", "json patch:", "watches: live", "custom objects: scale")
    cases = [case for case in CASES if case.name.startswith(subjects)]
    async with embedded() as left, embedded() as right:
        ours, theirs = await play(left, cases), await play(right, cases)
    assert [one.line(80) for case in cases for one in program.found_in(case, ours, theirs)] == []


async def test_a_server_that_answers_otherwise_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    first = "configmaps?resourceVersion=<1.metadata.resourceVersion>"
    steps = (post("configmaps", config_map()), get("configmaps/a"), watch(first, 1, post(
        "configmaps", config_map("b"))))  # fmt: skip
    case = Case("planted: a change", steps)
    async with embedded() as server:
        seen = await play(server, [case])
    other = {case.name: [dict(answer) for answer in seen[case.name]]}
    other[case.name][2]["events"] = [{"type": "MODIFIED"}]
    assert program.verdict([case], seen, other, whole=False, width=80) == 1
    assert "DIFFERS  planted: a change 3 .events[0].type" in capsys.readouterr().out
    assert program.verdict([case], seen, seen, whole=False, width=80) == 0
