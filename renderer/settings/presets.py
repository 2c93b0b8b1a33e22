"""Named looks: partial settings in TOML files, stacked with flags into the settings of a film.

A preset comes from a file, the user's folder or Dreamreel's own, in this order; the first comment of the file says
what it looks like, `extends = "NAME"` (or a list) names what it builds on, `for = ["zoom"]` the commands that it is
meant for. Presets are data: they run no code.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import platformdirs

from renderer.dreaming.networks.classes import notes_of
from renderer.dreaming.networks.registry import is_model_file
from renderer.errors import UsageError, nearest
from renderer.files import expanded
from renderer.settings.document import Document
from renderer.settings.kinds import KINDS
from renderer.settings.rules import Asked, why_idle
from renderer.settings.schema import (
    FILES,
    OLD_NAMES,
    Settings,
    build,
    current_name,
    is_setting,
    keys,
    unknown,
)
from renderer.settings.stacking import Stack, check_once, parse_set

MAX_DEPTH, MAX_READ = 16, 100
"""Longest chain of `extends`, and how many presets are read for one, or stacked for a film."""

MAX_WRONG = 20
"""How many unknown names of one file are told."""

COMMANDS = tuple(KINDS)
"""What a preset can be meant for."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A preset as it stands, with what it extends merged in.

    Attributes:
        name: as it was asked for.
        path: its file.
        about: its first comment, on one line.
        commands: those of `COMMANDS` that it is meant for; empty for all.
        values: dotted name -> value.
        origins: dotted name -> the preset or file that set it.
        own: names that it says itself, and not one of those that it extends.
        notes: what the user should know of how it is written.
        places: dotted name, also of a part of a value -> file and line, as the beginning of an error.
    """

    name: str
    path: Path
    about: str
    commands: tuple[str, ...]
    values: Mapping[str, Any]
    origins: Mapping[str, str]
    places: Mapping[str, str]
    own: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """Settings, and where each value came from.

    Attributes:
        settings: all of them.
        origins: dotted name -> "default", a preset, a film, "--set", or a flag.
        places: the same for errors, with file and line; not of defaults.
        presets: their names.
        commands: those that the last preset which says so is meant for; empty for all.
        notes: what the user should know.
        chosen: the names that were said for this film alone, and not by a preset or for all films of a jobs file.
    """

    settings: Settings
    origins: Mapping[str, str]
    places: Mapping[str, str] = field(default_factory=dict)
    presets: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    chosen: frozenset[str] = frozenset()


def builtin_folder() -> Path:
    """Return the folder of Dreamreel's own presets: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "presets"
    return installed if installed.is_dir() else package.parent / "presets"


def user_folder() -> Path:
    """Return the folder of the user's presets; it need not exist."""
    return platformdirs.user_config_path("dreamreel") / "presets"


def preset_files() -> dict[str, Path]:
    """List the presets that can be named, name -> file; the user's hide Dreamreel's of the same name."""
    found: dict[str, Path] = {}
    for folder in (builtin_folder(), user_folder()):
        if folder.is_dir():
            found |= {path.stem: path for path in sorted(folder.glob("*.toml"))}
    return dict(sorted(found.items()))


def load_preset(name: str) -> Preset:
    """Read a preset and all that it extends.

    Args:
        name: of a known preset, or a path that ends in .toml or has a folder in it.

    Raises:
        UsageError: unknown, in circles, or with a setting that does not exist.
        BadInput: a file that cannot be read as TOML.
    """
    problems: list[str] = []
    preset = read_preset(name, problems=problems)
    if problems:
        raise UsageError(problems[0] + (f" ({len(problems) - 1} more problems.)" if len(problems) > 1 else ""))
    return preset


def read_preset(
    name: str,
    *,
    problems: list[str],
    folder: Path = Path(),
    above: tuple[Path, ...] = (),
    count: Iterator[int] | None = None,
) -> Preset:
    """Read a preset as `load_preset` does, leaving out what is wrong with single lines of it.

    Args:
        name: see `load_preset`.
        problems: gets a sentence for each.
        folder: where a path is meant from.
        above: files that extend it.
        count: of the presets that were read for the first of these.

    Raises:
        UsageError, BadInput: there is nothing to read.
    """
    path = _find(name, folder=folder, above=above)
    if path in above or len(above) >= MAX_DEPTH:
        chain = " -> ".join(p.stem for p in (*above, path))
        raise UsageError(f"The presets extend each other in circles, or too deeply: {chain}.")
    count = itertools.count(1) if count is None else count
    if next(count) > MAX_READ:
        raise UsageError(f"{(*above, path)[0]} extends more than {MAX_READ} presets, one through another; name fewer.")
    document = Document.read(path, what="preset")
    table, stack, commands = dict(document.table), Stack({}), list[str]()
    for base_name in _names(table, "extends", document, problems):
        base = read_preset(base_name, problems=problems, folder=path.parent, above=(*above, path), count=count)
        _put_all(stack, base)
        commands = list(base.commands) or commands
    commands = _names(table, "for", document, problems, known=COMMANDS) or commands
    flat, wrong = _by_name(table, folder=path.parent)
    problems += [f"{document.place(key)}: {sentence}" for key, sentence in wrong]
    for key, value in flat.items():
        inner = {k: document.place(k) for k in document.lines if k == key or k.startswith(f"{key}.")}
        stack.put(key, value, origin=f"preset {path.stem!r}", places=inner)
    return Preset(
        name=name,
        path=path,
        about=_about(document.text),
        commands=tuple(commands),
        values=stack.values,
        origins=stack.origins,
        places=stack.places,
        own=frozenset(map(current_name, flat)),
        notes=tuple(stack.notes),
    )


def check_command(name: str) -> str:
    """Return the name of a command that presets can be meant for.

    Raises:
        UsageError: it is another.
    """
    if name not in COMMANDS:
        raise UsageError(f"Presets are for zoom, video or still, not for {name[:100]!r}{nearest(name[:100], COMMANDS)}")
    return name


def resolve(
    *,
    presets: Sequence[str | Preset] = (),
    sets: Sequence[str] = (),
    flags: Mapping[str, tuple[str, Any]] | None = None,
    defaults: Mapping[str, Any] | None = None,
    command: str | None = None,
    inputs: Collection[str] | None = None,
    table: Collection[str] | None = None,
) -> Resolved:
    """Stack defaults, presets, `--set` and flags; each overrides what comes before it.

    Args:
        presets: names, files or presets that were read, the last one wins.
        sets: `KEY=VALUE` with a dotted name; the value as TOML has it, or plain text.
        flags: dotted name -> the flag it was given by, and its value.
        defaults: dotted name -> what a command takes in place of a setting's own default.
        command: what it is for; presets that are meant for something else are told of in `notes`.
        inputs: where a command of `COMMANDS` is to be carried out, what it is given besides, see `rules.Asked`: a flag
            or `--set` that does nothing is then refused, and what does nothing in one of `presets` is noted.
        table: of a jobs file, the names that the film's own table sets; of `flags`, these are noted and not refused.

    Raises:
        UsageError, BadInput: a value, name or file that makes no sense.
    """
    if len(presets) > MAX_READ:
        raise UsageError(f"{len(presets)} presets are stacked; {MAX_READ} are the most.")
    stack, notes = Stack(dict(defaults or {})), list[str]()
    commands: tuple[str, ...] = ()
    read = [load_preset(given) if isinstance(given, str) else given for given in presets]
    for preset in read:
        _put_all(stack, preset)
        commands = preset.commands or commands
        if preset.commands and command in COMMANDS and command not in preset.commands:
            meant = " and ".join(preset.commands)
            notes.append(
                f"The preset {preset.name!r} is meant for {meant}, not for {command}; it is used all the same."
            )
    chosen: dict[str, str] = {}
    for text in sets:
        key, value = parse_set(text, stack.values)
        stack.put(key, value, origin="--set")
        chosen[key] = "--set"
    for key, (flag, value) in (flags or {}).items():
        stack.put(key, value, origin=flag)
        chosen[key] = flag
    check_once(chosen)
    chosen = {current_name(key): origin for key, origin in chosen.items()}
    notes += stack.notes
    settings = build(stack.values, origins=stack.places)
    notes += notes_of(settings.dream.of)
    if inputs is not None and command is not None:
        asked = Asked(settings=settings, kind=command, inputs=inputs, sized="film.size" in chosen)
        notes += _idle_in_presets(read, chosen, asked)
        notes += _idle_where_chosen(chosen, asked, None if table is None else list(map(current_name, table)))
    return Resolved(
        settings=settings,
        origins={key: stack.origins.get(key, "default") for key in keys()},
        places=stack.places,
        presets=tuple(preset.name for preset in read),
        commands=commands,
        notes=tuple(notes),
        chosen=frozenset(chosen if table is None else chosen.keys() & table),
    )


def _idle_where_chosen(chosen: Mapping[str, str], asked: Asked, table: Collection[str] | None) -> list[str]:
    """Refuse what a user chose and does nothing; of a jobs file return a note about each that its table sets."""
    sentences = [
        f"{chosen[key]}: {idle.sentence}"
        for key in (chosen if table is None else table)
        if key in chosen and (idle := why_idle(key, asked))
    ]
    if sentences and table is None:
        raise UsageError(sentences[0])
    return sentences


def _idle_in_presets(presets: Sequence[Preset], chosen: Collection[str], asked: Asked) -> Iterator[str]:
    """Tell, in a sentence a preset, what it says itself and what does nothing.

    Not what is for another kind of film that it is meant for as well, nor what is for another input, nor what something
    that was said later has put out of use.
    """
    later = set(chosen)
    for preset in reversed(presets):
        others = [kind for kind in preset.commands if kind != asked.kind]
        found: dict[str, list[str]] = {}
        for key in sorted(preset.own - later):
            idle = why_idle(key, asked)
            if idle is None or idle.needs or later.intersection(idle.reads):
                continue
            if not (idle.of_kind and any(why_idle(key, replace(asked, kind=kind)) is None for kind in others)):
                found.setdefault(idle.why, []).append(key)
        later |= preset.values.keys()
        if found:
            told = "; ".join(f"{', '.join(names)} ({why})" for why, names in found.items())
            yield f"What the preset {preset.name!r} says of these does nothing here: {told}."


def _put_all(stack: Stack, preset: Preset) -> None:
    stack.notes += preset.notes
    for key, value in preset.values.items():
        places = {k: v for k, v in preset.places.items() if k == key or k.startswith(f"{key}.")}
        stack.put(key, value, origin=preset.origins[key], places=places)


def _names(
    table: dict[str, Any], key: str, document: Document, problems: list[str], *, known: Sequence[str] = ()
) -> list[str]:
    """Take a name or a list of names out of a table."""
    value = table.pop(key, [])
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        problems.append(f"{document.place(key)}: {key} must be a name in quotes, or a list of names.")
        return []
    wrong = [name for name in names if known and name not in known]
    problems += [f"{document.place(key)}: {key} is {name[:100]!r}{nearest(name[:100], known)}" for name in wrong]
    return [name for name in names if name not in wrong]


def _find(name: str, *, folder: Path, above: tuple[Path, ...]) -> Path:
    if name.endswith(".toml") or "/" in name or "\\" in name:
        path = folder / expanded(name)
        if not os.path.lexists(path):
            raise UsageError(f"There is no preset file {str(path)!r}.")
        return Path(os.path.realpath(path))
    own = builtin_folder() / f"{name}.toml"
    files = preset_files()
    if name not in files:
        raise UsageError(f"There is no preset {name[:100]!r}{nearest(name[:100], files)}")
    path = files[name].resolve()
    # A user's preset may bear the name of the one it builds on.
    return own.resolve() if above and path == above[-1] and own.is_file() else path


def flat_settings(table: Mapping[str, Any], *, source: str, folder: Path) -> dict[str, Any]:
    """Name the settings in a table of TOML by group and field; what lies deeper belongs to the value.

    Args:
        table: groups with their settings, or dotted names.
        source: where it stands, for errors.
        folder: where a path in it is meant from.

    Raises:
        UsageError: there is no such setting.
    """
    flat, wrong = _by_name(table, folder=folder)
    if wrong:
        raise UsageError(f"{source}: {wrong[0][1]}")
    return flat


def _by_name(table: Mapping[str, Any], *, folder: Path) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Name the settings in a table; also tell the names that are none, each with a sentence."""
    groups = {key.partition(".")[0] for key in keys() if "." in key}
    flat: dict[str, Any] = {}
    wrong: list[tuple[str, str]] = []
    for name, value in table.items():
        if name in groups and isinstance(value, Mapping):
            flat |= {f"{name}.{inner}": inner_value for inner, inner_value in value.items()}
        elif name in groups:
            wrong.append((name, f"{name} is a group of settings: write [{name}] and its settings below."))
        else:
            flat[name] = value
    strange = [key for key in flat if not is_setting(key)]
    twice = [(old, new) for old, new in OLD_NAMES.items() if {old, new} <= flat.keys()]
    wrong += [(old, f"{old} is called {new} now, and both are given.") for old, new in twice]
    wrong += [(key, unknown(key)) for key in strange[:MAX_WRONG]]
    wrong += [(key, f"{len(strange) - MAX_WRONG} more names are no settings.") for key in strange[MAX_WRONG:][:1]]
    flat = {key: value for key, value in flat.items() if is_setting(key)}
    for key in FILES.values():
        if isinstance(held := flat.get(key), str):
            flat[key] = str(folder / expanded(held))
    if isinstance(network := flat.get("network.name"), str) and is_model_file(network):
        flat["network.name"] = str(folder / expanded(network))
    return flat, wrong


def _about(text: str) -> str:
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").strip())
    return " ".join(line for line in lines if line)
