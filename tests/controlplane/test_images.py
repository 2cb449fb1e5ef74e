"""Images packed here are what a container runtime reads."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from kube_queue.controlplane.images import Image, pack

IMAGE = Image(
    "docker.io/library/tools:latest",
    "arm64",
    ("sh",),
    {"bin/tools": b"\x7fELF program"},
    {"bin/sh": "tools"},
    ("tmp",),
)


def unpacked(archive: Path) -> tuple[dict[str, Any], dict[str, Any], tarfile.TarFile]:
    """The image's entry in the index, its settings, and its only layer."""
    with tarfile.open(archive) as tar:

        def content(name: str) -> bytes:
            file = tar.extractfile(name)
            assert file is not None
            return file.read()

        def blob(described: dict[str, Any]) -> bytes:
            found = content("blobs/" + described["digest"].replace(":", "/"))
            assert len(found) == described["size"]
            assert hashlib.sha256(found).hexdigest() == described["digest"].partition(":")[2]
            return found

        assert json.loads(content("oci-layout")) == {"imageLayoutVersion": "1.0.0"}
        (entry,) = json.loads(content("index.json"))["manifests"]
        manifest = json.loads(blob(entry))
        settings = json.loads(blob(manifest["config"]))
        (layer,) = (blob(one) for one in manifest["layers"])
        assert settings["rootfs"]["diff_ids"] == [manifest["layers"][0]["digest"]]
        return entry, settings, tarfile.open(fileobj=io.BytesIO(layer))


def test_an_image_is_found_under_its_whole_name_and_for_its_machine(tmp_path: Path):
    pack(IMAGE, tmp_path / "image.tar")
    entry, settings, _ = unpacked(tmp_path / "image.tar")
    assert entry["annotations"]["io.containerd.image.name"] == IMAGE.name
    assert (settings["os"], settings["architecture"]) == ("linux", "arm64")
    assert settings["config"]["Cmd"] == ["sh"]


def test_its_programs_run_for_everybody_and_its_links_lead_to_them(tmp_path: Path):
    pack(IMAGE, tmp_path / "image.tar")
    layer = unpacked(tmp_path / "image.tar")[2]
    assert layer.getmember("bin/tools").mode == 0o755
    assert layer.getmember("bin/sh").linkname == "tools"
    assert layer.getmember("tmp").mode == 0o1777
    names = layer.getnames()
    assert names.index("bin") < names.index("bin/tools")


def test_packed_twice_it_is_the_same_image(tmp_path: Path):
    for name in ("one", "two"):
        pack(IMAGE, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
