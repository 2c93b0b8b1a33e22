"""How a user writes an objective: a mix of entries with weights.

parts                       a layer, by the objective that was chosen
parts:12                    one channel of it
parts:12..20|31             several channels of it: 12 to 20, and 31
parts:strongest8            the 8 channels that answer most to the canvas; so weakest8, average8, ignore8
parts:12(0.5,0.5)           at one place of the frame alone: parts of it from its left and top
style@parts                 a layer, by an objective of its own
square@picture              the picture itself, as if it were a layer of three channels
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from renderer.dreaming.networks.classes import ranges
from renderer.dreaming.networks.network import Network
from renderer.dreaming.objectives.channel_weights import CHANNEL_CHOICES, ChannelChoice
from renderer.dreaming.objectives.objective import Objective, Term, times
from renderer.dreaming.objectives.objective_terms import OBJECTIVES
from renderer.errors import UsageError, nearest
from renderer.setting_types import mixes_of
from renderer.time_value import Value, value_at

if TYPE_CHECKING:
    from renderer.dreaming.settings import ObjectiveSettings

Mix = Mapping[str, Value]
"""Entry -> weight, which may change over time; a negative one pushes down."""

SEVERAL = re.compile(r"\d{1,9}(\.\.\d{1,9})?(\|\d{1,9}(\.\.\d{1,9})?)*", re.ASCII)
MOST_CHANNELS = 100_000
"""Channels of one range."""

ENTRY = re.compile(
    r"(?:(?P<kind>[^@:()]*)@)?(?P<layer>[^@:()]+)(?P<colon>:(?P<which>[^@:()]*))?(?P<spot>\((?P<place>[^@:()]*)\))?"
)


def parse_mix(mix: Mix, *, kind: str) -> Objective:
    """Build an objective from a mix.

    Args:
        mix: entries as above.
        kind: key of `objective_terms.OBJECTIVES`, for the entries that name none.

    Raises:
        UsageError: an unknown kind, an entry of another form, no layer at all, or a weight that is not finite.
    """
    _check_kind(kind)
    if not any(mix.values()):
        raise UsageError("The layer mix is empty or all its weights are 0; name a layer, like --layers parts.")
    return Objective(tuple(_term(entry, weight, kind) for entry, weight in mix.items()))


def added(mixes: Sequence[Mix]) -> dict[str, Value]:
    """Add mixes up: an entry that several have gets the sum of its weights."""
    total: dict[str, Value] = {}
    for mix in mixes:
        for entry, weight in mix.items():
            total[entry] = _sum(total[entry], weight) if entry in total else weight
    return total


def mixes_of_octaves(
    network: Network, settings: ObjectiveSettings, now: Callable[[str], Any], *, loop_seconds: float | None = None
) -> list[Mix]:
    """Put together what is dreamed on: one mix for each octave, coarse to fine, the last one for the rest.

    Args:
        network: that gives its own mix where nothing else is asked for, and has the classes.
        settings: layers, classes, and layers that take turns.
        now: name of a setting -> its value, which may change over time.
        loop_seconds: length of a loop; None for a film that is none.

    Raises:
        UsageError: settings that contradict each other, or a class that the network lacks.
    """
    if settings.cycle and settings.octave_layers:
        raise UsageError(
            "dream.cycle and dream.octave_layers both say which layers to dream; give one of them, or weights over "
            "time in dream.layers."
        )
    everywhere = [now("layers"), class_mix(network, now("of"))]
    if settings.cycle:
        turns = mixes_of(settings.cycle)
        seconds, fade = settings.cycle_seconds, settings.cycle_fade
        everywhere.append(cycled(turns, seconds=seconds, fade=fade, loop_seconds=loop_seconds))
    shared = added(everywhere)
    if settings.octave_layers:
        return [added([shared, mix]) for mix in mixes_of(settings.octave_layers)]
    return [shared or network.spec.mix]


def cycled(mixes: Sequence[Mapping[str, float]], *, seconds: float, fade: float, loop_seconds: float | None) -> Mix:
    """Let mixes take turns (DeepDreamVideo's layer cycling, there a frame each).

    Args:
        mixes: in their order; after the last comes the first.
        seconds: that each of them reigns.
        fade: part of that time, 0 to 1, in which it goes over into the next; 0 changes at once.
        loop_seconds: length of a loop, in which the turns get a little longer or shorter, so that a whole number of
            rounds fits in; None for a film that is none.
    """
    if loop_seconds is not None:
        rounds = max(1, round(loop_seconds / (seconds * len(mixes))))
        seconds = loop_seconds / (rounds * len(mixes))

    def share(turn: int) -> Value:
        def at(time: float) -> float:
            # How far, in turns, the time is from the middle of this turn, the short way round.
            away = abs((time / seconds - turn - 0.5 + len(mixes) / 2) % len(mixes) - len(mixes) / 2)
            if fade <= 0:
                return float((time / seconds) % len(mixes) // 1 == turn)
            return min(1.0, max(0.0, 0.5 + (0.5 - away) / fade))

        return at

    return added([{entry: times(w, share(turn)) for entry, w in mix.items()} for turn, mix in enumerate(mixes)])


def class_mix(network: Network, of: Mapping[str, Value]) -> Mix:
    """Turn words with weights into entries of the network's head: of one class its score, of a group its likeliest.

    Args:
        network: with a head.
        of: word or number -> weight.

    Raises:
        UsageError: the network has no head, the head no such class, or two words name the same.
    """
    known: dict[tuple[int, ...], str] = {}
    mix: dict[str, Value] = {}
    for word, weight in of.items():
        numbers = network.class_numbers(word)
        if numbers in known:
            which = f"class {numbers[0]}" if len(numbers) == 1 else f"classes {ranges(numbers)}"
            raise UsageError(f"dream.of names the {which} twice, as {known[numbers]!r} and as {word!r}.")
        known[numbers] = word
        kind = "logit" if len(numbers) == 1 else "likeliest"
        mix[f"{kind}@{network.head}:{channels_text(numbers)}"] = weight
    return mix


def _term(entry: str, weight: Value, usual: str) -> Term:
    found = ENTRY.fullmatch(entry)
    if found is None:
        raise UsageError(
            f"In the layer mix, {entry!r} should be LAYER or LAYER:CHANNEL, like 'parts:12', with KIND@ before it if "
            "it has an objective of its own, like 'style@parts'."
        )
    kind = usual if found["kind"] is None else found["kind"]
    _check_kind(kind)
    if not callable(weight) and not math.isfinite(weight):
        raise UsageError(f"The weight of layer {entry!r} is {weight}; it must be a finite number.")
    channel, choice = _which(found["which"], entry) if found["colon"] else (None, None)
    place = _place(found["place"], entry) if found["spot"] else None
    return Term(kind, found["layer"], channel, weight, choice, place)


def _check_kind(kind: str) -> None:
    if kind not in OBJECTIVES:
        raise UsageError(f"There is no objective {kind!r}{nearest(kind, OBJECTIVES)}")


def _which(text: str, entry: str) -> tuple[int | tuple[int, ...] | None, ChannelChoice | None]:
    """Read what follows the colon: a channel, several, or a way to choose some."""
    if SEVERAL.fullmatch(text):
        return _several(text, entry), None
    word, number = re.fullmatch(r"(.*?)(\d{0,9})", text, re.DOTALL).groups()  # type: ignore[union-attr]
    if word in CHANNEL_CHOICES and number:
        return None, ChannelChoice(word, int(number))
    ways = ", ".join(f"{choice}8" for choice in CHANNEL_CHOICES)
    raise UsageError(
        f"In the layer mix, {entry!r} has {text!r} where a channel should be: a number, like 'parts:12', several, like "
        f"'parts:12..20|31', or one of {ways}, with any number."
    )


def _several(text: str, entry: str) -> int | tuple[int, ...]:
    """Read one channel, or channels and ranges of them."""
    found: set[int] = set()
    for part in text.split("|"):
        first, _, last = part.partition("..")
        if int(last or first) - int(first) not in range(MOST_CHANNELS):
            raise UsageError(f"In the layer mix, {entry!r} has the channels {part}, which are none, or too many.")
        found |= set(range(int(first), int(last or first) + 1))
    return tuple(sorted(found)) if len(found) > 1 else found.pop()


def channels_text(channels: Sequence[int]) -> str:
    """Write channels as an entry names them."""
    return ranges(channels, to="..", between="|")


def _place(text: str, entry: str) -> tuple[float, float]:
    try:
        across, down = (float(part) for part in text.split(","))
    except ValueError:
        across = down = math.nan
    if not (0 <= across <= 1 and 0 <= down <= 1):
        raise UsageError(
            f"In the layer mix, {entry!r} should have a place as parts of the frame from its left and top, each 0 to "
            "1, like 'parts:12(0.5,0.5)' for its middle."
        )
    return across, down


def _sum(one: Value, other: Value) -> Value:
    if callable(one) or callable(other):
        return lambda seconds: value_at(one, seconds) + value_at(other, seconds)
    return one + other
