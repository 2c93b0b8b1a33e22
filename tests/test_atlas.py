from __future__ import annotations

import numpy as np
import pytest

from renderer.dreaming.networks.network import Network
from renderer.dreaming.networks.registry import network_spec
from renderer.dreaming.networks.squeezenet import build_squeezenet
from renderer.errors import UsageError
from renderer.inspect import atlas as module
from renderer.inspect.atlas import atlas, shown, soft_noise, spaced, strongest
from renderer.media.sheets import Section


@pytest.fixture
def captions(monkeypatch) -> list[tuple[str, list[str]]]:
    """What is written on the sheet: headings with the captions under them."""
    written: list[tuple[str, list[str]]] = []
    draw = module.contact_sheet

    def listen(sections, **options):
        kept = [Section(heading=s.heading, note=s.note, tiles=list(s.tiles)) for s in sections]
        written.extend((s.heading, [caption for _, caption in s.tiles]) for s in kept)
        return draw(kept, **options)

    monkeypatch.setattr(module, "contact_sheet", listen)
    return written


def test_each_layer_is_drawn_whole_and_by_its_channels(two_layers, captions):
    reports: list[tuple[int, int]] = []
    report = lambda done, total: reports.append((done, total))  # noqa: E731
    sheet = atlas(two_layers, channels_per_layer=3, size=32, steps=2, report=report)
    assert sheet.dtype == np.uint8
    assert [heading for heading, _ in captions] == ["low", "high"]
    for layer, names in captions:
        assert names[0] == layer
        assert len(set(names)) == 4
        assert all(name.startswith(f"{layer}:") for name in names[1:])
    assert reports == [(i, 8) for i in range(1, 9)]


def test_channels_of_ones_own_choice_are_drawn(two_layers, captions):
    atlas(two_layers, layers=["high:7", "high:2", "low"], channels_per_layer=0, size=32, steps=1)
    assert captions == [("high", ["high", "high:7", "high:2"]), ("low", ["low"])]


def test_classes_are_drawn_where_there_is_a_head(captions):
    model = build_squeezenet(classes=7)
    network = Network("squeezenet", model, spec=network_spec("squeezenet"), precision="float32", head="scores")
    atlas(network, layers=["fire3"], of=["5", "2"], channels_per_layer=0, size=48, steps=1)
    assert captions == [("fire3", ["fire3"]), ("classes", ["5", "2"])]
    assert module._classes(network, None, count=3) == [("0", (0,)), ("3", (3,)), ("6", (6,))]
    with pytest.raises(UsageError, match=r"no class 'castle'.*0 to 6"):
        atlas(network, layers=["fire3"], of=["castle"], size=48, steps=1)


def test_the_same_seed_draws_the_same_sheet_and_another_does_not(two_layers):
    def draw(seed: int) -> np.ndarray:
        return atlas(two_layers, layers=["low"], channels_per_layer=0, size=32, steps=1, seed=seed)

    np.testing.assert_array_equal(draw(3), draw(3))
    assert not np.array_equal(draw(3), draw(4))


def test_the_strongest_channels_come_first_and_spaced_ones_reach_from_end_to_end():
    activity = np.array([0.1, 3.0, 0.2, 2.0, 0.0], np.float32)
    assert strongest(activity, 2) == (1, 3)
    assert spaced(activity, 3) == (0, 2, 4)
    assert spaced(activity, 50) == (0, 1, 2, 3, 4)


def test_tiles_are_equally_bright_and_strong():
    faint = soft_noise(module.Size(40, 40), seed=0) * np.float32(0.1)
    for dream in (faint, faint * 30 - 2):
        tile = shown(dream)
        assert tile.mean() == pytest.approx(0.48, abs=0.01)
        assert tile.std() == pytest.approx(0.2, abs=0.01)


def test_what_the_network_lacks_is_refused_with_what_it_has(two_layers):
    for options, words in (
        ({"layers": ["hihg"]}, "high"),
        ({"layers": ["high:10"]}, "channels 0 to 9"),
        ({"layers": ["high:x"]}, "LAYER:CHANNEL"),
        ({"choose": "strong"}, "strongest"),
        ({"size": 8}, "size"),
        ({"channels_per_layer": -1}, "0 or more channels"),
    ):
        with pytest.raises(UsageError, match=words):
            atlas(two_layers, **({"size": 32, "steps": 1} | options))


def test_a_channel_that_stays_asleep_begins_again_from_bolder_noise():
    class Sleeper:
        """Dreams nothing; its channel 1 answers to contrast alone."""

        layers, channels = ("low",), {"low": 3}

        def __call__(self, pictures, weights):
            return pictures.copy()

        def squares(self, pictures):
            woken = pictures.std((1, 2, 3)) > 1.5 * soft.std()
            return {"low": np.stack([np.ones(len(woken)), 5.0 * woken, np.ones(len(woken))], 1)}

    soft = soft_noise(module.Size(24, 24), seed=0)
    dreams = module._awake(Sleeper(), soft[None], [(0,), (1,), (2,)], seed=0)
    assert dreams[1].std() > 1.5 * soft.std()
    assert dreams.shape == (3, 24, 24, 3)
