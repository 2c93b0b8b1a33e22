"""What a classifier's scores stand for: names and groups of its classes, and the way from words to their numbers.

A word is looked up in this order: the name of a class, a group (`dog`: 118 classes), another name of a class (`puma`),
and the same for a plural. What else it could mean is told, never guessed: `meanings` lists it.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from renderer.errors import UsageError, nearest

NAMES_FILE = Path(__file__).parent / "imagenet.txt"
WORDS_FILE = Path(__file__).parent / "words.toml"

LONG = 4
"""Letters of a part of a word that is looked for anywhere in it; a shorter one must begin it."""

PLURALS = (("ies", "y"), ("ves", "f"), ("ves", "fe"), ("men", "man"), ("es", ""), ("s", ""), ("mice", "mouse"))
"""Endings of plurals, and of the words that they are plurals of."""


@dataclass(frozen=True)
class Meaning:
    """What a word stands for.

    Attributes:
        name: of the class or the group; of what is only called so, the word without blanks and capitals.
        numbers: of the classes, ascending.
        sort: "class" and "group" for those that the word is the name of, "other name" for what is called so as well.
    """

    name: str
    numbers: tuple[int, ...]
    sort: str

    def __str__(self) -> str:
        if len(self.numbers) > 3:
            return f"{len(self.numbers)} classes ({ranges(self.numbers)})"
        return " and ".join(f"{number} ({imagenet_names()[number]!r})" for number in self.numbers)


@dataclass(frozen=True)
class Words:
    """The table of words.

    Attributes:
        kinds: the coarsest groups; every class is in one of them.
        groups: all groups, the kinds first: name -> numbers of classes, ascending.
        other_names: of classes, by number, and of groups, by name.
    """

    kinds: tuple[str, ...]
    groups: Mapping[str, tuple[int, ...]]
    other_names: Mapping[int | str, tuple[str, ...]]

    @functools.cached_property
    def index(self) -> Mapping[str, list[Meaning]]:
        """Bare word -> what it means, in the order in which it is looked up; nothing twice."""
        found: dict[str, list[Meaning]] = {}

        def add(name: str, numbers: Iterable[int], sort: str) -> None:
            meaning, there = Meaning(name, tuple(sorted(set(numbers))), sort), found.setdefault(_bare(name), [])
            if meaning.numbers not in [one.numbers for one in there]:
                there.append(meaning)

        for number, name in enumerate(imagenet_names()):
            add(name, [number], "class")
        for name, numbers in self.groups.items():
            add(name, numbers, "group")
        # One word for classes of one kind (corgi) is for all of them; for two kinds of thing it is two words (boa).
        called: dict[tuple[str, str], list[int]] = {}
        for key, names in self.other_names.items():
            for name in names:
                kind = self.kind(key) if isinstance(key, int) else key
                called.setdefault((_bare(name), kind), []).extend([key] if isinstance(key, int) else self.groups[key])
        for (bare, _), several in called.items():
            add(bare, several, "other name")
        return found

    def kind(self, number: int) -> str:
        """Name the kind of a class."""
        return next(kind for kind in self.kinds if number in self.groups[kind])

    def groups_of(self, number: int) -> list[str]:
        """Name the groups that a class is in, the smallest first."""
        inside = [name for name, numbers in self.groups.items() if number in numbers]
        return sorted(inside, key=lambda name: len(self.groups[name]))

    def all(self) -> set[str]:
        """Return every word, as it is written in the tables."""
        return {*imagenet_names(), *self.groups, *(name for names in self.other_names.values() for name in names)}


@functools.cache
def imagenet_names() -> tuple[str, ...]:
    """Return the names of the 1,000 ImageNet classes, in the order of every network that was trained on them."""
    lines = NAMES_FILE.read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


@functools.cache
def words() -> Words:
    """Read the table of words for ImageNet's classes."""
    table = tomllib.loads(WORDS_FILE.read_text(encoding="utf-8"))
    groups: dict[str, tuple[int, ...]] = {}
    for name, members in {**table["kinds"], **table["groups"]}.items():
        listed = (number for member in members.split(",") for number in _members(member.strip(), groups))
        groups[name] = tuple(sorted(set(listed)))
    names = {
        int(key) if key.isdecimal() else key: tuple(name.strip() for name in listed.split(","))
        for key, listed in table["names"].items()
    }
    return Words(tuple(table["kinds"]), groups, names)


def _members(member: str, groups: Mapping[str, tuple[int, ...]]) -> Sequence[int]:
    if found := re.fullmatch(r"(\d+)(?:-(\d+))?", member):
        return range(int(found[1]), int(found[2] or found[1]) + 1)
    return groups[member] if member in groups else (imagenet_names().index(member),)


def ranges(numbers: Sequence[int], *, to: str = "-", between: str = ", ") -> str:
    """Write ascending numbers briefly: `281-285, 383`."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][-1] == number - 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return between.join(f"{part[0]}{to}{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)


def meanings(text: str) -> list[Meaning]:
    """List all that a word may mean, first what it is taken for; those of its singular where it means nothing itself.

    Two names that differ in nothing but case (Cardigan, cardigan) mean one thing each where they are written as there.
    """
    written, index = text.strip().replace("_", " "), words().index
    for word in (written, *_singulars(written)):
        if found := index.get(_bare(word)):
            return sorted(found, key=lambda meaning: meaning.sort != "class" or meaning.name != word)
    return []


def class_numbers(which: str | int, *, names: Sequence[str], count: int) -> tuple[int, ...]:
    """Find the classes that a number or a word names; case, blanks, hyphens and underscores in words do not matter.

    Args:
        which: 0 to `count - 1`, also as text, or a word.
        names: of the classes in order, those of ImageNet; empty where they have none.
        count: how many classes there are.

    Returns:
        Their numbers, from 0, ascending.

    Raises:
        UsageError: a number out of range, a word that names no class, with the nearest ones, or that names two things.
    """
    text = str(which).strip()
    if text.removeprefix("-").isdecimal():
        number = int(text)
        if not 0 <= number < count:
            raise UsageError(f"There is no class {number}: this network's classes have the numbers 0 to {count - 1}.")
        return (number,)
    if not names:
        raise UsageError(
            f"There is no class {text!r}: this network's classes have no names, only the numbers 0 to {count - 1}."
        )
    check_word(text)
    return meanings(text)[0].numbers


def check_word(text: str) -> None:
    """Refuse a word that names no class of ImageNet's, or two things of which neither is called just so; take a number.

    Raises:
        UsageError: with the nearest words, or with what it may mean.
    """
    text = text.strip()
    if text.removeprefix("-").isdecimal():
        return
    found = meanings(text)
    if not found:
        near = nearest(text[:100].replace("_", " "), words().all()) if _bare(text) else ""
        hint = near if "did you mean" in near else "; `dreamreel words` lists what there is."
        raise UsageError(f"There is no class {text[:100]!r}{hint}")
    alike = [meaning for meaning in found if meaning.sort == found[0].sort]
    just_so = found[0].sort == "class" and found[0].name == text.replace("_", " ")
    if len(alike) > 1 and not just_so:
        raise UsageError(f"The class {text!r} may be {' or '.join(map(str, alike))}; give its number.")


def find_words(term: str) -> tuple[list[str], list[int]]:
    """Find the groups and classes whose names have a part in common with a term.

    Args:
        term: a number, a word, or a part of one; of a group, its classes are found too.

    Returns:
        Names of groups, and numbers of classes, ascending.
    """
    table, text = words(), term.strip()
    if text.isdecimal():
        return [], [int(text)] if int(text) < len(imagenet_names()) else []
    parts = {_bare(text), *map(_bare, _singulars(text))} - {""}

    def fits(*names: str) -> bool:
        for name in names:
            begins = (_bare(name[start.start() :]) for start in re.finditer(r"\w+", name))
            if any(
                begin.startswith(part) or (len(part) >= LONG and part in begin) for begin in begins for part in parts
            ):
                return True
        return False

    groups = [name for name in table.groups if fits(name, *table.other_names.get(name, ()))]
    meant = {number for meaning in meanings(text) for number in meaning.numbers}
    named = (n for n, name in enumerate(imagenet_names()) if fits(name, *table.other_names.get(n, ())))
    return groups, sorted({*meant, *named})


def notes_of(given: Iterable[str]) -> Iterator[str]:
    """Tell of words that could mean something else too, one sentence each."""
    for text in given:
        found = [] if text.strip().removeprefix("-").isdecimal() else meanings(text)
        others = [other for other in found[1:] if set(other.numbers) - set(found[0].numbers)]
        if others:
            listed = " and ".join(map(str, others))
            yield f"{text!r} is taken for {found[0]}; what is called so too, {listed}, is dreamed of by number."


def _singulars(word: str) -> Iterator[str]:
    for ending, singular in PLURALS:
        if word.casefold().endswith(ending) and len(word) >= len(ending):
            yield word[: -len(ending)] + singular


def _bare(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())
