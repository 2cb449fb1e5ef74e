"""YAML files with the objects a person wrote, each with the place it was read from."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from kube_queue.api.errors import InvalidManifest

STDIN: Final = "-"
SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
_TIME: Final = "tag:yaml.org,2002:timestamp"
_FLOAT: Final = "tag:yaml.org,2002:float"
_NUMBERS: Final = frozenset({"tag:yaml.org,2002:int", _FLOAT})
_NO_NUMBERS: Final = frozenset({"nan", "inf"})
_PLAIN: Final = _NUMBERS | {f"tag:yaml.org,2002:{one}" for one in ("str", "bool", "null")}
_DEEPEST: Final = 200


@dataclass(frozen=True, slots=True)
class Document:
    """One object and where it begins, as `file:line`."""

    place: str
    manifest: dict[str, Any]


class _Loader(yaml.CSafeLoader):
    """Reads what kubectl does: a date is text, and so is 22:22."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (
            tag,
            re.compile(f"(?!.*:){pattern.pattern}", pattern.flags) if tag in _NUMBERS else pattern,
        )
        for tag, pattern in pairs
        if tag != _TIME
    ]
    for first, pairs in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def read_documents(source: str) -> list[Document]:
    """Every object in a file, in the YAML and JSON files of a directory, or on standard input.

    Lists are taken apart. Raises InvalidManifest with file and line.
    """
    return [one for name, text in _texts(source) for one in _documents(name, text)]


def _texts(source: str) -> Iterator[tuple[str, str]]:
    if source == STDIN:
        yield "standard input", sys.stdin.read()
        return
    path = Path(source)
    files = [path]
    if path.is_dir():
        files = sorted(one for one in path.iterdir() if one.suffix in SUFFIXES and one.is_file())
        if not files:
            raise InvalidManifest("holds no .yaml, .yml or .json file", source, "name another")
    for file in files:
        try:
            yield str(file), file.read_text(encoding="utf-8")
        except OSError as problem:
            raise InvalidManifest(
                f"cannot be read: {problem.strerror}", str(file), "name another file"
            ) from None
        except UnicodeDecodeError:
            raise InvalidManifest("is no text in UTF-8", str(file), "save it as UTF-8") from None


def _documents(name: str, text: str) -> Iterator[Document]:
    try:
        loader = _Loader(text)
    except yaml.YAMLError as error:
        raise _unreadable(name, error) from None
    try:
        while loader.check_node():
            node = loader.get_node()
            assert node is not None
            _check(name, node, 0)
            place = f"{name}:{node.start_mark.line + 1}"
            content = loader.construct_document(node)
            if content is not None:
                yield from _objects(place, content)
    except yaml.YAMLError as error:
        raise _unreadable(name, error) from None
    finally:
        loader.dispose()


def _objects(place: str, content: Any) -> Iterator[Document]:
    if not isinstance(content, dict):
        problem = "is not an object with apiVersion and kind"
        raise InvalidManifest(problem, place, "write one manifest a document")
    kind = content.get("kind")
    items = content.get("items")
    if isinstance(kind, str) and kind.endswith("List") and isinstance(items, list):
        for number, item in enumerate(items):
            yield from _objects(f"{place}: items[{number}]", item)
        return
    for field in ("apiVersion", "kind"):
        if not isinstance(content.get(field), str) or not content[field]:
            raise InvalidManifest("is missing", f"{place}: {field}", "write it")
    metadata = content.get("metadata")
    names = metadata if isinstance(metadata, dict) else {}
    if not any(isinstance(names.get(one), str) and names[one] for one in ("name", "generateName")):
        raise InvalidManifest("is missing", f"{place}: metadata.name", "give the object a name")
    for field in ("labels", "annotations"):
        if names.get(field) is not None and not isinstance(names[field], dict):
            raise InvalidManifest("is not a mapping", f"{place}: metadata.{field}", "write pairs")
    namespace = names.get("namespace")
    if namespace is not None and not isinstance(namespace, str):
        raise InvalidManifest("is no text", f"{place}: metadata.namespace", "put it in quotes")
    yield Document(place, content)


def _check(name: str, node: yaml.Node, depth: int) -> None:
    """Only what JSON can say, each key once. Raises InvalidManifest."""
    place = f"{name}:{node.start_mark.line + 1}"
    if depth > _DEEPEST:
        raise InvalidManifest(f"is more than {_DEEPEST} levels deep", place, "make it flatter")
    if isinstance(node, yaml.SequenceNode):
        for one in node.value:
            _check(name, one, depth + 1)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            where = f"{name}:{key.start_mark.line + 1}"
            if not isinstance(key, yaml.ScalarNode):
                raise InvalidManifest("a key is no text", where, "write a name before the colon")
            if key.value in seen:
                raise InvalidManifest(f"{key.value!r} is there twice", where, "keep one of them")
            if key.tag != "tag:yaml.org,2002:merge":
                seen.add(key.value)
                # Keys of JSON are text, whatever they look like.
                key.tag = "tag:yaml.org,2002:str"
            _check(name, value, depth + 1)
    elif node.tag not in _PLAIN or (node.tag == _FLOAT and node.value[-3:].lower() in _NO_NUMBERS):
        said = node.value if node.tag == _FLOAT else node.tag
        raise InvalidManifest(f"{said} is nothing JSON can say", place, "write text or numbers")


def _unreadable(name: str, error: yaml.YAMLError) -> InvalidManifest:
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return InvalidManifest("is no YAML", name, re.sub(r"\s+", " ", str(error))[:200])
    mark = error.problem_mark
    place = f"{name}:{mark.line + 1}:{mark.column + 1}"
    return InvalidManifest(f"is no YAML: {error.problem}", place, "mend that line")
