"""What the fuzzer damages that people write as text: presets, jobs files, `--set`, lists of cuts."""

from __future__ import annotations

import functools
import io
import json
import tempfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from fuzzing import Build, Case, Reading, Wrong, tell_bug
from mutations import KEYS, TEXTS, copied, damage_text, damage_tree, strange, to_toml
from PIL import Image

from renderer.batch import batch_journal as batch_journal
from renderer.batch.batch_plan import open_jobs, plan_batch
from renderer.films.film import ZoomFilm
from renderer.films.make import check
from renderer.inspect.preset_files import check_preset, new_preset
from renderer.measure.plot import curves
from renderer.media.ffmpeg.clips import Clip, open_clip
from renderer.media.ffmpeg.cuts import read_cuts
from renderer.settings import kinds
from renderer.settings.document import read_toml
from renderer.settings.presets import builtin_folder, resolve
from renderer.settings.schema import fields

ROOT = Path(__file__).resolve().parent.parent
SMALL = ("film.size=32x24", "film.frames=4", "film.fps=4", "seed=7")


# --- what is whole ---------------------------------------------------------------------------------------------------


@functools.cache
def presets() -> list[tuple[dict[str, Any], bytes]]:
    """Return Dreamreel's own presets as trees and as texts."""
    files = sorted(builtin_folder().glob("*.toml"))
    return [(read_toml(path, what="preset")[1], path.read_bytes()) for path in files]


@functools.cache
def known_settings() -> list[tuple[str, Any]]:
    """Return settings with values that presets give them."""
    found: list[tuple[str, Any]] = []
    for tree, _ in presets():
        for name, held in tree.items():
            found += [(f"{name}.{key}", value) for key, value in held.items()] if isinstance(held, dict) else []
    return found


def setting(rng: Random) -> tuple[str, Any]:
    """Return the name of a setting with a value: one of a preset's, one of another setting's, or a strange one."""
    key, value = rng.choice(known_settings())
    what = rng.random()
    if what < 0.3:
        return key, value
    if what < 0.5:
        return key, damage_tree([copied(value)], rng)
    return rng.choice([*fields()]), value if what < 0.7 else strange(rng)


@functools.cache
def picture(ending: str, number: int = 0) -> bytes:
    """Return a small picture."""
    held = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 255, (24, 32, 3), np.uint8)
    Image.fromarray(pixels).save(held, {".jpg": "JPEG"}.get(ending, ending[1:].upper()))
    return held.getvalue()


def lay_out(folder: Path) -> None:
    """Write what films are made from into a folder: two pictures, and a clip that is a folder of pictures."""
    for number, name in enumerate(("flower.jpg", "clouds.jpg")):
        (folder / name).write_bytes(picture(".jpg", number))
    (folder / "clip.mp4").mkdir(exist_ok=True)
    for number in range(3):
        (folder / "clip.mp4" / f"{number}.png").write_bytes(picture(".png", number))


# --- what reads them -------------------------------------------------------------------------------------------------


def damaged_tree(tree: Any, case: Case, *, write: Callable[[Any], str], known: Any = setting) -> bytes:
    """Return a tree as text after the damages of a case: to the tree, and then one in four to its text."""
    tree, after = copied(tree), list[Random]()
    for rng in case.rngs():
        if rng.random() < 0.25:
            after.append(rng)
        else:
            tree = damage_tree(tree, rng, known=known)
    text = write(tree).encode("utf-8", "surrogatepass")
    for rng in after:
        text = damage_text(text, rng)
    return text


def _preset(case: Case, folder: Path) -> Sequence[Reading]:
    tree, text = presets()[case.base % len(presets())]
    rng, path = case.rng(), folder / "look.toml"
    if rng.random() < 0.6:
        tree = {
            f"{key}.{inner}": held
            for key, table in tree.items()
            if isinstance(table, dict)
            for inner, held in table.items()
        }
        nested: dict[str, Any] = {}
        for key, held in tree.items():
            group, _, name = key.rpartition(".")
            nested.setdefault(group, {})[name] = held
        path.write_bytes(damaged_tree(nested, case, write=to_toml, known=_grouped))
    else:
        other = presets()[(case.base + 1) % len(presets())][1]
        for move in case.rngs():
            text = damage_text(text, move, other=other)
        path.write_bytes(text)
    if case.moves and rng.random() < 0.05:
        _extend(path, rng)
    command = rng.choice(("zoom", "video", "still"))

    def resolved() -> None:
        found = resolve(presets=[str(path)], defaults=kinds.KINDS[command].defaults, command=command, inputs=())
        new_preset("again", found, about=rng.choice(TEXTS), folder=folder / "own")
        problems = check_preset(str(folder / "own" / "again.toml")).problems
        if problems:
            raise Wrong(f"a preset that was written is not accepted: {problems[0]}")

    def planned() -> None:
        found = resolve(presets=[str(path)], defaults=kinds.KINDS[command].defaults, command=command, inputs=())
        for _ in curves(found.settings):
            pass
        check(ZoomFilm(settings=found.settings, out=folder / "film.mp4"))

    more: Reading = ("plan", planned) if rng.random() < 0.7 else ("presets new", resolved)
    return [("presets check", lambda: check_preset(str(path))), more]


def _extend(path: Path, rng: Random) -> None:
    """Let a preset extend a chain of others, each of which names the next one more than once."""
    depth, times = rng.choice((2, 10, 14, 15)), rng.choice((1, 2, 30, 1000))
    names = [path.name, *(f"{number}.toml" for number in range(depth))]
    for name, following in pairwise(names):
        (path.parent / name).write_text(f"extends = {to_toml({'v': [f'./{following}'] * times}).partition('=')[2]}")
    (path.parent / names[-1]).write_text("seed = 3\n")


def _grouped(rng: Random) -> tuple[str, Any]:
    key, value = setting(rng)
    return key.rpartition(".")[2] if rng.random() < 0.8 else key, value


def _sets(case: Case, folder: Path) -> Sequence[Reading]:
    written = []
    for rng in case.rngs():
        key, value = setting(rng)
        if rng.random() < 0.1:
            key = rng.choice((*KEYS, "dream.layers." + rng.choice(TEXTS), key + "." + rng.choice(KEYS)))
        bare = isinstance(value, str) and rng.random() < 0.7
        text = f"{key}={value}" if bare else f"{key} = {to_toml({'v': value}).partition('=')[2].strip()}"
        if rng.random() < 0.15:
            text = damage_text(text.encode("utf-8", "surrogatepass"), rng).decode("utf-8", "surrogateescape")
        written.append(text)

    def planned() -> None:
        for _ in curves(resolve(sets=[*SMALL, *written]).settings):
            pass

    return [("--set", planned)]


JOBS = (
    '[[job]]\nname = "dive"\nkind = "still"\ninput = "*.jpg"\noutput = "{stem}-{seed}.png"\n'
    '[[sweep]]\nname = "grid"\npreset = ["silver", "fever"]\noutput = "films/{name}-{preset}.gif"\n'
    'input = "clip.mp4"\nmask = "clouds.jpg"\nkind = "video"\npriority = 2\noverwrite = true\n'
    'over = { seed = [1, 2], preset = ["meadow", "coral"] }\n'
)


@functools.cache
def jobs_texts() -> list[bytes]:
    return [(ROOT / "samples" / "jobs.toml").read_bytes(), JOBS.encode()]


@functools.cache
def jobs_trees() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as name:
        trees = []
        for text in jobs_texts():
            path = Path(name, "jobs.toml")
            path.write_bytes(text)
            trees.append(read_toml(path, what="jobs file")[1])
        return trees


def _jobs(case: Case, folder: Path) -> Sequence[Reading]:
    lay_out(folder)
    path, number = folder / "jobs.toml", case.base % len(jobs_texts())
    if case.rng().random() < 0.7:
        text = damaged_tree(jobs_trees()[number], case, write=to_toml, known=_job_key)
    else:
        text = jobs_texts()[number]
        for rng in case.rngs():
            text = damage_text(text, rng, other=jobs_texts()[1 - number])
    path.write_bytes(text)
    return [("batch --dry-run", functools.partial(plan_jobs, path))]


def _job_key(rng: Random) -> tuple[str, Any]:
    names = (
        "name",
        "kind",
        "input",
        "output",
        "preset",
        "set",
        "seed",
        "priority",
        "mask",
        "cuts",
        "overwrite",
        "over",
    )
    if rng.random() < 0.5:
        return rng.choice(names), strange(rng)
    return setting(rng)


def plan_jobs(path: Path) -> None:
    """Plan a batch as `batch --dry-run` does, but for how long it would take."""
    base = path.parent
    jobs = open_jobs(path)
    journal = batch_journal.BatchJournal(batch_journal.batch_folder(path, base))
    for planned in plan_batch(jobs, journal):
        tell_bug(planned.error)
        json.dumps(planned.status.values())


CUTS = b"# Cuts\n12\n1.5s\n0:01.25\n1:00:02.5  # here\n7\n\n2.000000s  # frame 24\n"


def _cuts(case: Case, folder: Path) -> Sequence[Reading]:
    text, path = CUTS, folder / "cuts.txt"
    for rng in case.rngs():
        text = damage_text(text, rng, other=presets()[0][1])
    path.write_bytes(text)
    lay_out(folder)
    clip: Clip = open_clip(folder / "clip.mp4")
    return [("cuts", lambda: read_cuts(path, clip=clip))]


KINDS: dict[str, Build] = {
    "preset": _preset,
    "jobs": _jobs,
    "set": _sets,
    "cuts": _cuts,
}
"""What is damaged -> what writes a case of it and reads it."""
