"""Jobs are queued and run, each once, by whatever an API server fails; in virtual time."""

import pytest

from e2e.faults import Ordeal, play_http, play_virtual


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_is_lost_or_admitted_twice_while_requests_and_watches_fail(seed: int) -> None:
    outcome = play_virtual(Ordeal(seed, jobs=12, share=0.08))
    assert outcome.ledger.admissions.keys()
    assert {"lost", "cut", "throttled", "delayed"} <= outcome.met.keys()


def test_the_same_seed_is_the_same_run() -> None:
    first, second = (play_virtual(Ordeal(7, jobs=6, share=0.1)) for _ in range(2))
    assert first.log == second.log
    assert first.met == second.met


@pytest.mark.long
async def test_nothing_is_lost_or_admitted_twice_over_sockets() -> None:
    outcome = await play_http(Ordeal(1, jobs=12, share=0.05))
    assert sum(outcome.met.values()) > 20
