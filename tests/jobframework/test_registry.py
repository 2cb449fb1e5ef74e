"""Which names are extensions, and what is said about the others."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest

from kube_queue.api.errors import InvalidSetting
from kube_queue.api.types import JOBS
from kube_queue.jobframework import registry
from kube_queue.jobframework.registry import GROUP, load_extensions
from kube_queue_extensions.tfjob import TFJobExtension


class SameSuffix(TFJobExtension):
    """Names its units as TFJob does."""

    name = "other"
    aliases = ("second",)
    resource = JOBS


class SameKind(TFJobExtension):
    """Queues what TFJob queues."""

    name = "rival"
    suffix = "rival"


class Incomplete:
    """Is no extension."""

    name = "half"


def registered(monkeypatch: pytest.MonkeyPatch, **points: str) -> None:
    found = EntryPoints(EntryPoint(name, value, GROUP) for name, value in points.items())
    monkeypatch.setattr(registry, "entry_points", lambda group: found.select(group=group))


def test_names_may_be_upper_case_and_repeated() -> None:
    assert [each.name for each in load_extensions(" TFJob, job,tfjob ,")] == ["tfjob", "job"]


def test_an_unknown_name_is_answered_with_the_list() -> None:
    with pytest.raises(InvalidSetting) as caught:
        load_extensions("tfjob,nojob")
    sentence = str(caught.value)
    assert "--enabled-extensions: no job type is called nojob" in sentence
    for name in ("tfjob", "job", "rayjobv1alpha1", "workflow"):
        assert name in sentence


@pytest.mark.parametrize("names", ["", " , ,"])
def test_no_name_at_all_is_answered_with_the_list(names: str) -> None:
    with pytest.raises(InvalidSetting, match="names no job type"):
        load_extensions(names)


def test_an_alias_means_its_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    registered(monkeypatch, other=f"{__name__}:SameSuffix")
    assert [each.name for each in load_extensions("second,other")] == ["other"]


def test_two_kinds_whose_units_would_have_one_name_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registered(monkeypatch, tfjob=f"{__name__}:TFJobExtension", other=f"{__name__}:SameSuffix")
    with pytest.raises(InvalidSetting, match="tfjob and other both name their units -tf-qu"):
        load_extensions("tfjob,other")


def test_two_masters_of_one_kind_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    registered(monkeypatch, tfjob=f"{__name__}:TFJobExtension", rival=f"{__name__}:SameKind")
    with pytest.raises(InvalidSetting, match="both queue TFJob"):
        load_extensions("tfjob,rival")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("no_such_module_at_all:X", "cannot be loaded"),
        (f"{__name__}:Missing", "cannot be loaded"),
        (f"{__name__}:Incomplete", "lacks aliases, resource, suffix"),
    ],
)
def test_an_extension_that_cannot_be_used_is_named_with_its_fault(
    monkeypatch: pytest.MonkeyPatch, value: str, sentence: str
) -> None:
    registered(monkeypatch, half=value)
    with pytest.raises(InvalidSetting, match=sentence):
        load_extensions("half")


def test_one_name_registered_by_two_packages_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    points: list[Any] = [
        EntryPoint("tfjob", "one:X", GROUP),
        EntryPoint("tfjob", "two:X", GROUP),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints(points))
    with pytest.raises(InvalidSetting, match="one:X and two:X"):
        load_extensions("tfjob")


def test_the_same_package_on_two_paths_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("tfjob", f"{__name__}:TFJobExtension", GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints([point, point]))
    assert [each.name for each in load_extensions("tfjob")] == ["tfjob"]
