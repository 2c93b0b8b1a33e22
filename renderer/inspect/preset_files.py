"""Presets as files of the user's: described, checked, and written from settings or from a film."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from renderer.dreaming.networks.registry import by_name, network_spec
from renderer.errors import DiskProblem, DreamreelError, UsageError, shown
from renderer.films.recipe import parse_recipe
from renderer.media.files import replacing
from renderer.media.recipe import read_recipe
from renderer.settings import presets
from renderer.settings.document import MAX_BYTES, to_value
from renderer.settings.kinds import KINDS
from renderer.settings.presets import Preset, Resolved, load_preset, read_preset
from renderer.settings.rules import Asked, why_idle
from renderer.settings.schema import FILES, build, examine, files_of, flatten


def describe(names: Iterable[str]) -> Iterator[tuple[str, str, tuple[str, ...], Path]]:
    """Give name, first comment, commands and file of presets; a broken one tells its problem in place of a comment."""
    files = presets.preset_files()
    for name in names:
        try:
            preset = load_preset(name)
            yield name, preset.about, preset.commands, preset.path
        except DreamreelError as error:
            yield name, str(error), (), files[name]


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What was found of a preset.

    Attributes:
        name: as it was asked for.
        path: its file, if there is one.
        settings: how many it has.
        problems: a sentence for each mistake.
        notes: the same of what does nothing, unless something that is stacked on it makes it count.
    """

    name: str
    path: Path | None = None
    settings: int = 0
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def check_preset(name: str) -> Checked:
    """Find everything that is wrong with a preset, or a file of one."""
    problems: list[str] = []
    try:
        preset = read_preset(name, problems=problems)
    except DreamreelError as error:
        return Checked(name=name, problems=(str(error),))
    settings, wrong = examine(preset.values, origins=preset.places)
    problems += wrong
    network = preset.values.get("network.name")
    if isinstance(network, str):
        try:
            network_spec(by_name(network, None)[0])
        except UsageError as error:
            problems.append(f"{preset.places['network.name']}: {error}")
    notes = preset.notes if settings is None else (*preset.notes, *_idle(preset))
    return Checked(name=name, path=preset.path, settings=len(preset.values), problems=tuple(problems), notes=notes)


def _idle(preset: Preset) -> Iterator[str]:
    """Tell what a preset says itself and what does nothing for any command that it is meant for."""
    kinds = preset.commands or presets.COMMANDS
    asked = [
        Asked(settings=build({**KINDS[kind].defaults, **preset.values}, origins=preset.places), kind=kind)
        for kind in kinds
    ]
    for key in sorted(preset.own):
        reasons = [why_idle(key, one) for one in asked]
        if (first := reasons[0]) is not None and not any(idle is None or idle.needs for idle in reasons):
            yield f"{preset.places[key]}: {key} does nothing by itself: {first.why}."


def look_of(film: Path) -> Preset:
    """Read what a film was made with as a preset, from the recipe inside it; what has its default value is left out.

    Length and size are left out too where the command takes them from what it is given, and codec and quality always.

    Raises:
        BadInput: there is no recipe in it.
    """
    recipe = parse_recipe(read_recipe(film), source=film)
    given = ("encode.",) if recipe.kind == "zoom" else ("encode.", "film.", "video.start", "video.end")
    usual = flatten(build(KINDS[recipe.kind].defaults))
    look = {key: value for key, value in flatten(recipe.settings).items() if value not in (usual[key], None)}
    look |= {FILES[name]: str(path.absolute()) for name, path in files_of(recipe.settings).items()}
    values = {key: value for key, value in look.items() if not key.startswith(given)}
    origins = dict.fromkeys(values, f"film {film.name!r}")
    return Preset(
        name=film.stem,
        path=film,
        about="",
        commands=(recipe.kind,),
        values=values,
        origins=origins,
        places=origins,
    )


def new_preset(name: str, resolved: Resolved, *, about: str = "", folder: Path | None = None) -> Path:
    """Write what differs from the defaults as a new preset.

    Args:
        name: letters, digits, - and _.
        resolved: the settings to keep.
        about: what it looks like, a line.
        folder: where; the user's folder if None.

    Returns:
        The file.

    Raises:
        UsageError: a name that cannot be, or is taken; a network that is not there.
        DiskProblem: the folder cannot be written.
    """
    if not name or not all(c.isalnum() or c in "-_" for c in name) or len(name) > 60:
        raise UsageError(f"A preset is named with letters, digits, - and _, at most 60, not {name[:100]!r}.")
    if len(about) > 500:
        raise UsageError(f"--about has {len(about)} characters; at most 500.")
    network_spec(by_name(resolved.settings.network.name, None)[0])
    path = (folder or presets.user_folder()) / f"{name}.toml"
    if os.path.lexists(path) or (folder is None and name in presets.preset_files()):
        raise UsageError(f"There is a preset {name!r} already: {presets.preset_files().get(name, path)}.")
    data = _as_bytes(to_toml(resolved, about=about or "What this looks like."))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, overwrite=False) as part:
            part.write_bytes(data)
    except OSError as error:
        raise DiskProblem(f"The preset {path} cannot be written: {error.strerror}.") from error
    return path


def _as_bytes(text: str) -> bytes:
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"A preset is text in UTF-8, and a name in it is not: {shown(text[max(0, error.start - 60) : error.end])}."
        ) from error
    if len(data) > MAX_BYTES:
        raise UsageError(f"These settings fill {len(data):,} bytes; a preset has at most {MAX_BYTES:,}.")
    return data


def to_toml(resolved: Resolved, *, about: str) -> str:
    """Write the settings that were given, and not left at their default, as a preset file."""
    lines = [f"# {shown(' '.join(about.split()))}"]
    if resolved.commands:
        lines += ["", f"for = {to_value(resolved.commands)}"]
    group = None
    for key, value in flatten(resolved.settings).items():
        if resolved.origins[key] == "default" or value is None:
            continue
        head, _, name = key.rpartition(".")
        if head != group:
            lines += ["", f"[{head}]"] if head else [""]
        group = head
        # A preset means paths from where it lies, and a user from where the command was given.
        lines.append(f"{name} = {to_value(str(Path(value).absolute()) if key in FILES.values() else value)}")
    return "\n".join(lines) + "\n"
