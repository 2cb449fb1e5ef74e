"""Requests in well-formed HTTP whose contents are not.

Holds: Request, Kinds (what the server serves, read from its discovery), request.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from e2e.fuzz.values import Maker, encoded, junk, spoiled

JSON = "application/json"
PROTOBUF = "application/vnd.kubernetes.protobuf"
PATCHES = (
    "application/merge-patch+json",
    "application/json-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
NAMES = ("a", "b", "c", "d", "default", "x.example.com")
NAMESPACES = (*("default",) * 12, "kube-system", "team", "no-such", "a/b", "..", "%00")
ODD_NAMES = (
    *("..", ".", "%2e%2e", "a%2fb", "%2f", "%00", "a%00", "%", "%zz", "%ff%fe", "%ed%a0%80"),
    *("a" * 253, "a" * 254, "a" * 5000, "A", "é", "%C3%A9", "a b", "a%20b", "a;b", "a:b", "*", ""),
    *("status", "scale", "log", "proxy", "exec", "~", "-", "a?b", "a#b", "%0d%0aX: y", "\\", "|"),
)
TOKENS = ("", "Bearer", "Bearer ", "Bearer x", "Basic c2VjcmV0", "bearer secret", "Bearer secret ")
ACCEPTS = (
    *("", "*/*", JSON, "text/html", "application/yaml", PROTOBUF, "a" * 3000, ";;;", ",,,", "="),
    *("application/json;as=Table;v=v1;g=meta.k8s.io", "application/json;as=Table"),
    *("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", "application/json;as=x"),
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
    "application/json;as=Table;v=v1;g=meta.k8s.io," * 60,
)
PARAMETERS = (
    *("limit", "continue", "labelSelector", "fieldSelector", "resourceVersion", "watch"),
    *("resourceVersionMatch", "timeoutSeconds", "allowWatchBookmarks", "sendInitialEvents"),
    *("dryRun", "fieldValidation", "fieldManager", "force", "includeObject", "pretty", "x"),
    *("gracePeriodSeconds", "propagationPolicy", "orphanDependents", "follow", "tailLines"),
)
SELECTORS = (
    *("a", "!a", "a=b", "a==b", "a!=b", "a in (b,c)", "a notin (b)", "a>1", "a<x", "a in ()"),
    *("a in (", ")", ",", "a,,b", "a=b=c", "!", "in in in", "a" * 3000, "a=" + "b" * 300, "é=ü"),
    *(
        "metadata.name=a",
        "metadata.name!=a",
        "status.phase=x",
        "spec.nodeName=",
        "x.y=z",
        "=",
        "\\,",
    ),
    *("a in (" + ",".join("b" * 5 for _ in range(900)) + ")", "(" * 2000, "a=\\,\\=\\\\", "\x00"),
)
FIXED = (
    *(
        "/",
        "/api",
        "/apis",
        "/version",
        "/healthz",
        "/readyz/x",
        "/livez",
        "/openapi/v2",
        "/metrics",
    ),
    *("/openapi/v3", "/openapi/v3/api/v1", "/openapi/v3/apis/x/y", "/openapi/v3?hash=é", "/api/v1"),
    *("//api/v1/pods", "/api//v1/pods", "/api/v1//pods", "/api/v1/../v1/pods", "/api/v1/./pods"),
    *("/api%2fv1%2fpods", "/%2e%2e/%2e%2e/etc/passwd", "/../../etc/passwd", "/api/v2/pods", "/API"),
    *(
        "/apis/batch",
        "/apis/batch/v1",
        "/apis/batch/v2/jobs",
        "/apis/" + "x" * 4000,
        "*",
        "/?" * 900,
    ),
    *("/api/v1/namespaces/default", "/api/v1/namespaces/default/", "/api/v1/namespaces//pods"),
    *(
        "/api/v1/watch/pods",
        "/api/v1/proxy/x",
        "/logs",
        "/debug/pprof",
        "/apis/x/y/z/a/b/c/d/e/f/g",
    ),
)


@dataclass(frozen=True, slots=True)
class Request:
    """One request: the target as it stands in the request line."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def encode(self, token: str) -> bytes:
        """The bytes on the wire; the token unless the request brings its own."""
        lines = [f"{self.method} {self.target} HTTP/1.1", "Host: fuzz"]
        if not any(name == "Authorization" for name, _ in self.headers):
            lines.append(f"Authorization: Bearer {token}")
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.body or self.method in ("POST", "PUT", "PATCH"):
            lines.append(f"Content-Length: {len(self.body)}")
        head = "\r\n".join((*lines, "", ""))
        return head.encode("utf-8", "surrogateescape") + self.body

    def shown(self) -> str:
        """The request for a person, its body cut."""
        body = self.body if len(self.body) <= 2000 else self.body[:2000] + b"..."
        target = self.target if len(self.target) <= 500 else f"{self.target[:500]}..."
        return f"{self.method} {target} {dict(self.headers)} {body!r} ({len(self.body)} bytes)"


@dataclass(frozen=True, slots=True)
class Served:
    """One resource of the server's discovery."""

    root: str
    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    schema: Mapping[str, Any]
    subresources: tuple[str, ...]


@dataclass(slots=True)
class Kinds:
    """Everything served, with what makes objects of it."""

    served: list[Served] = field(default_factory=list)
    maker: Maker = field(default_factory=lambda: Maker({}))

    @classmethod
    def read(cls, get: Callable[[str], Any]) -> Kinds:
        """What the discovery and OpenAPI documents say; `get` fetches one as decoded JSON."""
        found: list[Served] = []
        definitions: dict[str, Any] = {}
        roots = ["/api/v1"]
        for group in get("/apis")["groups"]:
            roots += [f"/apis/{version['groupVersion']}" for version in group["versions"]]
        for root in sorted(roots):
            listed = get(root)["resources"]
            document = get(f"/openapi/v3{root}")
            definitions |= document.get("components", {}).get("schemas", {})
            found += _of_root(root, listed, definitions)
        return cls(found, Maker(definitions))


def _of_root(
    root: str, listed: Sequence[Mapping[str, Any]], definitions: Mapping[str, Any]
) -> list[Served]:
    group, _, version = root.removeprefix("/apis/").removeprefix("/api/").rpartition("/")
    wanted = {"group": group, "version": version}
    schemas = {
        gvk["kind"]: schema
        for schema in definitions.values()
        for gvk in schema.get("x-kubernetes-group-version-kind", ())
        if wanted.items() <= gvk.items()
    }
    below: dict[str, list[str]] = {}
    for one in listed:
        plural, slash, subresource = one["name"].partition("/")
        if slash:
            below.setdefault(plural, []).append(subresource)
    return [
        Served(
            root, group, version, one["kind"], one["name"], one["namespaced"],
            schemas.get(one["kind"], {"type": "object"}), tuple(below.get(one["name"], ())),
        )
        for one in listed
        if "/" not in one["name"]
    ]  # fmt: skip


def request(rng: random.Random, kinds: Kinds) -> Request:
    """One hostile request, decided by `rng` alone."""
    if rng.random() < 0.12:
        return _off_the_path(rng)
    served = rng.choice(kinds.served)
    method = rng.choices(
        ("POST", "PUT", "PATCH", "GET", "DELETE", "HEAD", "OPTIONS", "BREW"),
        (34, 14, 26, 16, 6, 1, 1, 1),
    )[0]
    named = method in ("PUT", "PATCH") or rng.random() < (0.1 if method == "POST" else 0.5)
    target = _path(rng, served, named=named) + _query(rng, method)
    headers: list[tuple[str, str]] = []
    body = b""
    if method in ("POST", "PUT", "PATCH") or (method == "DELETE" and rng.random() < 0.5):
        media, body = _body(rng, kinds, served, method)
        if rng.random() < 0.98:
            headers.append(("Content-Type", media))
    if rng.random() < 0.15:
        headers.append(("Accept", rng.choice(ACCEPTS)))
    if rng.random() < 0.02:
        headers.append(("Authorization", rng.choice(TOKENS)))
    if rng.random() < 0.02:
        headers.append(rng.choice(_ODD_HEADERS))
    return Request(method, target, tuple(headers), body)


_ODD_HEADERS = (
    ("Content-Encoding", "gzip"),
    ("Content-Encoding", "br"),
    ("Expect", "100-continue"),
    ("Expect", "the worst"),
    ("Upgrade", "websocket"),
    ("Connection", "close"),
    ("Connection", "Upgrade"),
    ("Range", "bytes=0-1"),
    ("If-None-Match", "*"),
    ("Host", "twice"),
    ("X-Odd", "\udcff\udcfe"),
    ("Accept", "\udcff"),
    ("Content-Type", "application/json; charset=\udcff"),
    ("Impersonate-User", "root"),
    ("Cookie", "a" * 7000),
)


def _off_the_path(rng: random.Random) -> Request:
    method = rng.choice(("GET", "GET", "GET", "POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT"))
    target = rng.choice(FIXED)
    if rng.random() < 0.3:
        target += "/" + rng.choice(ODD_NAMES).replace(" ", "%20")
    headers = [("Accept", rng.choice(ACCEPTS))] if rng.random() < 0.4 else []
    return Request(method, target.replace(" ", "%20"), tuple(headers))


def _path(rng: random.Random, served: Served, *, named: bool) -> str:
    path = served.root
    if served.namespaced and rng.random() < 0.97:
        path += f"/namespaces/{rng.choice(NAMESPACES)}"
    path += f"/{served.plural}"
    if named:
        odd = rng.random() < 0.1
        path += "/" + (rng.choice(ODD_NAMES).replace(" ", "%20") if odd else rng.choice(NAMES))
        if rng.random() < 0.3:
            path += "/" + rng.choice((*served.subresources, "status", "scale", "x"))
    return path


def _query(rng: random.Random, method: str) -> str:
    pairs: list[str] = []
    share = 0.7 if method == "GET" else 0.3
    while rng.random() < share and len(pairs) < 6:
        name = rng.choice(PARAMETERS)
        pairs.append(f"{name}={_value(rng, name)}")
    if any(pair.startswith("watch=") for pair in pairs):
        # A watch that nobody ends would hold the fuzzer's connection for half an hour.
        pairs = [pair for pair in pairs if not pair.startswith("timeoutSeconds=")]
        pairs.append("timeoutSeconds=1")
    return "?" + "&".join(pairs) if pairs else ""


def _value(rng: random.Random, name: str) -> str:
    if rng.random() < 0.1:
        return rng.choice(("", "%", "%ff", "%00", "é", "=", ";", "a&a", "+" * 50))
    if name.endswith("Selector"):
        return quote(rng.choice(SELECTORS))
    if name == "continue":
        return _token(rng)
    if name in ("resourceVersion", "limit", "timeoutSeconds", "gracePeriodSeconds"):
        return rng.choice(
            ("0", "1", "5", "-1", "a", "00", "9" * 18, "9" * 19, "9" * 900, "1.5", "+1")
        )
    known = ("true", "false", "All", "Strict", "Ignore", "Warn", "Exact", "NotOlderThan", "None")
    others = ("Object", "Metadata", "Foreground", "Background", "Orphan", "fuzz", "0", "1")
    return rng.choice((*known, *others))


def _token(rng: random.Random) -> str:
    content: Any = rng.choice(
        (
            {"rv": 1, "start": "default/a"},
            {"rv": -1, "start": ""},
            {"rv": 2**70, "start": "\x00"},
            {"rv": "1", "start": 1},
            {"rv": True, "start": None},
            [],
            "x",
            {"v": "meta.k8s.io/v1", "rv": 1, "start": "a"},
        )
    )
    raw = json.dumps(content).encode() if rng.random() < 0.8 else rng.randbytes(20)
    return quote(base64.urlsafe_b64encode(raw).decode()[: rng.choice((400, 7))])


def _body(rng: random.Random, kinds: Kinds, served: Served, method: str) -> tuple[str, bytes]:
    if rng.random() < 0.03:
        return rng.choice((JSON, PROTOBUF, *PATCHES)), rng.randbytes(rng.choice((0, 1, 9, 300)))
    if method == "PATCH":
        return _patch(rng, kinds, served)
    if method == "DELETE":
        options = {"gracePeriodSeconds": 0, "propagationPolicy": "Background", "preconditions": {}}
        return JSON, encoded(spoiled(rng, options))
    if rng.random() < 0.04:
        return PROTOBUF, _protobuf(rng, served)
    value = an_object(rng, kinds, served)
    if rng.random() < 0.9:
        value = spoiled(rng, value)
    body = encoded(value)
    if rng.random() < 0.03:
        place = rng.randrange(len(body) + 1)
        body = body[:place] + rng.randbytes(rng.randint(0, 3)) + body[place + rng.randint(0, 3) :]
    return (JSON if rng.random() < 0.98 else "application/yaml"), body


def an_object(rng: random.Random, kinds: Kinds, served: Served) -> Any:
    """An object of the kind that may well be accepted."""
    value = kinds.maker.make(rng, served.schema)
    if not isinstance(value, dict):
        value = {}
    group_version = f"{served.group}/{served.version}" if served.group else served.version
    value |= {"apiVersion": group_version, "kind": served.kind}
    metadata = value.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    kept = {
        key: metadata[key]
        for key in ("labels", "annotations", "finalizers", "ownerReferences", "managedFields")
        if key in metadata and rng.random() < 0.3
    }
    value["metadata"] = {"name": rng.choice(NAMES), **kept}
    return value


def _patch(rng: random.Random, kinds: Kinds, served: Served) -> tuple[str, bytes]:
    media = rng.choice(PATCHES)
    value = an_object(rng, kinds, served)
    if media == "application/json-patch+json":
        pointers = ("", "/", "/metadata", "/metadata/labels", "/spec", "/spec/x", "/a~1b", "/~2")
        names = ("add", "remove", "replace", "move", "copy", "test", "x")
        paths = (*pointers, "/metadata/finalizers/-", "/metadata/name", "/spec/0", "/spec/-1")
        value = [
            {
                "op": rng.choice(names),
                "path": rng.choice(paths),
                "from": rng.choice(paths),
                "value": junk(rng),
            }
            for _ in range(rng.choice((1, 1, 2, 5)))
        ]
    if rng.random() < 0.8:
        value = spoiled(rng, value)
    return media, encoded(value)


def _protobuf(rng: random.Random, served: Served) -> bytes:
    group_version = f"{served.group}/{served.version}" if served.group else served.version
    kind = _field(1, group_version.encode()) + _field(2, served.kind.encode())
    inner = b"".join(_some_field(rng, 0) for _ in range(rng.randint(0, 6)))
    metadata = _field(1, _field(1, rng.choice(NAMES).encode()))
    body = b"k8s\x00" + _field(1, kind) + _field(2, metadata + inner)
    if rng.random() < 0.3:
        place = rng.randrange(len(body))
        body = body[:place] + rng.randbytes(2) + body[place + rng.randint(0, 4) :]
    return body


def _some_field(rng: random.Random, depth: int) -> bytes:
    number = rng.randint(1, 12)
    how = rng.random()
    if how < 0.2:
        return bytes([number << 3]) + rng.choice((b"\x01", b"\xff" * 9 + b"\x01", b"\xff" * 12))
    if how < 0.3:
        return bytes([number << 3 | rng.choice((1, 3, 4, 5, 6, 7))]) + rng.randbytes(8)
    if how < 0.8 and depth < 30:
        inner = b"".join(_some_field(rng, depth + 1) for _ in range(rng.randint(0, 2)))
        return _field(number, inner)
    return _field(number, rng.choice((b"", b"a", b"\xff\xfe", b"1Gi", b"{", b"a" * 300)))


def _field(number: int, content: bytes) -> bytes:
    size, head = len(content), bytes([number << 3 | 2])
    while size > 127:
        head += bytes([size & 127 | 128])
        size >>= 7
    return head + bytes([size]) + content
