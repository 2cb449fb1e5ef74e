"""A process that waits for the lead holds what it will have to read."""

from __future__ import annotations

import random
from collections import Counter

from kube_queue.config import Settings
from kube_queue.controller.scheduling.side import SchedulingSide
from kube_queue.controller.scheduling.standby import Standby
from tests.controller.scheduling.world import World, in_world


def kinds(watches: SchedulingSide | Standby) -> Counter[str]:
    return Counter(one.resource.plural for one in watches.informers())


def test_a_process_that_waits_keeps_a_copy_of_every_kind_that_a_scheduler_watches() -> None:
    async def story(world: World) -> None:
        standby = Standby(world.user, Settings(), rng=random.Random(1))
        assert kinds(standby) == kinds(world.side)
        assert len(kinds(standby)) > 10

    in_world(story)
