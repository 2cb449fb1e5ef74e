"""What a back end leaves out is on a list, with a reason, or the run fails."""

import pytest

from e2e import __main__, skips
from e2e.scenario import Scenario, all_scenarios
from e2e.skips import Skips
from e2e.world import World


async def _play(world: World) -> None:
    del world


PLAIN = Scenario("Q1", "holds", _play)
PICKY = Scenario("Q2", "holds where there is more", _play, needs=frozenset({"more"}))
BOTH = [PLAIN, PICKY]


def use(monkeypatch: pytest.MonkeyPatch, allowed: Skips) -> None:
    monkeypatch.setattr(skips, "ALLOWED", {"small": allowed})


def test_a_scenario_that_needs_more_is_left_out_and_must_be_on_the_list(
    monkeypatch: pytest.MonkeyPatch,
):
    use(monkeypatch, Skips())
    assert skips.skipped("small", (), PICKY) == "needs more"
    (sentence,) = skips.wrong("small", (), BOTH)
    assert sentence.startswith("Q2 would be skipped on small")
    use(monkeypatch, Skips(lacking={"Q2": "it is small"}))
    assert skips.wrong("small", (), BOTH) == []


def test_an_entry_that_the_back_end_has_outgrown_is_wrong(monkeypatch: pytest.MonkeyPatch):
    use(monkeypatch, Skips(lacking={"Q2": "it was small"}))
    (sentence,) = skips.wrong("small", ("more",), BOTH)
    assert "lacks nothing for it" in sentence
    assert skips.skipped("small", ("more",), PICKY) == ""


def test_what_is_beyond_a_back_end_is_left_out_with_its_reason(monkeypatch: pytest.MonkeyPatch):
    use(monkeypatch, Skips(beyond={"Q1": "it is too large"}))
    assert skips.skipped("small", ("more",), PLAIN) == "it is too large"
    assert skips.wrong("small", ("more",), BOTH) == []


def test_an_entry_without_a_scenario_is_wrong(monkeypatch: pytest.MonkeyPatch):
    use(monkeypatch, Skips(beyond={"Q9": "it is too large"}))
    (sentence,) = skips.wrong("small", ("more",), BOTH)
    assert "is no scenario" in sentence


@pytest.mark.parametrize("name", sorted(__main__.BACKENDS))
def test_the_lists_are_true_of_every_back_end(name: str):
    backends = {"embedded": __main__.EmbeddedBackend, "kind": __main__.KindBackend}
    backends |= {"kubernetes": __main__.KubernetesBackend, "node": __main__.NodeBackend}
    assert skips.wrong(name, backends[name].has, all_scenarios()) == []


class Barren:
    """A back end that is never asked for a cluster."""

    name = "small"
    has: frozenset[str] = frozenset()

    async def start(self, **_more: object) -> None:
        raise AssertionError("nothing is to be played")


async def test_a_skip_that_is_not_listed_fails_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(__main__, "all_scenarios", lambda: BOTH)
    use(monkeypatch, Skips())
    assert await __main__.run([Barren()], [PICKY]) == 1  # type: ignore[arg-type]
    assert "FAIL  Q2 would be skipped" in capsys.readouterr().out
    use(monkeypatch, Skips(lacking={"Q2": "it is small"}))
    assert await __main__.run([Barren()], [PICKY]) == 0  # type: ignore[arg-type]
    assert "SKIP  Q2    needs more" in capsys.readouterr().out
