"""What the fuzzer damages that the program writes for itself: recipes, work folders, journals of batches."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import html
import io
import json
import os
import struct
import tempfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from fuzz_texts import SMALL, damaged_tree, jobs_texts, lay_out, picture, plan_jobs, setting
from fuzzing import Build, Case, Reading, Wrong
from mutations import CANARY, KEYS, copied, damage_bytes, damage_tree, strange, to_json
from PIL import Image

from renderer.batch import batch_journal as batch_journal
from renderer.batch.report import render_report, write_report
from renderer.batch.status import read_state
from renderer.events import ignore
from renderer.files import file_sha256
from renderer.films.film import ZoomFilm
from renderer.films.make import check
from renderer.films.recipe import hashes_of, parse_recipe, write_recipe
from renderer.films.replay import encode_again, film_from_recipe
from renderer.films.work import Work
from renderer.frame import Size
from renderer.inspect.preset_files import look_of
from renderer.measure.metrics import measure_film
from renderer.media.ffmpeg.clips import open_clip
from renderer.media.store.store import Store
from renderer.settings import kinds
from renderer.settings.presets import resolve

KEY = "0123456789abcdef" * 4
WORK, BATCH = ".film.mp4.dreamreel", ".jobs.dreamreel-batch"


# --- what is whole ---------------------------------------------------------------------------------------------------


def recipe_of(kind: str, *looks: str) -> dict[str, Any]:
    """Return a recipe of a film of some kind, as the program writes it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lay_out(folder)
        settings = resolve(presets=looks, sets=SMALL, defaults=kinds.KINDS[kind].defaults).settings
        picture_hash = file_sha256(folder / "flower.jpg")
        inputs = {"picture": (Path("flower.jpg"), picture_hash)}
        if kind == "video":
            inputs = {"clip": (Path("clip.mp4"), hashes_of({"clip": folder / "clip.mp4"})["clip"])}
    return write_recipe(
        settings,
        kind=kind,
        inputs=inputs,
        facts={"cuts": [2]} if kind == "video" else {},
        weights_sha256=KEY,
        environment={"dreamreel": "1.0", "python": "3.12", "tensorflow": "2.19", "device": "CPU", "threads": 2},
        pixel_key=KEY,
        film_key=KEY[::-1],
    )


@functools.cache
def recipes() -> list[dict[str, Any]]:
    asked = [("zoom", "meadow"), ("video", "silver"), ("still", "brushwork"), ("still",), ("zoom", "daguerreotype")]
    return [recipe_of(*one) for one in asked]


@functools.cache
def stores() -> list[dict[str, bytes]]:
    """Return work folders, file by file: of a zoom that is done, of a video that is not."""
    return [_store(recipes()[0], done=True), _store(recipes()[1], done=False)]


def _store(meta: dict[str, Any], *, done: bool) -> dict[str, bytes]:
    rng = np.random.default_rng(3)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "work")
        with Store.open(folder, size=Size(32, 24), rate=Fraction(4), pixel_key=KEY, meta=meta) as store:
            for frames in (2, 2):
                for _ in range(frames):
                    store.append(rng.random((24, 32, 3), np.float32))
                store.commit({"dream": rng.random((24, 32, 3), np.float32), "tone": 0.5, "name": "x", "none": None})
            if done:
                store.mark_done()
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@functools.cache
def batch_entries() -> list[dict[str, Any]]:
    """Return the journal of a batch in which a film was made, one failed, one was stopped, one was not begun."""
    names = ("dive", "sunset", "balloon", "flower")
    kinds = ("zoom", "zoom", "video", "still")
    ways = {
        name: {"name": name, "out": f"{name}.gif", "film_key": KEY, "encode_key": KEY[::-1]}
        for name, kind in zip(names, kinds, strict=True)
    }
    at = "2024-05-06T07:08:09+02:00"
    jobs = [
        {
            "name": name,
            "kind": kind,
            "preset": "meadow",
            "state": "waiting",
            "out": f"{name}.gif",
            "work": WORK if kind != "still" else None,
            "source": "flower.jpg",
            "network": "dreamnet",
            "seed": 3,
            "size": "32x24",
            "fps": "4",
            "frames": 4,
            "frames_done": 0,
            "seconds": 1.0,
            "error": "",
        }
        for name, kind in zip(names, kinds, strict=True)
    ]
    told = {"size": "32x24", "took": 1.5, "at": at, "frames": 4, "rendered": 4, "strength": 1.25, "dreaming": 1.0}
    return [
        {"kind": "plan", "version": 1, "file": "jobs.toml", "jobs": jobs},
        {"kind": "start", "at": at, "executor": "serial"},
        {"kind": "begun", **ways["dive"], "at": at},
        {"kind": "done", **ways["dive"], **told, "bytes": 4000, "sha256": KEY, "work": None},
        {"kind": "begun", **ways["sunset"], "at": at},
        {"kind": "failed", **ways["sunset"], "error": "It is too large.", "exit_code": 4, "at": at, "again": False},
        {"kind": "begun", **ways["balloon"], "at": at},
        {"kind": "stopped", **ways["balloon"], "at": at},
        {"kind": "end", "at": at},
    ]


# --- recipes ---------------------------------------------------------------------------------------------------------


def holding(text: bytes, ending: str) -> bytes:
    """Return a picture, or a file of JSON, that holds a text where recipes stand in it."""
    data = picture(ending) if ending != ".json" else text
    if ending == ".png":
        body = b"tEXtdreamreel\0" + text
        return data[:-12] + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) + data[-12:]
    if ending == ".jpg":
        parts = [text[at : at + 65_000] for at in range(0, len(text), 65_000)]
        return data[:2] + b"".join(b"\xff\xfe" + struct.pack(">H", len(part) + 2) + part for part in parts) + data[2:]
    if ending == ".gif":
        blocks = b"".join(bytes([len(text[at : at + 255])]) + text[at : at + 255] for at in range(0, len(text), 255))
        table = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
        return data[:table] + b"\x21\xfe" + blocks + b"\0" + data[table:]
    if ending == ".webp":
        packet = f'<x dreamreel:recipe="{html.escape(text.decode("utf-8", "replace"))}"/>'.encode()
        chunk = b"XMP " + struct.pack("<I", len(packet)) + packet + b"\0" * (len(packet) & 1)
        whole = b"WEBPVP8X\x0a\0\0\0\x04\0\0\0\x1f\0\0\x17\0\0" + data[12:] + chunk
        return b"RIFF" + struct.pack("<I", len(whole)) + whole
    if ending == ".tiff":
        held = io.BytesIO()
        Image.open(io.BytesIO(data)).save(held, "TIFF", description=text.decode("latin-1").replace("\0", ""))
        return held.getvalue()
    return data


def _recipe(case: Case, folder: Path) -> Sequence[Reading]:
    lay_out(folder)
    rng = case.rng()
    whole = {"dreamreel": recipes()[case.base % len(recipes())]}
    text = damaged_tree(whole, case, write=to_json, known=_recipe_key)
    ending = rng.choice(("", "", "", ".json", ".json", ".png", ".jpg", ".gif", ".webp", ".tiff"))
    path = folder / f"film{ending}"
    if ending:
        path.write_bytes(holding(text, ending))
    else:
        path.mkdir()
        (path / "recipe.json").write_bytes(text)
        (path / "1.png").write_bytes(picture(".png"))
        (path / "2.png").write_bytes(picture(".png"))

    def replayed() -> None:
        film, recipe = film_from_recipe(path, folder / "again.mp4")
        facts = film.facts({"facts": recipe.facts} if recipe.facts else {}, ignore)
        film.beginnings(facts)
        check(film)
        _ = film.key

    def look() -> None:
        resolve(presets=[look_of(path)])

    readings: list[Reading] = [("replay", _beside(folder, replayed)), ("presets new --from", look)]
    if not ending:
        clip = folder / "clip.mp4"
        readings.append(("metrics", lambda: measure_film(path, source=clip if rng.random() < 0.3 else None)))
    return readings


def _recipe_key(rng: Random) -> tuple[str, Any]:
    names = (
        "kind",
        "settings",
        "inputs",
        "facts",
        "weights_sha256",
        "environment",
        "recipe",
        "picture",
        "clip",
        "mask",
    )
    return setting(rng) if rng.random() < 0.5 else (rng.choice((*names, *KEYS)), strange(rng))


def _beside(folder: Path, action: Callable[[], Any]) -> Callable[[], Any]:
    """Return an action that is done with `folder` as the current folder."""

    def there() -> None:
        with contextlib.chdir(folder):
            action()

    return there


# --- work folders ----------------------------------------------------------------------------------------------------


def sealed(text: bytes) -> bytes:
    """Return a line of a journal that is whole."""
    return hashlib.sha256(text).hexdigest()[:16].encode() + b" " + text + b"\n"


def unsealed(journal: bytes) -> list[Any]:
    """Return the entries of a journal."""
    return [json.loads(line.partition(b" ")[2]) for line in journal.splitlines()]


def _journal_text(entries: Any) -> str:
    lines = entries if isinstance(entries, list) else [entries]
    return "".join(sealed(to_json(entry).replace("\n", " ").encode()).decode() for entry in lines)


def film_text(film: Any) -> bytes:
    """Return a `film.json` that is whole."""
    text = json.dumps(film, sort_keys=True, indent=1, ensure_ascii=False)
    held = {"film": film, "sha256": hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()}
    return json.dumps(held, sort_keys=True, indent=1, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _plain(tree: Any) -> Any:
    """Return a tree without what only a written text can hold."""
    if isinstance(tree, dict):
        return {str(key): _plain(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_plain(value) for value in tree]
    return tree if tree is None or type(tree) in (str, int, float, bool) else str(tree)


def _damaged_work(case: Case) -> dict[str, bytes]:
    files = dict(stores()[case.base % len(stores())])
    film = json.loads(files["film.json"])["film"]
    entries = unsealed(files["journal.jsonl"])
    for rng in case.rngs():
        what = rng.randrange(10)
        if what < 3:
            film = damage_tree(film, rng, known=_recipe_key)
            files["film.json"] = film_text(_plain(film))
        elif what < 7:
            entries = damage_tree(entries, rng)
            files["journal.jsonl"] = _journal_text(entries).encode()
        elif what == 7:
            names = sorted(name for name in files if name.startswith("state-"))
            name = rng.choice(names)
            files[name] = damage_bytes(files[name], rng, other=files[names[0]])
            for entry in entries if isinstance(entries, list) else []:
                if isinstance(entry, dict) and entry.get("name") and f"state-{entry['name']}.npz" == name:
                    entry["state_length"] = len(files[name])
                    entry["state_sha256"] = hashlib.sha256(files[name]).hexdigest()
            files["journal.jsonl"] = _journal_text(entries).encode()
        else:
            name = rng.choice(sorted(files))
            files[name] = damage_bytes(files[name], rng, other=files["film.json"])
    return files


def _put(folder: Path, files: Mapping[str, bytes], case: Case) -> bool:
    """Write files; return whether one of them is something else, as now and then: a folder, a pipe, a link."""
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    rng = Random(f"{case} put")
    if not case.moves or rng.random() > 0.15:
        return False
    name = rng.choice([*sorted(files), "journal.jsonl", "lock", "film.json.part", "page", "page.lock", "lanes"])
    path = folder / name
    path.unlink(missing_ok=True)
    what = rng.randrange(5)
    if what < 2:
        path.symlink_to(folder.parent.parent / CANARY)
    elif what == 2:
        path.mkdir()
    elif what == 3 and hasattr(os, "mkfifo"):
        os.mkfifo(path)
    else:
        path.symlink_to(rng.choice(("/dev/zero", "/proc/self/environ", name, "..", "/nowhere")))
    return True


def _journal(case: Case, folder: Path) -> Sequence[Reading]:
    lay_out(folder)
    rng, place = case.rng(), folder / WORK
    linked = _put(place, _damaged_work(case), case)
    seen = rng.random() < 0.15  # Frames are decoded by a process of their own, which takes its time.

    def existing() -> None:
        store = Store.existing(place)
        if store.count < 0 or store.begun not in (True, False) or store.done not in (True, False):
            raise Wrong(f"a store of {store.count} frames")
        for _ in islice(store.frames(rng.randrange(3)) if seen else (), 3):
            pass

    def shown() -> None:
        clip = open_clip(place)
        for _ in islice(clip.frames() if seen else (), 3):
            pass

    def gone_on() -> None:
        film = ZoomFilm(settings=parse_recipe(recipes()[0], source=place).settings, out=folder / "film.mp4")
        begun = Work(film)
        begun.key = KEY[::-1]  # As in what is whole.
        begun.check()
        _ = begun.known
        batch_journal.kept_frames(place)

    def opened() -> None:
        with Store.open(place, size=Size(32, 24), rate=Fraction(4), pixel_key=KEY, meta=recipes()[0]) as store:
            store.state()
            store.lanes()
            if linked or seen:
                store.append(np.zeros((24, 32, 3), np.float32))
                store.commit({"tone": 0.5})

    def encoded() -> None:
        encode_again(place, folder / "again.gif", listener=ignore)

    readings: list[Reading] = [("store", existing), ("work folder as a clip", shown), ("going on", gone_on)]
    readings += [("encode", _beside(folder, encoded))] if rng.random() < 0.1 else []
    return [*readings, ("opening the store", opened)]


# --- batches ---------------------------------------------------------------------------------------------------------


def _state(case: Case, folder: Path) -> Sequence[Reading]:
    lay_out(folder)
    rng, entries, files = case.rng(), copied(batch_entries()), dict[str, bytes]()
    page = {"version": 2, "still": "", "figures": {"drift": 0.1, "unrest": 0.2}, "settings": "a = 1", "made_by": "x"}
    name = hashlib.sha256(f"{KEY}\0{folder / 'flower.jpg'}".encode()).hexdigest()[:32]
    texts = {"journal": _journal_text(entries).encode(), "page": json.dumps(page).encode()}
    for move in case.rngs():
        what = move.randrange(8)
        if what == 0:
            texts["page"] = to_json(damage_tree(copied(page), move)).encode()
        elif what == 1:
            texts["journal"] = damage_bytes(texts["journal"], move, other=texts["page"])
        else:
            entries = damage_tree(entries, move)
            texts["journal"] = _journal_text(entries).encode()
    files["journal.jsonl"] = texts["journal"]
    _put(folder / BATCH, files, case)
    if not (folder / BATCH / "page").exists() and not (folder / BATCH / "page").is_symlink():
        (folder / BATCH / "page").mkdir()
        (folder / BATCH / "page" / f"{name}.json").write_bytes(texts["page"])
    for ending in ("dive.gif", "sunset.gif"):
        (folder / ending).write_bytes(picture(".gif"))
    (folder / "jobs.toml").write_bytes(jobs_texts()[0])

    def status() -> None:
        state = read_state(folder)
        for row in state.films:
            json.dumps(row.values())
        state.counts()

    def report() -> None:
        render_report(read_state(folder / BATCH))

    def begun() -> None:
        with batch_journal.BatchJournal(folder / BATCH) as journal:
            journal.note_plan(folder / "jobs.toml", journal.films)
            journal.append({"kind": "start", "at": "2024-05-06T07:08:09+02:00", "executor": "serial"})

    readings: list[Reading] = [("status", status)] if rng.random() < 0.5 else [("report", report)]
    readings += [("batch --dry-run", lambda: plan_jobs(folder / "jobs.toml"))] if rng.random() < 0.2 else []
    return [*readings, ("status --report", lambda: write_report(read_state(folder))), ("batch", begun)]


KINDS: dict[str, Build] = {"recipe": _recipe, "journal": _journal, "state": _state}
"""What is damaged -> what writes a case of it and reads it."""
