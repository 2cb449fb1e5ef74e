"""Container images made here, of files that are here: archives in the OCI image layout."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_SCHEMA = 2
_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True, slots=True)
class Image:
    """What an image holds: programs by their path in it, links by theirs, empty folders.

    `name` is the whole name with registry and tag, `architecture` as Go says it. Paths have no
    leading slash.
    """

    name: str
    architecture: str
    command: Sequence[str]
    programs: Mapping[str, bytes]
    links: Mapping[str, str] = field(default_factory=dict)
    folders: Sequence[str] = ()


def pack(image: Image, archive: Path) -> None:
    """The archive holds the image; equal images give equal bytes."""
    layer = _layer(image)
    config = {
        "architecture": image.architecture,
        "os": "linux",
        "config": {"Cmd": list(image.command), "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
    }
    settings = _json(config)
    manifest = _json(
        {
            "schemaVersion": _SCHEMA,
            "mediaType": _MANIFEST,
            "config": _described(_CONFIG, settings),
            "layers": [_described(_LAYER, layer)],
        }
    )
    entry = _described(_MANIFEST, manifest) | {
        "annotations": {"io.containerd.image.name": image.name}
    }
    index = {"schemaVersion": _SCHEMA, "mediaType": _INDEX, "manifests": [entry]}
    files = {"oci-layout": _json({"imageLayoutVersion": "1.0.0"}), "index.json": _json(index)}
    for blob in (layer, settings, manifest):
        files[f"blobs/sha256/{_digest(blob).partition(':')[2]}"] = blob
    archive.write_bytes(_tar(files, {}, (), mode=0o644))


def _layer(image: Image) -> bytes:
    return _tar(image.programs, image.links, image.folders, mode=0o755)


def _tar(
    files: Mapping[str, bytes], links: Mapping[str, str], folders: Sequence[str], *, mode: int
) -> bytes:
    """A tar archive in which every folder comes before what is in it, and nothing has a time."""
    parents = {parent.as_posix() for name in (*files, *links) for parent in Path(name).parents}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted({*parents, *folders} - {"."}):
            tar.addfile(_entry(name, tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755))
        for name, content in sorted(files.items()):
            entry = _entry(name, tarfile.REGTYPE, mode)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        for name, target in sorted(links.items()):
            entry = _entry(name, tarfile.SYMTYPE, 0o777)
            entry.linkname = target
            tar.addfile(entry)
    return buffer.getvalue()


def _entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = kind, mode
    return entry


def _described(kind: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "digest": _digest(blob), "size": len(blob)}


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
