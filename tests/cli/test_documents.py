"""Files are read as kubectl reads them, and every slip has its place."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from kube_queue.api.errors import InvalidManifest
from kube_queue.cli.documents import read_documents

HEAD = "apiVersion: v1\nkind: Thing\nmetadata: {name: x}\n"


def read(tmp_path: Path, text: str) -> list[tuple[str, dict[str, object]]]:
    path = tmp_path / "file.yaml"
    path.write_text(text, encoding="utf-8")
    return [(one.place.rpartition("/")[2], one.manifest) for one in read_documents(str(path))]


def test_times_and_pairs_of_numbers_are_text_and_keys_are_always_text(tmp_path: Path) -> None:
    text = HEAD + "a: 2026-01-01\nb: 22:22\nc: 12\nd: 1.5\ne: 'no'\nf: true\n1: one\ntrue: two\n"
    ((place, found),) = read(tmp_path, text)
    assert place == "file.yaml:1"
    assert [found[name] for name in "abcdef"] == ["2026-01-01", "22:22", 12, 1.5, "no", True]
    assert (found["1"], found["true"]) == ("one", "two")


def test_documents_lists_and_anchors_are_taken_apart(tmp_path: Path) -> None:
    text = f"""{HEAD}base: &base {{a: 1}}
more: {{<<: *base, b: 2}}
---
# nothing
---
apiVersion: v1
kind: ThingList
items:
- {{apiVersion: v1, kind: Thing, metadata: {{name: y}}}}
- {{apiVersion: v1, kind: Thing, metadata: {{generateName: z-}}}}
"""
    found = read(tmp_path, text)
    assert [place for place, _ in found] == [
        "file.yaml:1",
        "file.yaml:9: items[0]",
        "file.yaml:9: items[1]",
    ]
    assert found[0][1]["more"] == {"a": 1, "b": 2}


def test_json_is_read_as_well(tmp_path: Path) -> None:
    text = '{"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "x"}, "spec": {"a": null}}'
    ((_, found),) = read(tmp_path, text)
    assert found["spec"] == {"a": None}


def test_a_list_with_a_wrong_item_names_it(tmp_path: Path) -> None:
    text = "apiVersion: v1\nkind: List\nitems: [{kind: A}]\n"
    with pytest.raises(InvalidManifest, match=r"file.yaml:1: items\[0\]: apiVersion: is missing"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [" * 300 + "]" * 300, "levels deep"),
        ("a: &a [*a]", "file.yaml:1"),
        ("? [a]\n: b", "a key is no text"),
        ("a: !!set {b}", "file.yaml:1"),
        ("a: !made-up b", "nothing JSON can say"),
        ("a: *nobody", "file.yaml:1:4: is no YAML"),
        ("\x07", "is no YAML"),
        ("a: .nan", "nothing JSON can say"),
    ],
)
def test_what_json_cannot_say_is_refused_with_its_place(
    tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(InvalidManifest, match=says):
        read(tmp_path, text)


def test_standard_input_is_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(HEAD))
    (found,) = read_documents("-")
    assert found.place == "standard input:1"


def test_a_directory_without_manifests_and_a_file_of_bytes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidManifest, match=r"holds no \.yaml"):
        read_documents(str(tmp_path))
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidManifest, match="is no text in UTF-8"):
        read_documents(str(tmp_path))
