"""What a classifier's scores stand for: the names of its classes, and the way from what a user writes to a number."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from renderer.errors import UsageError, nearest

NAMES_FILE = Path(__file__).parent / "imagenet.txt"


@functools.cache
def imagenet_names() -> tuple[str, ...]:
    """Return the names of the 1,000 ImageNet classes, in the order of every network that was trained on them."""
    lines = NAMES_FILE.read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def class_number(which: str | int, *, names: Sequence[str], count: int) -> int:
    """Find a class by number or by name; case, blanks, hyphens and underscores in names do not matter.

    Args:
        which: 0 to `count - 1`, also as text, or a name.
        names: of the classes in order; empty where they have none.
        count: how many classes there are.

    Returns:
        Its number, from 0.

    Raises:
        UsageError: a number out of range, a name that no class has, with the nearest ones, or one that two have.
    """
    text = str(which).strip()
    if text.removeprefix("-").isdecimal():
        number = int(text)
        if not 0 <= number < count:
            raise UsageError(f"There is no class {number}: this network's classes have the numbers 0 to {count - 1}.")
        return number
    if not names:
        raise UsageError(
            f"There is no class {text!r}: this network's classes have no names, only the numbers 0 to {count - 1}."
        )
    written = text.replace("_", " ")
    if written in names:
        return names.index(written)
    found = [number for number, name in enumerate(names) if _bare(name) == _bare(text)]
    if len(found) > 1:
        listed = " or ".join(f"{number} ({names[number]!r})" for number in found)
        raise UsageError(f"The class {text!r} may be {listed}; give its number.")
    if not found:
        near = nearest(written, names)
        raise UsageError(f"There is no class {text!r}{near if 'did you mean' in near else '.'}")
    return found[0]


def _bare(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())
