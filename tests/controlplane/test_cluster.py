"""A cluster comes up whole, or says in one sentence what is wrong, and goes without a trace."""

import asyncio
import contextlib
import os
import signal
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from kube_queue.api.types import NAMESPACES
from kube_queue.controlplane.cluster import Binaries, ControlPlane, Shape
from kube_queue.controlplane.errors import DaemonEnded, NotReady
from kube_queue.controlplane.sweep import claimed
from kube_queue.kube.connection import connect
from tests.controlplane.fake_cluster import fake_binaries
from tests.controlplane.test_daemons import alive

PLAIN = Shape()
PREFIX = "cluster-"


@pytest.fixture
def directory() -> Iterator[Path]:
    """A short path: a socket's address holds about a hundred characters."""
    with tempfile.TemporaryDirectory(prefix="kq-") as folder:
        yield Path(folder)


@contextlib.asynccontextmanager
async def a_cluster(
    directory: Path, tmp_path: Path, shape: Shape = PLAIN
) -> AsyncIterator[ControlPlane]:
    binaries = Binaries(fake_binaries(tmp_path / "bin"))
    plane = ControlPlane(directory, shape, binaries, lambda _: None)
    try:
        yield plane
    finally:
        await plane.stop(kill=True)


async def up(plane: ControlPlane) -> None:
    async with asyncio.timeout(60):
        await plane.serve()
        await plane.populate()


async def words_of(pid: int) -> list[str]:
    """The command line of the process, once it has one: while a program is loaded it is empty."""
    async with asyncio.timeout(60):
        while not (line := Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")):
            await asyncio.sleep(0.01)
    return line.split("\0")


async def test_its_kubeconfig_reaches_it_over_tls_with_a_token(directory: Path, tmp_path: Path):
    async with a_cluster(directory, tmp_path) as plane:
        await up(plane)
        assert plane.server.startswith("https://127.0.0.1:")
        client = await connect(str(plane.kubeconfig()))
        try:
            names = {one["metadata"]["name"] for one in await client.list(NAMESPACES)}
        finally:
            await client.close()
        assert "default" in names
        assert set(plane.pids()) == {
            "etcd",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
        }


async def test_its_programs_are_told_of_gates_and_the_api_server_of_versions(
    directory: Path, tmp_path: Path
):
    shape = Shape(gates=("A", "B"), apis=("example.com/v1alpha1",))
    async with a_cluster(directory, tmp_path, shape) as plane:
        await up(plane)
        words = {name: await words_of(pid) for name, pid in plane.pids().items()}
        gated = {name for name, told in words.items() if "--feature-gates=A=true,B=true" in told}
        assert gated == {"kube-apiserver", "kube-controller-manager", "kube-scheduler"}
        served = {
            n for n, told in words.items() if "--runtime-config=example.com/v1alpha1=true" in told
        }
        assert served == {"kube-apiserver"}


async def test_what_is_secret_can_be_read_by_its_owner_only(directory: Path, tmp_path: Path):
    async with a_cluster(directory, tmp_path) as plane:
        await up(plane)
        secrets = [plane.kubeconfig(), directory / "tokens.csv"]
        secrets.append(directory / "pki" / "service-account.key")
        assert [stat.S_IMODE(path.stat().st_mode) for path in secrets] == [0o600] * 3
        assert stat.S_IMODE((directory / "kubeconfigs").stat().st_mode) == 0o700


async def test_started_again_on_its_directory_it_has_the_same_token_and_key(
    directory: Path, tmp_path: Path
):
    async with a_cluster(directory, tmp_path) as plane:
        await up(plane)
        key = (directory / "pki" / "service-account.key").read_bytes()
        first = plane.token
        await plane.stop()
        assert not plane.pids()
        await up(plane)
        assert plane.token == first
        assert (directory / "pki" / "service-account.key").read_bytes() == key


async def test_an_api_server_that_does_not_start_is_told_at_once_with_its_last_words(
    directory: Path, tmp_path: Path
):
    async with a_cluster(directory, tmp_path) as plane:
        (tmp_path / "bin" / "broken").touch()
        with pytest.raises(DaemonEnded, match="invalid argument") as told:
            async with asyncio.timeout(20):
                await plane.serve()
        assert str(plane.log("kube-apiserver")) in str(told.value)


async def test_the_end_of_etcd_is_the_end_of_the_cluster(directory: Path, tmp_path: Path):
    async with a_cluster(directory, tmp_path) as plane:
        await up(plane)
        os.kill(plane.pids()["etcd"], signal.SIGKILL)
        with pytest.raises(DaemonEnded, match="etcd ended"):
            async with asyncio.timeout(20):
                await plane.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_a_stopped_cluster_leaves_no_process(directory: Path, tmp_path: Path):
    async with a_cluster(directory, tmp_path) as plane:
        await up(plane)
        pids = plane.pids().values()
        await plane.stop()
        assert not any(alive(pid) for pid in pids)


async def test_a_path_too_long_for_a_socket_is_refused_with_a_hint(directory: Path, tmp_path: Path):
    deep = directory / ("x" * 100)
    async with a_cluster(deep, tmp_path) as plane:
        with pytest.raises(NotReady, match="too long for a socket"):
            await plane.serve()


def test_a_shape_names_the_programs_it_needs():
    assert PLAIN.programs()[:3] == ["etcd", "kube-apiserver", "kube-controller-manager"]
    assert Shape(controllers=()).programs() == ["etcd", "kube-apiserver", "kube-scheduler"]
    whole = Shape(nodes=({"kind": "Node"},), operator=("tfjob",)).programs()
    assert whole[3:] == ["kube-scheduler", "kwok", "training-operator"]


def test_directories_that_nobody_holds_any_more_are_swept(tmp_path: Path):
    ours, theirs, abandoned = (tmp_path / f"{PREFIX}{name}" for name in ("a", "b", "c"))
    other = tmp_path / "something-else"
    for folder in (ours, theirs, other):
        folder.mkdir()
    (other / "in-use").touch()
    with claimed(theirs, PREFIX):
        abandoned.mkdir()
        (abandoned / "in-use").touch()
        with claimed(ours, PREFIX):
            assert ours.is_dir()
            assert theirs.is_dir()
            assert other.is_dir()
            assert not abandoned.exists()
