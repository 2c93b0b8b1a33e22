"""Which settings count for what is asked, and why the others do nothing.

A setting that counts only for some kinds of film, for some inputs or beside some other setting has a line in one of the
tables `OF_KIND`, `BESIDE` and `RULES`. A test tries every setting on every kind of film, and finds those whose line is
missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, NamedTuple, get_args

from renderer.dreaming.ascent.optimisers import OPTIMISERS
from renderer.dreaming.objectives.objective_terms import OBJECTIVES
from renderer.render.settings import CarrySettings
from renderer.setting_types import scales_of
from renderer.settings.schema import Settings

OF_KIND: tuple[tuple[str, str, str], ...] = (
    ("film.fps film.dreams film.seconds film.frames film.loop", "zoom video", "a still is one picture"),
    ("film.seconds film.frames", "zoom still", "a video lasts as long as its clip, from video.start to video.end"),
    ("film.seam film.run_up", "zoom", "only a zoom can be a loop"),
    ("start.*", "zoom still", "a video begins with its own first frame"),
    ("camera.*", "zoom video", "no camera moves over a still"),
    ("governor.*", "zoom video", "the tone of a still is not governed"),
    ("carry.*", "video", "only over a video is a dream carried along with what moves"),
    ("video.*", "video", "no video is dreamed over"),
    ("area.*", "video still", "a zoom is dreamed on everywhere, in colours of its own"),
    ("encode.compare encode.sound", "video", "no video is dreamed over"),
    ("encode.fps encode.speed encode.shutter", "zoom", "a dreamed video has the frames of its clip, one for one"),
    ("encode.*", "zoom video", "how a picture is written is said by its ending alone"),
    ("dream.reference dream.detail", "zoom", "a still and a video are dreamed at the size that they have"),
    ("dream.steps", "zoom video", "the steps of a still are dream.first_steps"),
    ("dream.late_octaves", "zoom video", "a still has no later frames"),
    ("dream.cycle_seconds dream.variety_period", "zoom video", "nothing changes in a still"),
)  # fmt: skip
"""Settings -> the kinds of film that they count for, and why not for others. What is in no line counts for all."""

STEPWISE = " ".join(name for name, optimiser in OPTIMISERS.items() if optimiser.step is not None)
REMEMBERING = " ".join(name for name, optimiser in OPTIMISERS.items() if optimiser.slots)
CARRYING = " ".join(mode for mode in get_args(CarrySettings.model_fields["mode"].annotation) if mode != "none")

BESIDE: tuple[tuple[str, str, str], ...] = (
    ("film.seam film.run_up", "film.loop", ""),
    ("dream.cycle_seconds dream.cycle_fade", "dream.cycle", ""),
    ("dream.variety_period", "dream.variety", ""),
    ("dream.normalise dream.bands", "dream.optimiser", STEPWISE),
    ("dream.jitter dream.rotate dream.scale dream.flip", "dream.optimiser", STEPWISE),
    ("dream.bands", "dream.normalise", "laplacian"),
    ("dream.momentum", "dream.optimiser", REMEMBERING),
    ("dream.blur_every", "dream.blur", ""),
    ("governor.*", "governor.amount", ""),
    ("camera.wander_period", "camera.wander", ""),
    ("carry.half_life carry.level carry.flow", "carry.mode", "flow"),
    ("carry.blend", "carry.mode", "blend"),
    ("video.cuts video.threshold", "carry.mode", CARRYING),
    ("video.threshold", "video.cuts", ""),
    ("guide.mix", "guide.second", ""),
    ("encode.fit", "encode.size", ""),
)  # fmt: skip
"""Settings -> the one beside which they count, and its values for which they do; "" for all but 0, false and none."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked for.

    Attributes:
        settings: all of them.
        kind: "zoom", "video" or "still".
        inputs: what is given beside the settings, of "picture", "mask" and "cuts".
        sized: whether the user chose the size, and not a preset.
    """

    settings: Settings
    kind: str
    inputs: Collection[str] = ()
    sized: bool = False

    @property
    def scales(self) -> int:
        """How many scales are asked for; a frame that is too small for some of them has fewer."""
        dream = self.settings.dream
        return len(scales_of(dream.octave_sizes)) if dream.octave_sizes else dream.octaves

    @property
    def turns(self) -> bool:
        """Whether the camera moves about a centre."""
        return self.settings.settled("camera.zoom") != 1 or self.settings.settled("camera.rotate") != 0

    @property
    def moves(self) -> bool:
        """Whether the camera moves at all."""
        return self.turns or any(self.settings.settled(f"camera.{n}") for n in ("pan_x", "pan_y", "turn_x", "turn_y"))

    @property
    def names_all_kinds(self) -> bool:
        """Whether all that is dreamed of says itself what is maximised of it."""
        dream = self.settings.dream
        return all("@" in entry for entry in dream.entries()) if dream.entries() else bool(dream.of)

    @property
    def drifts(self) -> bool:
        """Whether channels of what is dreamed of can come and go: not of one channel, nor of what is compared whole."""
        dream = self.settings.dream
        kinds = [(entry.rpartition("@")[0] or dream.objective, entry) for entry in dream.entries() or ["its own mix"]]
        if dream.of and not dream.entries():
            return False
        return any(
            not (kind in OBJECTIVES and OBJECTIVES[kind].compares_with) and not _CHANNEL.search(entry)
            for kind, entry in kinds
        )


_CHANNEL = re.compile(r":\d+(\(|$)")


class Rule(NamedTuple):
    """When some settings count that need more than one line of `OF_KIND` or `BESIDE` to say.

    Attributes:
        keys: the settings.
        counts: whether they do.
        why: they do not.
        reads: settings that decide it.
        needs: the input that decides it.
    """

    keys: str
    counts: Callable[[Asked], bool]
    why: str
    reads: str = ""
    needs: str = ""


_LAYERS = "dream.layers dream.objective dream.octave_layers dream.cycle dream.of"

RULES = (
    Rule("start.noise", lambda it: "picture" not in it.inputs, "it begins with a picture", needs="picture"),
    Rule("start.fit", lambda it: "picture" in it.inputs, "it begins with noise", needs="picture"),
    Rule(
        "start.fit film.size",
        lambda it: it.kind != "still" or it.sized or "picture" not in it.inputs,
        "a picture keeps its own size, if no other is asked for with --size",
    ),
    Rule(
        "governor.memory",
        lambda it: it.kind != "zoom" or "picture" in it.inputs,
        "noise has no tone worth keeping for a while",
        needs="picture",
    ),
    Rule(
        "area.feather",
        lambda it: it.settings.area.box is not None or "mask" in it.inputs,
        "there is neither a box nor a mask",
        reads="area.box",
        needs="mask",
    ),
    Rule("video.cuts video.threshold", lambda it: "cuts" not in it.inputs, "a list of cuts is given", needs="cuts"),
    Rule("dream.objective", lambda it: not it.names_all_kinds, "all layers name an objective of their own", _LAYERS),
    Rule(
        "dream.variety dream.variety_period",
        lambda it: it.drifts,
        "nothing that is dreamed of has channels that could come and go",
        reads=_LAYERS,
    ),
    Rule(
        "dream.octave_ratio dream.smallest_side dream.octave_blend",
        lambda it: it.scales > 1,
        "there is one scale alone",
        reads="dream.octaves dream.octave_sizes",
    ),
    Rule(
        "dream.octave_carry dream.resample dream.late_octaves",
        lambda it: (
            it.scales > 1 or it.settings.dream.octave_sizes is not None or it.settings.dream.largest_side is not None
        ),
        "there is one scale alone",
        reads="dream.octaves dream.octave_sizes dream.largest_side",
    ),
    Rule(
        "dream.steps dream.late_octaves",
        lambda it: it.kind != "video" or it.settings.carry.mode == "flow",
        "carry.mode is not flow, and every frame is dreamed like the first, with dream.first_steps",
        reads="carry.mode",
    ),
    Rule(
        "camera.centre_x camera.centre_y camera.wander camera.wander_period",
        lambda it: it.turns,
        "the camera neither zooms nor rotates",
        reads="camera.zoom camera.rotate",
    ),
    Rule(
        "camera.edges camera.resample",
        lambda it: it.moves,
        "the camera stands still",
        reads="camera.zoom camera.rotate camera.pan_x camera.pan_y camera.turn_x camera.turn_y",
    ),
    Rule(
        "dream.detail",
        lambda it: min(it.settings.film.size) > min(it.settings.dream_size),
        "frames are no larger than what is dreamed, and have room for no more",
        reads="film.size dream.reference",
    ),
    Rule(
        "guide.side",
        lambda it: it.settings.guide.picture is not None or it.settings.guide.style is not None,
        "there is neither a guide nor a style",
        reads="guide.picture guide.style",
    ),
)


class Idle(NamedTuple):
    """That a setting does nothing.

    Attributes:
        key: its dotted name.
        why: in words.
        reads: the settings that decide it.
        needs: the input that decides it; "" for none.
        of_kind: whether the kind of film alone decides it.
    """

    key: str
    why: str
    reads: tuple[str, ...] = ()
    needs: str = ""
    of_kind: bool = False

    @property
    def sentence(self) -> str:
        """What is so, and what to do about it."""
        change = f", or change {self.reads[0]}" if len(self.reads) == 1 else ""
        return f"{self.key} would do nothing: {self.why}. Leave it out{change}."


def why_idle(key: str, asked: Asked) -> Idle | None:
    """Say why a setting does nothing for what is asked; None for one that counts, or asks for nothing itself."""
    if not asked.settings.settled(key):
        return None
    for keys, kinds, why in OF_KIND:
        if _names(keys, key) and asked.kind not in kinds.split():
            return Idle(key, why, of_kind=True)
    for rule in RULES:
        if _names(rule.keys, key) and not rule.counts(asked):
            return Idle(key, rule.why, tuple(rule.reads.split()), rule.needs)
    for keys, other, values in BESIDE:
        if not _names(keys, key) or key == other:
            continue
        held = asked.settings.settled(other)
        if held not in values.split() if values else not held:
            return Idle(key, _other(other, held, values.split()), (other,))
    return None


def _names(keys: str, key: str) -> bool:
    return key in keys.split() or f"{key.partition('.')[0]}.*" in keys.split()


def _other(key: str, held: Any, wanted: list[str]) -> str:
    """Say what stands in the way: the value of another setting."""
    if held is None:
        return f"{key} is not given"
    written = str(held).lower() if isinstance(held, bool) else f"{held:g}" if isinstance(held, float) else held
    return f"{key} is {written}" + (f", and not {' or '.join(wanted)}" if wanted else "")
