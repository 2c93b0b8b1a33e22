"""What an objective compares with, made anew for every octave: features of a guide, of a style, of the canvas itself.

A guide keeps its own size on the finest octave and shrinks with the others, so that a form in it stays as large beside
the forms of the frame as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from renderer.dreaming.ascent.octaves import pad_to, resize
from renderer.dreaming.evaluator import Sight
from renderer.dreaming.objectives.channel_weights import Drift
from renderer.dreaming.objectives.objective import Aim, Objective, as_map
from renderer.dreaming.objectives.objective_terms import FORMS, KINDS, Reference
from renderer.errors import BadInput, UsageError
from renderer.frame import Frame, Size

Leader = Callable[[float], Frame | None]
"""From seconds since the start of the film to the picture `(H, W, 3)` that leads the dream then; None for none."""


@dataclass(frozen=True, kw_only=True)
class Leaders:
    """What leads a dream beside the canvas; None where there is nothing.

    Attributes:
        guide: its features are sought.
        style: its textures are taken up.
    """

    guide: Leader | None = None
    style: Leader | None = None

    def check(self, objectives: Iterable[Objective]) -> None:
        """Refuse leaders that objectives lack, or that none of them heeds.

        Raises:
            UsageError: with what to do.
        """
        terms = [term for objective in objectives for term in objective.terms]
        for name, setting in SETTINGS.items():
            given = getattr(self, name) is not None
            kinds = [kind for kind, entry in KINDS.items() if entry.reference and entry.reference.picture == name]
            used = list(dict.fromkeys(term.kind for term in terms if term.kind in kinds))
            if used and not given:
                needs = f"objectives {', '.join(used)} need" if len(used) > 1 else f"objective {used[0]!r} needs"
                raise UsageError(f"The {needs} a {name} picture; give one with {setting}.")
            if given and not used:
                raise UsageError(
                    f"A {name} is given with {setting}, and nothing heeds it; choose what does with --objective "
                    f"{kinds[0]}, or in the layer mix, like '{kinds[0]}@LAYER' (of {', '.join(kinds)})."
                )


SETTINGS = {"guide": "--guide (guide.picture)", "style": "--style (guide.style)"}
"""Leader -> how a user names it."""


class Aims:
    """Says what an objective heeds on an octave: its weights, its channels, and what it compares with.

    What a leader's picture has to give is kept per octave until the picture changes.

    Args:
        objective: whose.
        sight: looks at the pictures.
        drift: how the channels' weights drift.
        leaders: pictures over time.
        smallest: shortest side, pixels, that the network can take.

    Raises:
        UsageError: a leader that the objective lacks.
    """

    def __init__(
        self,
        objective: Objective,
        sight: Sight,
        *,
        drift: Drift | None = None,
        leaders: Leaders | None = None,
        smallest: int = 1,
    ) -> None:
        self._objective, self._sight, self._smallest = objective, sight, smallest
        self._drift, self._leaders = drift or Drift(), leaders or Leaders()
        self._wanted: dict[str, tuple[Reference, str]] = {
            term.reference: (kept, term.layer)
            for term in objective.terms
            if (kept := KINDS[term.kind].reference) is not None and term.reference is not None
        }
        self._looks = "canvas" in objective.pictures or objective.ranked
        self._look = sight.look
        if sight.in_graph:
            self._look = tf.function(sight.look, input_signature=[tf.TensorSpec((None, None, 3), tf.float32)])
        self._kept: dict[tuple[str, Size], tuple[Frame, dict[str, tf.Tensor]]] = {}

    def __call__(self, canvas: Frame, *, seconds: float = 0.0, scale: float = 1.0) -> Aim:
        """Say what to heed.

        Args:
            canvas: `(H, W, 3)` of this octave, before it is dreamed on.
            seconds: since the start of the film.
            scale: side of this octave as a part of the frame's.

        Raises:
            BadInput: a leader's picture is too small for the network.
            UsageError: there is none at this time.
        """
        channels = self._sight.channels
        emphasis = {layer: self._drift.weights(layer, channels[layer], seconds) for layer in self._objective.layers}
        references: dict[str, tf.Tensor] = {}
        activity = None
        if self._looks:
            seen = self._maps(canvas)
            references |= self._made("canvas", seen)
            if self._objective.ranked:
                activity = {layer: tf.reduce_mean(features, (0, 1, 2)).numpy() for layer, features in seen.items()}
        for name in sorted(self._objective.pictures - {"canvas"}):
            references |= self._led_by(name, Size.of(canvas), seconds, scale)
        return self._objective.aim(
            channels, seconds=seconds, emphasis=emphasis, activity=activity, references=references
        )

    def _led_by(self, name: str, size: Size, seconds: float, scale: float) -> dict[str, tf.Tensor]:
        leader: Leader | None = getattr(self._leaders, name)
        picture = None if leader is None else leader(seconds)
        if picture is None:
            raise UsageError(f"There is no {name} picture at {seconds:g} s; give one with {SETTINGS[name]}.")
        held, kept = self._kept.get((name, size), (None, {}))
        if held is not picture:
            kept = self._features(name, picture, size, scale)
            self._kept[name, size] = picture, kept
        return kept

    def _features(self, name: str, picture: Frame, size: Size, scale: float) -> dict[str, tf.Tensor]:
        """Look at a leader's picture, scaled, or, for what compares place by place, brought to the canvas's size."""
        own = Size.of(picture)
        if min(own) < self._smallest:
            raise BadInput(
                f"The {name} picture is {own}: too small for this network, which needs {self._smallest} pixels on the "
                "shorter side."
            )
        made: dict[str, tf.Tensor] = {}
        forms = {kept.form == "map" for kept, _ in self._wanted.values() if kept.picture == name}
        for placed in forms:
            shown = covering(picture, size) if placed else _scaled(picture, scale, self._smallest)
            seen = self._maps(pad_to(shown, self._smallest))
            found = self._made(name, seen)
            made |= {key: value for key, value in found.items() if (self._wanted[key][0].form == "map") == placed}
        return made

    def _maps(self, picture: Frame) -> dict[str, tf.Tensor]:
        seen = self._look(tf.constant(np.ascontiguousarray(picture)))
        return {layer: as_map(features) for layer, features in seen.items()}

    def _made(self, name: str, seen: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {
            key: FORMS[kept.form].make(seen[layer])
            for key, (kept, layer) in self._wanted.items()
            if kept.picture == name
        }


def covering(picture: Frame, size: Size) -> Frame:
    """Bring a picture to a size: scaled until it covers it, and cropped in the middle."""
    own = Size.of(picture)
    scale = max(size.width / own.width, size.height / own.height)
    shown = Size(max(size.width, round(own.width * scale)), max(size.height, round(own.height * scale)))
    left, top = (shown.width - size.width) // 2, (shown.height - size.height) // 2
    return resize(picture, shown)[top : top + size.height, left : left + size.width]


def _scaled(picture: Frame, scale: float, smallest: int) -> Frame:
    """Scale a picture, not below what the network can take."""
    own = Size.of(picture)
    scale = min(1.0, max(scale, smallest / min(own)))
    return resize(picture, Size(max(1, round(own.width * scale)), max(1, round(own.height * scale))))
