"""Names made from patterns, `{stem}-{preset}-{seed}`, filled with what a film is; and files found by globs."""

from __future__ import annotations

import glob
import os
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from renderer.errors import BadInput, UsageError
from renderer.files import is_clutter

LONGEST = 60
"""Characters that one value may add to a name."""


def places_of(pattern: str) -> set[str]:
    """Return the names of the places in a pattern.

    Raises:
        UsageError: braces that do not match, or a format that is more than a width like {index:03}.
    """
    found = set()
    try:
        for _, place, form, conversion in string.Formatter().parse(pattern):
            if place is not None:
                if conversion or not re.fullmatch(r"(0?\d{1,2})?", form or ""):
                    raise UsageError(f"{{{place}}} takes nothing but a width, like {{index:03}}")
                found.add(place)
    except ValueError as error:
        raise UsageError(f"its braces do not match ({error}); write {{{{ for a brace that is meant") from None
    return found


def fill(pattern: str, values: Mapping[str, Any]) -> str:
    """Fill the places of a pattern.

    Args:
        pattern: text with places like `{name}`, or `{index:03}` for a number with leading zeros.
        values: by the names of places, dotted ones too.

    Raises:
        KeyError: a place without a value.
        UsageError: as `places_of`.
    """
    places_of(pattern)
    parts = []
    for text, place, form, _ in string.Formatter().parse(pattern):
        parts.append(text)
        if place is not None:
            value = values[place]
            whole = isinstance(value, int) and not isinstance(value, bool)
            # The stem of a file is a good part of a file's name as it is, and so is a name that was given.
            as_it_is = place in ("stem", "name")
            parts.append(format(value, form) if form and whole else str(value) if as_it_is else plain(value))
    return "".join(parts)


def literal(text: str) -> str:
    """Return the pattern that stands for a text as it is."""
    return text.replace("{", "{{").replace("}", "}}")


def plain(value: Any) -> str:
    """Write a setting as part of a file's name: 2, 1.5, 640x360, parts-1+objects-0.5, none."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:.10g}"
    if isinstance(value, Mapping):
        value = "+".join(f"{key}-{plain(inner)}" for key, inner in value.items())
    elif isinstance(value, list | tuple):
        value = ",".join(map(plain, value))
    return re.sub(r"[^\w.,+=-]+", "_", str(value)).strip("_")[:LONGEST] or "_"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a film begins with: a path, None for noise; whether a glob found it; or why there is none."""

    path: Path | None = None
    matched: bool = False
    error: BadInput | None = None

    @property
    def stem(self) -> str:
        """What it is called in names."""
        return "noise" if self.path is None else self.path.stem


def find_inputs(asked: str | list[str] | None, folder: Path) -> list[Found]:
    """Find the files that are asked for.

    Args:
        asked: a path or a glob (`**` too), or a list of them; None for noise. A path that exists is that file,
            whatever characters its name has.
        folder: where they are meant from.

    Returns:
        In the order asked for, those of a glob by name; a glob without a match is one entry with an error.
    """
    if asked is None:
        return [Found()]
    found: list[Found] = []
    for text in [asked] if isinstance(asked, str) else asked:
        own = Path(text).expanduser()
        if not glob.has_magic(text) or os.path.lexists(folder / own):
            found.append(Found(path=folder / own))
            continue
        pattern = str(Path(glob.escape(str(folder))) / own)
        named = map(Path, glob.glob(pattern, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
        matches = sorted(path for path in named if own.name.startswith(".") or not is_clutter(path.name))
        found += [Found(path=match, matched=True) for match in matches]
        if not matches:
            found.append(Found(matched=True, error=BadInput(f"No file matches {text!r} in {folder}.")))
    return found
