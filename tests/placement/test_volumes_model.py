"""Volume plug-ins by columns say what a plain look at every volume and node says."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from kube_queue.api.nodes import Node
from kube_queue.api.pods import Pod
from kube_queue.api.storage import Claim, Volume
from kube_queue.placement.framework import Refusal, StateFilter
from kube_queue.placement.plugins.node_volume_limits import NodeVolumeLimits
from kube_queue.placement.plugins.volume_binding import VolumeBinding
from kube_queue.placement.plugins.volume_restrictions import VolumeRestrictions
from kube_queue.placement.plugins.volume_zone import VolumeZone
from kube_queue.placement.storage import Storage
from tests.examples import examples
from tests.placement.builders import ZONE, PodBuilder, World, a_node, a_pod
from tests.placement.volumes import LOCAL, a_claim, a_class, a_volume, drivers_of, store

MADE = "made"
VOLUMES = (VolumeRestrictions, NodeVolumeLimits, VolumeBinding, VolumeZone)


def a_world(chance: Random) -> World:
    world = World(plugins=VOLUMES)
    for index in range(chance.randint(1, 4)):
        node = a_node(f"n{index}")
        world.sees(node.in_zone(chance.choice("uv")) if chance.random() < 0.8 else node)
        if chance.random() < 0.4:
            store(world, drivers_of(f"n{index}", csi=chance.randint(0, 2)))
    store(world, a_class(LOCAL), a_class(MADE, "csi", **{ZONE: chance.choice("uv")}))
    for index in range(chance.randint(0, 5)):
        volume = a_volume(f"v{index}").of(chance.choice(["1Gi", "2Gi", "4Gi"]))
        kind = chance.choice(["host", "zone", "anywhere"])
        if kind == "host":
            volume = volume.on_node(f"n{chance.randrange(4)}")
        elif kind == "zone":
            volume = volume.reached_from(ZONE, chance.choice("uv"))
        if chance.random() < 0.2:
            volume = volume.labelled(**{ZONE: chance.choice(["u", "v", "u__v"])})
        if chance.random() < 0.3:
            volume = volume.of_driver("csi")
        if chance.random() < 0.2:
            volume = volume.kept_for(f"c{chance.randrange(4)}")
        store(world, volume)
    for index in range(chance.randint(0, 4)):
        claim = a_claim(f"c{index}").asking(chance.choice(["1Gi", "2Gi"]))
        claim = claim.of_class(chance.choice([LOCAL, LOCAL, MADE]))
        kind = chance.random()
        if kind < 0.25:
            claim = claim.bound_to(f"v{chance.randrange(5)}")
        elif kind < 0.35:
            claim = claim.made_for(f"n{chance.randrange(4)}")
        if chance.random() < 0.2:
            claim = claim.of_modes("ReadWriteOncePod")
        store(world, claim)
    for index in range(chance.randint(0, 3)):
        world.places(a_pod(f"there-{index}").mounting(*mounted(chance)))
    return world


def mounted(chance: Random) -> list[str]:
    return [f"c{index}" for index in range(4) if chance.random() < 0.4]


def said(world: World, plugin: StateFilter, pod: Pod) -> dict[str, str]:
    """What the plug-in says by node; its two ways of saying it agree."""
    found = plugin.refusals(pod)
    texts = {}
    for row, node in world.cluster.live_rows():
        alone = plugin.row_refusal(pod, row)
        if isinstance(found, Refusal):
            together: Refusal | None = found
        else:
            code = found.codes[row]
            together = found.reasons[code - 1] if code else None
        assert alone == together
        texts[node.name] = alone.reason if alone is not None else ""
    return texts


def bindable(world: World, plugin: VolumeBinding, pod: Pod, node: Node) -> bool:
    """Whether every waiting claim of the pod gets a volume on the node, the smallest first."""
    storage = world.cluster.shared(Storage)
    claims = sorted(storage.claims_of(pod), key=lambda claim: (claim.size, claim.name))
    taken: set[str] = set()
    for claim in claims:
        if claim.volume:
            continue
        chosen = plugin._chosen.get(claim.key)
        if chosen is not None:
            if chosen.volume is None and chosen.node != node.name:
                return False
            if chosen.volume is not None and not reaches(chosen.volume, node):
                return False
            continue
        found = None
        if not claim.selected_node:
            found = match(list(storage.volumes.values()), claim, node, taken, plugin)
        elif claim.selected_node != node.name:
            return False
        if found is not None:
            taken.add(found.name)
            continue
        its = storage.classes[claim.class_name]
        if not its.makes_volumes or not any(
            t.matches(node.name, node.labels) for t in its.topologies
        ):
            return False
    return True


def match(
    volumes: list[Volume], claim: Claim, node: Node, taken: set[str], plugin: VolumeBinding
) -> Volume | None:
    fitting = [
        volume
        for volume in volumes
        if volume.class_name == claim.class_name
        and volume.size >= claim.size
        and volume.name not in taken
    ]
    for volume in sorted(fitting, key=lambda each: (each.size, each.name)):
        if volume.is_kept_for(claim):
            return volume if reaches(volume, node) else None
    for volume in sorted(fitting, key=lambda each: (each.size, each.name)):
        free = volume.claim is None and volume.name not in plugin._kept
        if free and claim.modes <= volume.modes and reaches(volume, node):
            return volume
    return None


def reaches(volume: Volume, node: Node) -> bool:
    terms = volume.node_terms
    return terms is None or any(term.matches(node.name, node.labels) for term in terms)


@settings(max_examples=examples(200), deadline=None)
@given(st.integers(0, 2**32))
def test_columns_say_what_a_plain_look_says(seed: int) -> None:
    chance = Random(seed)
    world = a_world(chance)
    storage = world.cluster.shared(Storage)
    asking: list[PodBuilder] = [a_pod(f"asks-{n}").mounting(*mounted(chance)) for n in range(3)]
    for builder in asking:
        pod = builder.pod
        for plugin in world.profile.state_filters:
            texts = said(world, plugin, pod)
            if not isinstance(plugin, VolumeBinding) or plugin._problem(pod) is not None:
                continue
            bound = [storage.volumes.get(c.volume) for c in storage.claims_of(pod) if c.volume]
            for name, text in texts.items():
                node = world.cluster.nodes[world.cluster.row_of[name]]
                assert node is not None
                reached = all(each is not None and reaches(each, node) for each in bound)
                assert (not text) == (reached and bindable(world, plugin, pod, node))


@settings(max_examples=examples(100), deadline=None)
@given(st.integers(0, 2**32))
def test_no_volume_is_given_to_two_claims_and_all_are_given_back(seed: int) -> None:
    chance = Random(seed)
    world = a_world(chance)
    (plugin,) = (each for each in world.profile.plugins if isinstance(each, VolumeBinding))
    given_to = [c.volume.name for c in plugin._chosen.values() if c.volume is not None]
    assert len(given_to) == len(set(given_to))
    assert set(given_to) == set(plugin._kept)
    for row, _ in list(world.cluster.live_rows()):
        for uid in list(world.cluster.pods[row]):
            world.cluster.forget(uid)
    assert not plugin._chosen
    assert not plugin._kept
