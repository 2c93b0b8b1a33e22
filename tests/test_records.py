"""Records that strangers may have written: they end in a sentence, and nothing of anybody's is lost."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import random
import zipfile
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from renderer.batch import film_summary
from renderer.batch.batch_journal import BatchJournal, FilmStatus, kept_frames
from renderer.batch.report import write_report
from renderer.batch.status import read_state
from renderer.cli.main import app
from renderer.errors import BadInput, DreamreelError, UsageError
from renderer.films.film import ZoomFilm
from renderer.films.make import check
from renderer.films.recipe import find_input, parse_recipe, write_recipe
from renderer.films.replay import film_from_recipe
from renderer.films.work import Work
from renderer.frame import Size
from renderer.media.images import write_image
from renderer.media.recipe import from_text, read_recipe, to_text
from renderer.media.store import segments, work_folder
from renderer.media.store.journal import Journal, seal_line
from renderer.media.store.store import Store
from renderer.records import read_json
from renderer.settings.presets import resolve

posix = pytest.mark.skipif(os.name != "posix", reason="needs links and FIFOs")
SIZE = Size(32, 24)
ODD = os.fsdecode(b"caf\xe9")
TIMES = int(os.environ.get("DREAMREEL_MUTATIONS", "40"))
"""Mutations of each kind of record that are tried."""


def recipe(kind: str = "zoom", **changes: Any) -> dict[str, Any]:
    """A recipe as this version writes it."""
    settings = resolve(sets=[f"film.size={SIZE}", "film.frames=4"]).settings
    inputs = {"zoom": {}, "video": {"clip": (Path("c.mp4"), "0" * 64)}, "still": {"picture": (Path("p"), "1" * 64)}}
    facts = {"cuts": [2, 3]} if kind == "video" else {}
    keys = {"pixel_key": "p", "film_key": "f"}
    environment = {"dreamreel": "9", "threads": 2}
    written = write_recipe(
        settings, kind=kind, inputs=inputs[kind], facts=facts, weights_sha256="", environment=environment, **keys
    )
    return {**written, **changes}


BAD = [None, True, -1, 10**30, 1.5, "", "x" * 300, "\ud800", "1/0", "nan", [], [[]], {}, {"a": {}}, "../../x", "\0"]
"""What a mutation puts in the place of something else."""


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Give every container in a record, with each of its keys."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from places(value[key])


def mutated(record: Any, rng: random.Random) -> Any:
    """Change, take out or add one thing, or several."""
    record = copy.deepcopy(record)
    for _ in range(rng.choice((1, 1, 2, 4))):
        where, key = rng.choice(list(places(record)))
        match rng.randrange(4):
            case 0:
                del where[key]
            case 1 if isinstance(where, dict):
                where[rng.choice(("overwrite", "work_dir", "size", "kind", "\ud800"))] = rng.choice(BAD)
            case 2:
                where[key] = copy.deepcopy(rng.choice([inside[k] for inside, k in places(record)]))
            case _:
                where[key] = rng.choice(BAD)
        if not record:
            break
    return record


def ends_well(call: Any) -> None:
    """Call it; any error is one of ours, and says something."""
    try:
        call()
    except DreamreelError as error:
        assert error.exit_code in (2, 4, 5, 6)
        assert 10 < len(str(error)) < 3000


# --- JSON -------------------------------------------------------------------------------------------------------------


def test_json_that_costs_too_much_or_means_nothing_is_refused():
    for text in (
        "[" * 100_000,
        '{"a":' * 40 + "1" + "}" * 40,
        "NaN",
        "[1e999]",
        "-Infinity",
        '{"a": 1, "a": 2}',
        "1" * 5000,
        "1" * 50,
        '"\\ud800"',
        '{"\\udc00": 1}',
        "[" + "1," * 1_000_001 + "1]",
        "\ufeff{}",
        "",
    ):
        with pytest.raises(ValueError, match=r"."):
            read_json(text, limit=10**7)


def test_json_beyond_its_limit_is_not_parsed():
    with pytest.raises(ValueError, match="more than 4 bytes"):
        read_json(b"[1,2]", limit=4)
    assert read_json(b"[12]", limit=4) == [12]
    assert read_json(json.dumps({ODD: ODD}).encode(), limit=100) == {ODD: ODD}


# --- recipes ----------------------------------------------------------------------------------------------------------


def test_a_recipe_of_this_version_is_read_back_whole():
    for kind in ("zoom", "video", "still"):
        held = parse_recipe(from_text(to_text(recipe(kind))), source=Path("x"))
        assert (held.kind, held.settings.film.size, held.film_key) == (kind, SIZE, "f")
        assert held.facts == recipe(kind)["facts"]
        assert parse_recipe(recipe(kind, later="thing"), source=Path("x")) == held


def test_a_recipe_of_a_later_version_is_named_as_such():
    with pytest.raises(BadInput, match="comes from Dreamreel 99"):
        parse_recipe(recipe(recipe=99, dreamreel="99"), source=Path("x"))


def test_a_recipe_names_only_inputs_that_its_kind_of_film_has(tmp_path, picture):
    target, film = tmp_path / "mine.txt", tmp_path / "film.png"
    target.write_text("mine")
    inputs = {"path": str(target), "sha256": "0" * 64}
    for name in ("overwrite", "work_dir", "evolution", "own_size", "restart", "weights", "clip"):
        write_image(picture, film, recipe=recipe("still", inputs={name: inputs}), overwrite=True)
        with pytest.raises(BadInput, match=f"not made from '{name}'"):
            film_from_recipe(film, tmp_path / "again.png")
    assert target.read_text() == "mine"


def test_a_recipe_with_anything_wrong_in_it_is_a_sentence(tmp_path):
    rng = random.Random(11)
    for number in range(TIMES):
        changed = mutated(recipe(("zoom", "video", "still")[number % 3]), rng)
        ends_well(lambda changed=changed: parse_recipe(changed, source=Path("film.mp4")))
        folder = tmp_path / "film"
        folder.mkdir(exist_ok=True)
        (folder / "recipe.json").write_text(json.dumps({"dreamreel": changed}))
        ends_well(lambda folder=folder: film_from_recipe(folder, tmp_path / "again"))


@posix
def test_an_input_of_a_recipe_that_is_no_plain_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero"), tmp_path / ("x" * 300)):
        with pytest.raises(BadInput):
            find_input(None, recorded=path, sha256="0" * 64, film=tmp_path / "film.mp4", what="picture")


@posix
def test_a_film_that_is_no_plain_file_has_no_recipe(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for name in ("fifo", "/dev/zero", "/proc/kmsg", "x" * 300):
        with pytest.raises(BadInput):
            read_recipe(tmp_path / name)


# --- work folders -----------------------------------------------------------------------------------------------------


def begun(folder: Path, meta: dict[str, Any] | None = None) -> Path:
    """Begin a film of two frames."""
    with Store.open(folder, size=SIZE, rate=Fraction(12), pixel_key="p", meta=recipe() if meta is None else meta) as s:
        for number in range(2):
            s.append(np.full((24, 32, 3), number / 2, np.float32))
        s.commit({"dream": np.zeros((24, 32, 3), np.float32)})
    return folder


def zoom(tmp_path: Path) -> ZoomFilm:
    return ZoomFilm(settings=resolve(sets=[f"film.size={SIZE}", "film.frames=4"]).settings, out=tmp_path / "film.mp4")


def sealed(film: Any) -> str:
    return json.dumps({"film": film, "sha256": work_folder._hash(film)})


def test_a_work_folder_with_anything_wrong_in_its_records_is_a_sentence_or_done_anew(tmp_path):
    film = zoom(tmp_path)
    folder, rng = begun(film.folder), random.Random(12)
    whole = json.loads((folder / work_folder.FILM).read_text())["film"]
    (line,) = Journal(folder / work_folder.JOURNAL).read()
    for number in range(TIMES):
        record, entry = mutated(whole, rng), mutated(line, rng) if number % 2 else line
        try:
            (folder / work_folder.FILM).write_text(sealed(record))
        except UnicodeEncodeError:  # It could not be written.
            continue
        (folder / work_folder.JOURNAL).write_bytes(seal_line(entry))
        kept_frames(folder)
        work = Work(film)
        work.key = "f"
        for call in (work.check, partial(getattr, work, "known"), work.reopen_done):
            ends_well(call)
        ends_well(lambda: Store.existing(folder).count)


def test_a_line_that_no_segment_can_have_counts_for_nothing(tmp_path):
    folder = begun(tmp_path / "film")
    (line,) = Journal(folder / work_folder.JOURNAL).read()
    assert len(work_folder.replay([line], key="p")[0]) == 1
    for wrong in (
        {"name": "../../00000000-00000000"},
        {"frames": 10**9},
        {"frames": 0},
        {"first": -1},
        {"length": "9"},
    ):
        assert work_folder.replay([line | wrong], key="p")[0] == [], wrong


def npz(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as made:
        for name, data in members.items():
            made.writestr(f"{name}.npy", data)
    return file


def npy(kind: str, shape: str, body: bytes) -> bytes:
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + body


def test_a_checkpoint_that_tells_of_more_than_it_has_is_damaged():
    for kind, shape, body in (
        ("<f4", "(1000000000000,)", b"1234"),
        ("<f4", "(-1, -1)", b"1234"),
        ("|O", "(1,)", b"12345678"),
        ("|V4", "(1,)", b"1234"),
        ("<f4", "(" * 3000, b""),
        ("<U1000000000", "()", b""),
    ):
        with pytest.raises(ValueError, match=r"."):
            segments.load_state(npz({"singles": npy("|u1", "(2,)", b"{}"), "array.x": npy(kind, shape, body)}))


def test_a_checkpoint_is_not_unpacked():
    with pytest.raises(ValueError, match="compressed"):
        segments.load_state(npz({"singles": npy("|u1", "(1000000,)", bytes(10**6))}, zipfile.ZIP_DEFLATED))
    for junk in (b"", b"PK", b"PK\x05\x06" + bytes(18) + b"x", npz({"singles": b"x"}).getvalue()):
        with pytest.raises(ValueError, match=r"."):
            segments.load_state(io.BytesIO(junk))


def test_a_film_goes_on_from_no_checkpoint_of_another_film():
    from renderer.render.recurrence import _saved
    from renderer.render.scenes import StillScene

    class Kept:
        size, next_frame = SIZE, 4

        def state(self):
            return held_state

    fitting = {"dream": np.zeros((24, 32, 3), np.float32)}
    for wrong in ({}, {"dream": np.zeros((2, 2, 3))}, {"dream": None}, {"luma": "x"}, {"scene.a": np.zeros((9, 9))}):
        held_state = {**fitting, "luma": 0.1, "contrast": 0.1, "saturation": 0.1, "sharpness": 0.1, **wrong}
        if not wrong:
            del held_state["dream"]
        with pytest.raises(BadInput, match="--restart"):
            _saved(Kept(), StillScene.__new__(StillScene), None, None, None)


SOMEBODYS = {
    "journal": {"journal.jsonl": '{"day": 1}\n'},
    "short": {"journal.jsonl": "abc"},
    "film": {"film.json": '{"title": "Metropolis"}'},
    "lock": {"lock": "4711"},
    "letters": {"letter.txt": "Dear"},
    "beside": {"segment-1.mkv": "x", "lock": ""},
}


@pytest.mark.parametrize("kind", ["film", "batch"])
def test_a_folder_that_is_neither_empty_nor_ours_is_refused_and_nothing_in_it_touched(kind, tmp_path):
    for name, files in SOMEBODYS.items():
        folder = tmp_path / f"{name}.dreamreel-batch"
        folder.mkdir()
        for file, text in files.items():
            (folder / file).write_text(text)
        with pytest.raises((UsageError, BadInput), match=r"."):
            if kind == "film":
                begun(folder)
            else:
                BatchJournal(folder).__enter__()
        assert {path.name: path.read_text() for path in folder.iterdir()} == files


def test_a_film_says_before_it_loads_anything_that_its_work_folder_is_somebodys(tmp_path):
    film = zoom(tmp_path)
    film.folder.mkdir()
    (film.folder / "letter.txt").write_text("Dear")
    with pytest.raises(UsageError, match=r"'letter\.txt'.*Nothing in it was touched"):
        check(film)


@posix
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_nothing_is_written_through_a_link_in_a_work_folder(link, tmp_path):
    for name in ("journal.jsonl", "film.json", "film.json.part", "lock"):
        theirs, folder = tmp_path / f"theirs of {name}", begun(tmp_path / f"work of {name}")
        before = b"theirs" if name != "journal.jsonl" else (folder / name).read_bytes()
        theirs.write_bytes(before)
        (folder / name).unlink(missing_ok=True)
        link(theirs, folder / name)
        with contextlib.suppress(DreamreelError):
            begun(folder, meta={"other": "recipe"})
        assert theirs.read_bytes() == before, name


@posix
def test_links_in_place_of_folders_and_segments_are_not_followed(tmp_path):
    theirs = begun(tmp_path / "theirs")
    before = sorted(path.name for path in theirs.iterdir())
    folder = begun(tmp_path / "work")
    (folder / "lane-00000009").symlink_to(theirs)
    (folder / "segment-00000001-00000000.mkv.part").symlink_to(theirs / work_folder.FILM)
    os.mkfifo(folder / "state-00000001-00000000.npz")
    segment = next(folder.glob("segment-*.mkv"))
    segment.rename(tmp_path / "moved")
    segment.symlink_to(tmp_path / "moved")
    with Store.open(folder, size=SIZE, rate=Fraction(12), pixel_key="p", meta=recipe()) as store:
        assert store.count == 0  # What lies behind a link is not ours.
        assert store.lanes() == []
        store.remove()
    assert sorted(path.name for path in theirs.iterdir()) == before
    assert (tmp_path / "moved").stat().st_size > 100
    (tmp_path / "link").symlink_to(theirs)
    with pytest.raises(BadInput, match="is a link"):
        begun(tmp_path / "link")


def test_restarting_and_removing_delete_only_names_of_ours(tmp_path):
    folder = begun(tmp_path / "work")
    for name in ("segment-holiday.mkv", "state-of-things.npz", "lane-home"):
        (folder / name).write_text("mine")
    with Store.open(folder, size=SIZE, rate=Fraction(12), pixel_key="q", meta={}, restart=True) as store:
        store.remove()
    assert sorted(path.name for path in folder.iterdir()) == ["lane-home", "segment-holiday.mkv", "state-of-things.npz"]


def test_names_that_are_not_utf8_are_kept_and_read_back(tmp_path):
    meta = recipe(inputs={"picture": {"path": f"/films/{ODD}.png", "sha256": "0" * 64}})
    folder = begun(tmp_path / "work", meta=meta)
    found = parse_recipe(Store.existing(folder).meta, source=folder)
    assert found.inputs == {"picture": Path(f"/films/{ODD}.png")}
    assert parse_recipe(from_text(to_text(meta)), source=folder) == found


# --- batches ----------------------------------------------------------------------------------------------------------


def batch(tmp_path: Path) -> tuple[Path, list[dict[str, Any]]]:
    """A batch of a made film and a failed one, as its journal tells it."""
    folder = tmp_path / ".jobs.dreamreel-batch"
    (tmp_path / "a.gif").write_bytes(b"GIF89a")
    film = FilmStatus(name="a", kind="zoom", preset="p", size="32x24", fps="12", frames=4, seconds=0.3)
    entry = {"name": "a", "out": "a.gif", "film_key": "f", "encode_key": "e", "at": "2026-03-01T04:05:06+01:00"}
    made = {"frames": 4, "rendered": 4, "took": 1.0, "bytes": 6, "sha256": "0" * 64, "strength": 0.5, "size": "32x24"}
    with BatchJournal(folder) as journal:
        films = [film.updated(out=tmp_path / "a.gif"), film.updated(name="b", out=tmp_path / "b.gif")]
        journal.note_plan(tmp_path / "jobs.toml", films)
        journal.append({"kind": "start", "at": "2026-03-01T04:05:06+01:00", "executor": "serial"})
        journal.append({"kind": "begun", **entry})
        journal.append({"kind": "done", **entry, **made, "work": None})
        journal.append({"kind": "failed", **entry, "name": "b", "out": "b.gif", "error": "It broke.", "exit_code": 4})
        journal.append({"kind": "end", "at": "2026-03-01T04:05:07+01:00"})
    return folder, Journal(folder / work_folder.JOURNAL).read()


def test_a_batchs_journal_with_anything_wrong_in_it_is_a_sentence_or_that_film_is_made_anew(tmp_path):
    folder, entries = batch(tmp_path)
    assert read_state(folder).counts() | {"done": 1, "failed": 1} == read_state(folder).counts()
    rng = random.Random(13)
    for number in range(TIMES):
        changed = mutated(entries, rng)
        lines = [seal_line(entry) for entry in changed if isinstance(entry, dict)]
        (folder / work_folder.JOURNAL).write_bytes(b"".join(lines))
        BatchJournal(folder)
        ends_well(lambda: json.dumps([row.values() for row in read_state(folder).films], allow_nan=False))
        if number % 4 == 0:
            ends_well(lambda: write_report(read_state(folder)))


def test_a_journal_of_an_earlier_version_is_read(tmp_path):
    folder, entries = batch(tmp_path)
    told = {"state": "waiting", "frames_done": 0, "rendered": 0, "took": None, "dreaming": None, "bytes": None}
    told |= {"sha256": "", "strength": None, "attempts": 0, "earlier": False, "error": "", "exit_code": None, "at": ""}
    jobs = [{**job, **told, "speed": None, "source": "flower.jpg"} for job in entries[0]["jobs"]]
    (folder / work_folder.JOURNAL).write_bytes(b"".join(map(seal_line, [{**entries[0], "jobs": jobs}, *entries[1:]])))
    a, b = read_state(tmp_path).films
    assert (a.state, a.out, a.source, a.sha256) == ("done", tmp_path / "a.gif", str(tmp_path / "flower.jpg"), "0" * 64)
    assert (b.state, b.error, b.frames) == ("failed", "It broke.", 4)


def test_status_of_a_damaged_batch_is_a_sentence(tmp_path):
    folder, entries = batch(tmp_path)
    (folder / work_folder.JOURNAL).write_bytes(seal_line({**entries[0], "jobs": [{"fps": "1/0"}]}))
    done = CliRunner().invoke(app, ["status", str(tmp_path), "--report"])
    assert (done.exit_code, "no batch that this version" in done.stderr) == (4, True)


@posix
def test_nothing_is_written_or_deleted_behind_links_in_a_batchs_folder(tmp_path):
    folder, _ = batch(tmp_path)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "notes.json").write_text("mine")
    (theirs / "page.html").write_text("mine")
    (folder / "page").symlink_to(theirs)
    (tmp_path / "report.html").symlink_to(theirs / "page.html")
    state = read_state(folder)
    assert write_report(state).name == "report-jobs.html"
    with pytest.raises(BadInput, match="is a link"):
        film_summary.show(state.films[0], folder)
    for name in ("page.lock", "lock", "journal.jsonl"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(theirs / "notes.json")
        with pytest.raises(DreamreelError):
            write_report(read_state(folder))
    assert {path.name: path.read_text() for path in theirs.iterdir()} == {"notes.json": "mine", "page.html": "mine"}


def test_what_was_kept_for_a_page_is_looked_at_anew_where_it_is_damaged(tmp_path):
    folder, _ = batch(tmp_path)
    row = read_state(folder).films[0]
    film_summary.show(row, folder)
    (kept,) = (folder / "page").iterdir()
    whole, rng = json.loads(kept.read_text()), random.Random(14)
    for _ in range(TIMES):
        kept.write_text(json.dumps(mutated(whole, rng)))
        ends_well(lambda: write_report(read_state(folder)))
    kept.write_text(json.dumps({**whole, "still": '"><script>'}))
    assert film_summary.known(row, folder) is None
