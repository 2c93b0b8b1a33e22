"""Named looks: partial settings in TOML files, stacked with flags into the settings of a film.

A preset comes from a file, the user's folder or Dreamreel's own, in this order; the first comment of the file says
what it looks like, `extends = "NAME"` (or a list) names what it builds on. Presets are data: they run no code.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from renderer.errors import BadInput, DiskProblem, UsageError, nearest
from renderer.jobs.settings import Settings, build, check_key, flatten, keys

MAX_BYTES = 1 << 20
"""Largest preset file: more is a mistake, or malice."""

MAX_DEPTH = 16
"""Longest chain of `extends`."""

EITHER = {"film.seconds": "film.frames", "film.frames": "film.seconds"}
"""Two ways of saying one thing: whichever is said last takes the other back."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A preset as it stands, with what it extends merged in.

    Attributes:
        name: as it was asked for.
        path: its file.
        about: its first comment, on one line.
        values: dotted name -> value.
        origins: dotted name -> the preset or file that set it.
    """

    name: str
    path: Path
    about: str
    values: Mapping[str, Any]
    origins: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """Settings, and where each value came from: "default", a preset, "--set", or a flag."""

    settings: Settings
    origins: Mapping[str, str]
    presets: tuple[str, ...] = ()


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
    return _load(name, folder=Path(), above=())


def resolve(
    *,
    presets: Sequence[str] = (),
    sets: Sequence[str] = (),
    flags: Mapping[str, tuple[str, Any]] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Resolved:
    """Stack defaults, presets, `--set` and flags; each overrides what comes before it.

    Args:
        presets: names or files, the last one wins.
        sets: `KEY=VALUE` with a dotted name; the value as TOML has it, or plain text.
        flags: dotted name -> the flag it was given by, and its value.
        defaults: dotted name -> what a command takes in place of a setting's own default.

    Raises:
        UsageError, BadInput: a value, name or file that makes no sense.
    """
    values: dict[str, Any] = dict(defaults or {})
    origins: dict[str, str] = {}
    for name in presets:
        preset = load_preset(name)
        for key, value in preset.values.items():
            _put(values, origins, key, value, origin=preset.origins[key])
    for text in sets:
        key, value = _parse_set(text, values)
        _put(values, origins, key, value, origin="--set")
    for key, (flag, value) in (flags or {}).items():
        _put(values, origins, key, value, origin=flag)
    settings = build(values, origins=origins)
    return Resolved(settings=settings, origins={k: origins.get(k, "default") for k in keys()}, presets=tuple(presets))


def new_preset(name: str, resolved: Resolved, *, folder: Path | None = None) -> Path:
    """Write what differs from the defaults as a new preset.

    Args:
        name: letters, digits, - and _.
        resolved: the settings to keep.
        folder: where; the user's folder if None.

    Returns:
        The file.

    Raises:
        UsageError: a name that cannot be, or is taken.
        DiskProblem: the folder cannot be written.
    """
    if not name or not all(c.isalnum() or c in "-_" for c in name) or len(name) > 60:
        raise UsageError(f"A preset is named with letters, digits, - and _, not {name!r}.")
    path = (folder or user_folder()) / f"{name}.toml"
    if path.exists() or (folder is None and name in preset_files()):
        raise UsageError(f"There is a preset {name!r} already: {preset_files().get(name, path)}.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(to_toml(resolved, about="What this looks like."), encoding="utf-8")
    except OSError as error:
        raise DiskProblem(f"The preset {path} cannot be written: {error.strerror}.") from error
    return path


def to_toml(resolved: Resolved, *, about: str) -> str:
    """Write the settings that do not have their default value as a preset file."""
    lines = [f"# {about}"]
    group = None
    for key, value in flatten(resolved.settings).items():
        if resolved.origins[key] == "default" or value is None:
            continue
        head, _, name = key.rpartition(".")
        if head != group and head:
            lines += ["", f"[{head}]"]
        group = head
        lines.append(f"{name} = {_toml_value(value)}")
    return "\n".join(lines) + "\n"


def _load(name: str, *, folder: Path, above: tuple[Path, ...]) -> Preset:
    path = _find(name, folder=folder, above=above)
    if path in above or len(above) >= MAX_DEPTH:
        chain = " -> ".join(p.stem for p in (*above, path))
        raise UsageError(f"The presets extend each other in circles, or too deeply: {chain}.")
    text = _read(path)
    table = _parse(text, path)
    extends = table.pop("extends", [])
    bases = [extends] if isinstance(extends, str) else extends
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise UsageError(f"{path}: extends must be the name of a preset, or a list of names.")
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for base_name in bases:
        base = _load(base_name, folder=path.parent, above=(*above, path))
        for key, value in base.values.items():
            _put(values, origins, key, value, origin=base.origins[key])
    origin = f"preset {path.stem!r}"
    for key, value in _flat(table, path).items():
        _put(values, origins, key, value, origin=origin)
    return Preset(name=name, path=path, about=_about(text), values=values, origins=origins)


def _find(name: str, *, folder: Path, above: tuple[Path, ...]) -> Path:
    if name.endswith(".toml") or "/" in name or "\\" in name:
        path = folder / Path(name).expanduser()
        if not path.is_file():
            raise UsageError(f"There is no preset file {str(path)!r}.")
        return path.resolve()
    own = builtin_folder() / f"{name}.toml"
    files = preset_files()
    if name not in files:
        raise UsageError(f"There is no preset {name[:100]!r}{nearest(name[:100], files)}")
    path = files[name].resolve()
    # A user's preset may bear the name of the one it builds on.
    return own.resolve() if above and path == above[-1] and own.is_file() else path


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise BadInput(f"{path} is no preset: it is larger than {MAX_BYTES >> 20} MB.")
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise BadInput(f"{path} is no preset: it is not text in UTF-8.") from None
    except OSError as error:
        raise BadInput(f"The preset {path} cannot be read: {error.strerror}.") from error


def _parse(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise BadInput(f"{path} is not valid TOML: {reason.rstrip('.')}.") from None


def _flat(table: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Name the values of a preset by group and field; what lies deeper belongs to the value."""
    groups = {key.partition(".")[0] for key in keys() if "." in key}
    flat: dict[str, Any] = {}
    for name, value in table.items():
        if name in groups and isinstance(value, Mapping):
            flat |= {f"{name}.{inner}": inner_value for inner, inner_value in value.items()}
        elif name in groups:
            raise UsageError(f"{path}: {name} is a group of settings: write [{name}] and its settings below.")
        else:
            flat[name] = value
    for key in flat:
        check_key(key, origin=str(path))
    weights = flat.get("network.weights")
    if isinstance(weights, str):  # a path in a file is meant from where the file lies
        flat["network.weights"] = str(path.parent / Path(weights).expanduser())
    return flat


def _about(text: str) -> str:
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").strip())
    return " ".join(line for line in lines if line)


def _put(values: dict[str, Any], origins: dict[str, str], key: str, value: Any, *, origin: str) -> None:
    other = EITHER.get(key)
    if other:
        values.pop(other, None)
        origins.pop(other, None)
    values[key], origins[key] = value, origin


def _parse_set(text: str, values: Mapping[str, Any]) -> tuple[str, Any]:
    key, equals, written = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise UsageError(f"--set takes KEY=VALUE, like camera.zoom=2, not {text[:100]!r}.")
    value = _value(written)
    if key not in keys() and key.startswith("dream.layers."):
        mix = values.get("dream.layers", {})
        return "dream.layers", {**(mix if isinstance(mix, Mapping) else {}), key.removeprefix("dream.layers."): value}
    check_key(key, origin="--set")
    return key, value


def _value(written: str) -> Any:
    """Read a value as TOML has it; what is no TOML is plain text, and so is a size like 0x90."""
    if re.match(r"\s*0[xob]", written):
        return written.strip()
    try:
        table = tomllib.loads(f"value = {written}")
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        return written.strip()
    return table["value"] if len(table) == 1 else written.strip()


def _toml_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_quote(k)} = {_toml_value(v)}" for k, v in value.items()) + " }"
    return _quote(value) if isinstance(value, str) else repr(value)


def _quote(text: str) -> str:
    def escape(character: str) -> str:
        if character in '"\\':
            return "\\" + character
        return character if character.isprintable() else f"\\u{ord(character):04x}"

    return '"' + "".join(map(escape, text)) + '"'


def describe(names: Iterable[str]) -> list[tuple[str, str, Path]]:
    """List name, first comment and file of presets; one that cannot be read says so in place of its comment."""
    listed = []
    files = preset_files()
    for name in names:
        try:
            about = _about(_read(files[name]))
        except BadInput as error:
            about = str(error)
        listed.append((name, about, files[name]))
    return listed
