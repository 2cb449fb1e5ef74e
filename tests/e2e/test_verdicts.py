"""Whatever a scenario raises is its verdict: its cluster stops, and the others are played."""

import asyncio
from pathlib import Path

import pytest

from e2e import __main__, skips
from e2e.backends import embedded
from e2e.backends.base import BackendFailed
from e2e.backends.kubernetes import OWN_POD_GROUPS, with_more
from e2e.scenario import Play, Scenario
from e2e.skips import Skips
from e2e.world import Unmet, World
from kube_queue.api.errors import ConnectionLost, NotFound
from kube_queue.app.kubeconfig import write_kubeconfig
from kube_queue.controlplane.cluster import Shape


class Cluster:
    """Nobody serves there; what is asked of it, `stop` counts."""

    def __init__(self, kubeconfig: Path, refusal: Exception | None = None) -> None:
        self.kubeconfig = kubeconfig
        self.stops = 0
        self._refusal = refusal

    def pid(self, part: str) -> int | None:
        del part
        return None

    def said(self) -> dict[str, list[str]]:
        return {"controller": [f"line {number}" for number in range(1, 100)]}

    async def stop(self) -> None:
        self.stops += 1
        if self._refusal is not None:
            raise self._refusal


class Clusters:
    """A back end of such clusters."""

    name = "small"
    has: frozenset[str] = frozenset()

    def __init__(self, folder: Path) -> None:
        self.made: list[Cluster] = []
        self.asked: list[object] = []
        self.refuses_to_start: Exception | None = None
        self.refuses_to_stop: Exception | None = None
        self._kubeconfig = folder / "kubeconfig"
        write_kubeconfig(self._kubeconfig, server="http://127.0.0.1:9", token="secret")

    async def start(self, *, needs: object = None, **_more: object) -> Cluster:
        self.asked.append(needs)
        if self.refuses_to_start is not None:
            raise self.refuses_to_start
        self.made.append(Cluster(self._kubeconfig, self.refuses_to_stop))
        return self.made[-1]


@pytest.fixture
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clusters:
    monkeypatch.setattr(__main__, "all_scenarios", list)
    monkeypatch.setattr(skips, "ALLOWED", {"small": Skips()})
    return Clusters(tmp_path)


def raising(error: Exception) -> Play:
    async def play(world: World) -> None:
        del world
        raise error

    return play


async def _fine(world: World) -> None:
    del world


async def _apart(world: World) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(raising(NotFound(404, "NotFound", "no such job"))(world))


async def _slow(world: World) -> None:
    del world
    await asyncio.sleep(60)


async def _impatient(world: World) -> None:
    del world
    async with asyncio.timeout(0):
        await asyncio.sleep(60)


NOT_THERE = NotFound(404, "NotFound", "no such job")
PLAYS: dict[str, tuple[Play, str]] = {
    "unmet": (raising(Unmet("nobody came")), "nobody came"),
    "false": (raising(AssertionError("one is not two")), "AssertionError: one is not two"),
    "refused": (raising(NOT_THERE), "no such job"),
    "cut off": (raising(ConnectionLost("gone")), "ConnectionLost: gone"),
    "mistaken": (raising(KeyError("spec")), "KeyError: 'spec'"),
    "apart": (_apart, "no such job"),
    "slow": (_slow, "not over within 0 s"),
    "impatient": (_impatient, "TimeoutError"),
}


@pytest.mark.parametrize("case", sorted(PLAYS))
async def test_a_scenario_that_raises_fails_alone_and_its_cluster_stops(
    case: str, backend: Clusters, capsys: pytest.CaptureFixture[str]
) -> None:
    play, sentence = PLAYS[case]
    within = 0.01 if case == "slow" else 90.0
    chosen = [Scenario("Q1", "it holds", play, within=within), Scenario("Q2", "so it does", _fine)]
    assert await __main__.run([backend], chosen) == 1  # type: ignore[arg-type]
    said = capsys.readouterr().out
    assert "FAIL  Q1 " in said and "ok    Q2 " in said
    assert sentence in said
    assert said.endswith("1 passed, 1 failed, 0 skipped\n")
    assert [each.stops for each in backend.made] == [1, 1]


async def test_a_scenario_that_did_not_hold_shows_the_ends_of_the_logs(
    backend: Clusters, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = [Scenario("Q1", "it holds", raising(Unmet("nobody came")))]
    assert await __main__.run([backend], [*chosen, Scenario("Q2", "so it does", _fine)]) == 1  # type: ignore[arg-type]
    said = capsys.readouterr().out
    assert said.count("the last of controller's log:") == 1
    assert said.count("line 99\n") == 1 and "line 59\n" not in said


@pytest.mark.parametrize("error", [BackendFailed("it burns"), OSError("it burns")])
async def test_a_cluster_that_does_not_start_or_stop_is_a_verdict_too(
    error: Exception, backend: Clusters, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = [Scenario("Q1", "it holds", raising(Unmet("nobody came")))]
    backend.refuses_to_stop = error
    assert await __main__.run([backend], chosen) == 1  # type: ignore[arg-type]
    said = capsys.readouterr().out
    assert "nobody came" in said and "it burns" in said
    backend.refuses_to_start = error
    assert await __main__.run([backend], chosen) == 1  # type: ignore[arg-type]
    assert "it burns" in capsys.readouterr().out


async def test_an_embedded_cluster_that_is_given_up_while_it_starts_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[asyncio.subprocess.Process] = []
    create = asyncio.create_subprocess_exec

    async def record(*words: str, **options: object) -> asyncio.subprocess.Process:
        started.append(await create(*words, **options))  # type: ignore[arg-type]
        return started[-1]

    monkeypatch.setattr(embedded.asyncio, "create_subprocess_exec", record)
    starting = asyncio.create_task(
        embedded.EmbeddedBackend().start(environment={}, flags=())  # its cluster is never had
    )
    while not started:
        await asyncio.sleep(0.01)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert started[0].returncode is not None


async def test_a_back_end_is_told_what_its_cluster_has_to_have(backend: Clusters):
    backend.has = frozenset({"more"})
    picky = Scenario("Q1", "holds", _fine, needs=frozenset({"more"}))
    assert await __main__.run([backend], [picky, Scenario("Q2", "holds", _fine)]) == 0
    assert backend.asked == [{"more"}, frozenset()]


def test_only_a_scenario_that_asks_for_it_has_alpha_features_on():
    plain = Shape()
    assert with_more(plain, frozenset({"rbac"})) == plain
    asked = with_more(plain, frozenset({OWN_POD_GROUPS}))
    assert "GenericWorkload" in asked.gates
    assert asked.apis == ("scheduling.k8s.io/v1alpha2",)
    assert with_more(asked, frozenset()) == plain
