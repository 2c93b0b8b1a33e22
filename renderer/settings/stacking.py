"""Settings put on top of each other: defaults, presets, `--set` and flags, each with where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from renderer.errors import UsageError
from renderer.settings.document import from_value
from renderer.settings.schema import OLD_NAMES, check_key, current_name

MIXES = ("dream.layers", "dream.of")
"""Settings that are tables of weights, of which `--set` can add one: `dream.layers.parts=0.5`."""

EITHER: dict[str, tuple[str, ...]] = {
    "film.seconds": ("film.frames",),
    "film.frames": ("film.seconds",),
    "dream.octave_sizes": ("dream.octaves", "dream.octave_ratio"),
    "dream.octaves": ("dream.octave_sizes",),
    "dream.octave_ratio": ("dream.octave_sizes",),
    **{old: (new,) for old, new in OLD_NAMES.items()},
}
"""Ways of saying one thing: whichever is said last takes the others back."""


class Stack:
    """Values on top of each other, each with where it came from; old names are taken for the new ones, with a note."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values, self.origins, self.places = values, dict[str, str](), dict[str, str]()
        self.notes: list[str] = []

    def put(self, key: str, value: Any, *, origin: str, places: Mapping[str, str] | None = None) -> None:
        if (new := current_name(key)) != key:
            self.notes.append(f"{(places or {}).get(key, origin)}: {key} is called {new} now; it is taken for that.")
            places = {new + place.removeprefix(key): where for place, where in (places or {}).items()}
            key = new
        for old in (key, *EITHER.get(key, ())):
            self.values.pop(old, None)
            self.origins.pop(old, None)
            self.places = {k: v for k, v in self.places.items() if k != old and not k.startswith(f"{old}.")}
        self.values[key], self.origins[key] = value, origin
        self.places |= {key: origin, **(places or {})}


def check_once(chosen: Mapping[str, str]) -> None:
    """Refuse two ways of saying one thing, of which only the later would count.

    Args:
        chosen: dotted name -> the flag it was given by, or "--set".
    """
    for key in chosen:
        if (other := next((one for one in EITHER.get(key, ()) if one in chosen), None)) is not None:
            names = [f"--set {k}" if chosen[k] == "--set" else chosen[k] for k in (key, other)]
            raise UsageError(f"{' and '.join(names)} say the same thing; give one of them.")


def parse_set(text: str, values: Mapping[str, Any]) -> tuple[str, Any]:
    """Read what `--set` takes: a setting by its dotted name, or one entry of those of `MIXES`, and its value.

    Args:
        text: `KEY=VALUE`.
        values: what is there by now, to which an entry is added.

    Raises:
        UsageError: another form, or no such setting.
    """
    key, equals, written = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise UsageError(f"--set takes KEY=VALUE, like camera.zoom=2, not {text[:100]!r}.")
    value = from_value(written)
    for table in MIXES:
        if key.startswith(f"{table}."):
            mix = values.get(table, {})
            return table, {**(mix if isinstance(mix, Mapping) else {}), key.removeprefix(f"{table}."): value}
    check_key(key, origin="--set")
    return key, value
