"""Names made from patterns, `{stem}-{preset}-{seed}`, filled with what a film is; and files found by globs."""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import os
import re
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from renderer.errors import BadInput, UsageError
from renderer.files import expanded, is_clutter

LONGEST = 60
"""Characters that one value may add to a name."""

MOST_LOOKED, DEEPEST = 300_000, 200
"""Files that the globs of one jobs file may look at, and how many folders `**` goes down from the root."""


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
class FoundInput:
    """What a film begins with: a path, None for noise; whether a glob found it; or why there is none."""

    path: Path | None = None
    matched: bool = False
    error: BadInput | None = None

    @property
    def stem(self) -> str:
        """What it is called in names."""
        return "noise" if self.path is None else self.path.stem


class InputSearch:
    """Finds the inputs of one jobs file, and looks at no more than `MOST_LOOKED` files for all of them."""

    def __init__(self) -> None:
        self._looked = 0

    def find(self, asked: Sequence[str], folder: Path) -> list[FoundInput]:
        """Find the files that are asked for.

        Args:
            asked: paths or globs (`**` too); none for noise. A path that exists is that file, whatever characters its
                name has.
            folder: where they are meant from.

        Returns:
            In the order asked for, those of a glob by name; a glob without a match is one entry with an error.

        Raises:
            UsageError: a glob over too many files.
        """
        if not asked:
            return [FoundInput()]
        found: list[FoundInput] = []
        for text in asked:
            place = folder / expanded(text)
            if not glob.has_magic(text) or os.path.lexists(place):
                found.append(FoundInput(path=place))
                continue
            own = expanded(text)
            start, parts = (own.anchor, own.parts[1:]) if own.is_absolute() else (str(folder), own.parts)
            named = {Path(match) for match in self._below(start, parts, text)}
            matches = sorted(path for path in named if own.name.startswith(".") or not is_clutter(path.name))
            found += [FoundInput(path=match, matched=True) for match in matches]
            if not matches:
                found.append(FoundInput(matched=True, error=BadInput(f"No file matches {text!r} in {folder}.")))
        return found

    def _below(self, folder: str, parts: Sequence[str], asked: str) -> Iterator[str]:
        """Give what lies in a folder and matches the parts of a glob, as `glob.glob` does; `**` follows no link."""
        if not parts:
            yield from [folder] if os.path.lexists(folder) else []
            return
        first, rest = parts[0], parts[1:]
        if first == "**":
            yield from self._below(folder, rest, asked)
            deep = folder.count(os.sep) < DEEPEST
            for entry in self._entries(folder, asked) if deep else ():
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                    yield from self._below(entry.path, parts, asked)
                elif not rest and not entry.name.startswith("."):
                    yield entry.path
        elif not glob.has_magic(first):
            yield from self._below(str(Path(folder) / first), rest, asked)
        else:
            for entry in self._entries(folder, asked):
                hidden = entry.name.startswith(".") and not first.startswith(".")
                if not hidden and fnmatch.fnmatch(entry.name, first):
                    yield from self._below(entry.path, rest, asked)

    def _entries(self, folder: str, asked: str) -> Iterator[os.DirEntry[str]]:
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                self._looked += 1
                if self._looked > MOST_LOOKED:
                    raise UsageError(
                        f"{asked!r} looks through more than {MOST_LOOKED:,} files; begin it in a folder further inside."
                    )
                yield entry
