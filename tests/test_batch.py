"""Batches of tiny films with the real command: what is made, skipped, made again, refused, and what survives a kill."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from renderer.batch import batch_journal as batchjournal
from renderer.batch.batch_journal import BatchJournal, batch_folder
from renderer.batch.batch_plan import open_jobs, plan_batch
from renderer.batch.run import run_batch
from renderer.batch.status import read_state
from renderer.cli.main import app
from renderer.dreaming.ascent.dreamer import Dreamer
from renderer.errors import DiskProblem
from renderer.events import JobStarted, Note
from renderer.media.ffmpeg.pipes import FfmpegFailed, file_url, run
from renderer.media.images import write_image
from renderer.media.store.journal import Journal
from renderer.workers import jobs as worker_jobs
from renderer.workers.jobs import Outcome, SerialExecutor

DEFAULTS = """
[defaults]
output = "{name}.mp4"
[defaults.set]
film = { size = "64x48", frames = 2, fps = 12 }
dream = { octaves = 1, first_steps = 1, steps = 1 }
network.weights = "WEIGHTS"
"""
KEEP = DEFAULTS.replace("[defaults]", "[defaults]\nkeep_store = true")


class Batch:
    """A folder with a jobs file, and the commands on it."""

    def __init__(self, folder: Path, weights: Path) -> None:
        self.folder, self.weights = folder, weights
        self.file = folder / "jobs.toml"
        self.journal = folder / ".jobs.dreamreel-batch" / "journal.jsonl"

    def write(self, *jobs: str, defaults: str = DEFAULTS) -> None:
        text = "\n".join([defaults.replace("WEIGHTS", str(self.weights)), *(f"[[job]]\n{job}" for job in jobs)])
        self.file.write_text(text, encoding="utf-8")

    def run(self, *flags: str, code: int | None = 0):
        done = CliRunner().invoke(app, ["batch", str(self.file), *flags])
        assert code is None or done.exit_code == code, done.output
        assert "Traceback" not in done.output
        return done

    def rows(self, *flags: str, code: int | None = 0) -> dict[str, dict]:
        """Run with --json; return the lines of films by name."""
        lines = [json.loads(line) for line in self.run("--json", *flags, code=code).stdout.splitlines()]
        return {line["name"]: line for line in lines if line["event"] in ("film", "failed")}

    def status(self) -> dict[str, str]:
        return {row.name: row.state for row in read_state(self.file).films}

    def entries(self) -> list[dict]:
        return Journal(self.journal).read()

    def films(self) -> dict[str, str]:
        """Hashes of what was made, by name."""
        found = (path for path in sorted(self.folder.rglob("[!.]*.*")) if path.is_file())
        made = (path for path in found if not any(part[0] == "." for part in path.relative_to(self.folder).parts))
        return {path.name: sha256(path) for path in made if path.suffix not in (".toml", ".png", ".html")}

    def drop_from_journal(self, kind: str) -> None:
        """Take the lines of one kind out of the journal, as if the batch had been killed before they were written."""
        kept = [entry for entry in self.entries() if entry["kind"] != kind]
        self.journal.unlink()
        journal = Journal(self.journal)
        for entry in kept:
            journal.append(entry)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A file with a network of five small convolutions, named like those of the bundled one."""
    from renderer.runtime import prepare

    prepare()  # Before anybody else loads TensorFlow, as the command does.
    import keras
    from keras import layers

    keras.utils.set_random_seed(7)
    picture = x = keras.Input((None, None, 3))
    for name in ("edges", "textures", "patterns", "parts", "objects"):
        x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name=name)(x)
    path = tmp_path_factory.mktemp("network") / "tiny.keras"
    keras.Model(picture, x).save(path)
    return path


@pytest.fixture
def batch(tmp_path, weights):
    return Batch(tmp_path, weights)


@pytest.fixture
def whole(tmp_path_factory, weights):
    """A batch elsewhere, to compare with."""
    return Batch(tmp_path_factory.mktemp("whole"), weights)


@pytest.fixture
def dreams(monkeypatch):
    """Counts the frames that are dreamed."""
    counted = []
    real = Dreamer.__call__

    def counting(self, *args, **options):
        counted.append(options.get("frame"))
        return real(self, *args, **options)

    monkeypatch.setattr(Dreamer, "__call__", counting)
    return counted


def make_clip(path):
    run(["-f", "lavfi", "-i", "testsrc2=s=64x48:r=12:d=0.2", "-c:v", "libx264", "-y", file_url(path)])
    return path


def test_all_kinds_of_films_are_made_one_line_each_and_nothing_else_is_left(batch, picture):
    write_image(picture, batch.folder / "one.png")
    make_clip(batch.folder / "-x %d.mkv")
    batch.write(
        'name = "noise"\npreset = "iris"\noutput = "films/{name}-{preset}-{seed}.gif"',
        'name = "zoom"\ninput = "one.png"',
        'name = "still"\nkind = "still"\ninput = "*.png"\noutput = "films/{stem}.jpg"',
        'name = "video"\nkind = "video"\ninput = "*.mkv"\noutput = "{stem} 🎞.mp4"',
    )
    done = batch.run()
    made = {"films/noise-iris-7.gif", "zoom.mp4", "films/one.jpg", "-x %d 🎞.mp4"}
    seed = next(p.name for p in (batch.folder / "films").glob("noise-iris-*.gif"))
    made = made - {"films/noise-iris-7.gif"} | {f"films/{seed}"}
    lines = [line.rpartition(": ")[0] for line in done.stdout.splitlines()]
    assert {line.partition(": 4")[0].partition(": 6")[0] for line in lines} == {
        str(batch.folder / name) for name in made
    }
    found = {
        str(p.relative_to(batch.folder)) for p in batch.folder.rglob("*") if p.is_file() and "-batch" not in str(p)
    }
    assert found == made | {"jobs.toml", "one.png", "-x %d.mkv", "report.html"}
    assert "4 of 4 films are made" in done.stderr


def test_what_is_made_is_not_made_again_and_says_so(batch, dreams, monkeypatch):
    batch.write('name = "a"', 'name = "b"\nseed = 2', 'name = "c"\nkind = "still"\noutput = "{name}.jpg"')
    first = batch.rows()
    before, count = batch.films(), len(dreams)
    assert [row["rendered"] for row in first.values()] == [2, 2, 1]
    assert first["a"]["sha256"] == before["a.mp4"]
    assert first["a"]["strength"] > 0
    monkeypatch.setattr(batchjournal, "now", lambda: "1970-01-01T00:00:00+00:00")  # the clock has jumped
    again = batch.rows()
    assert (batch.films(), len(dreams)) == (before, count)
    assert all(row["earlier"] for row in again.values())
    assert batch.status() == {"a": "done", "b": "done", "c": "done"}
    assert "2 of 3" not in batch.run().stderr


def test_bad_jobs_stop_no_other_and_end_with_a_sentence_each(batch, picture):
    write_image(picture, batch.folder / "whole.png")
    (batch.folder / "cut.png").write_bytes((batch.folder / "whole.png").read_bytes()[:200])
    (batch.folder / "text.mp4").write_text("hello")
    (batch.folder / "there.mp4").write_bytes(b"mine")
    write_image(picture, batch.folder / "self.png")
    (batch.folder / "file").touch()
    batch.write(
        'name = "missing"\ninput = "none.png"',
        'name = "look"\npreset = "nosuch"',
        'name = "good"\ninput = "whole.png"',
        'name = "value"\nset.film.fps = 0',
        'name = "clip"\nkind = "video"\ninput = "text.mp4"\noutput = "clip-dream.mp4"',
        'name = "cut"\ninput = "cut.png"',
        'name = "there"',
        'name = "ending"\noutput = "x.doc"',
        'name = "weights"\nset.network.weights = "none.keras"',
        'name = "corrupt"\nset.network.weights = "text.mp4"',
        'name = "long"\ninput = "' + "x" * 300 + '"',
        'name = "layer"\nset.dream.layers = "nosuch"',
        'name = "inside"\noutput = "file/x.mp4"',
        'name = "itself"\ninput = "self.png"\nkind = "still"\noutput = "self.png"\noverwrite = true',
        'name = "other"\nseed = 3',
    )
    done = batch.run(code=3)
    assert sorted(batch.films()) == ["good.mp4", "other.mp4", "text.mp4", "there.mp4"]
    assert (batch.folder / "there.mp4").read_bytes() == b"mine"
    words = {
        "missing": "is not there",
        "look": "nosuch",
        "value": "film.fps",
        "clip": "text.mp4",
        "cut": "cut.png",
        "there": "exists already",
        "ending": ".doc",
        "weights": "none.keras",
        "corrupt": "no Keras model",
        "long": "xxx",
        "layer": "nosuch",
        "inside": "not a folder",
        "itself": "is an input too",
    }
    last = done.stderr.splitlines()[-len(words) - 1 :]
    for name, word in words.items():
        (line,) = [line for line in last if line.startswith(f"{name}: ")]
        assert word in line
    assert "2 of 15 films are made, 13 failed" in last[-1]
    codes = {name: row["exit_code"] for name, row in batch.rows(code=3).items() if row["event"] == "failed"}
    clips = {"missing": 4, "clip": 4, "cut": 4, "corrupt": 4}
    looks = {"look": 2, "value": 2, "there": 2, "ending": 2, "layer": 2, "itself": 2}
    assert codes == {**clips, **looks, "weights": 5, "inside": 6, "long": 4}


def test_with_fail_fast_the_first_failure_ends_the_batch(batch, dreams):
    batch.write('name = "bad"\npreset = "nosuch"', 'name = "good"')
    done = batch.run("--fail-fast", code=3)
    assert dreams == []
    assert "1 failed, 1 are left" in done.stderr
    batch.write('name = "bad"\nset.dream.layers = "nosuch"', 'name = "good"')
    batch.run("--fail-fast", code=3)
    assert dreams == []


def test_films_are_made_by_priority_and_then_in_the_order_of_the_file(batch):
    batch.write(
        'name = "a"', 'name = "b"\npriority = 5\nseed = 1', 'name = "c"\nseed = 2', 'name = "d"\npriority = 5\nseed = 3'
    )
    listener = Listening()
    list(run_here(batch, Lost(), listener=listener))
    assert listener.begun[:4] == ["b", "d", "a", "c"]


def test_only_makes_the_films_that_are_named(batch):
    batch.write('name = "a"', 'name = "ab"\nseed = 1', 'name = "c"\nseed = 2')
    assert list(batch.rows("--only", "a*")) == ["a", "ab"]
    assert batch.status() == {"a": "done", "ab": "done", "c": "waiting"}
    assert "'c'" in batch.run("--only", "cc", code=2).stderr


def test_a_dry_run_lists_the_films_and_writes_nothing(batch):
    batch.write('name = "a"', 'name = "b"\npreset = "nosuch"', 'name = "c"\nkind = "still"\noutput = "deep/{name}.png"')
    done = batch.run("--dry-run", code=3)
    assert [path.name for path in batch.folder.iterdir()] == ["jobs.toml"]
    a, b, c, total = done.stdout.splitlines()
    assert a.split()[:6] == ["a", "zoom", "2", "frames", "64x48", "waiting"]
    assert "nosuch" in b
    assert "deep/c.png" in c
    assert "2 films to make, 3 dreams: about" in total
    assert "1 of 3 films cannot be made" in done.stderr
    lines = [json.loads(line) for line in batch.run("--dry-run", "--json", code=3).stdout.splitlines()]
    (plan,) = (line for line in lines if line["event"] == "plan")
    assert plan["seconds"] > 0
    assert plan["peak"] > plan["bytes"] > 0
    assert plan["failed"] == 1


def test_what_cannot_be_made_is_told_at_the_end_and_ends_with_3_in_a_dry_run_a_run_and_its_status(batch):
    batch.write('name = "b"\npreset = "nosuch"')
    dry = batch.run("--dry-run", code=3)
    assert "Everything is made" not in dry.output
    assert "1 of 1 films cannot be made" in dry.stderr
    batch.run(code=3)
    status = CliRunner().invoke(app, ["status", str(batch.file)])
    assert status.exit_code == 3
    assert "1 of 1 films failed" in status.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs pipes of Unix")
def test_all_films_are_made_though_the_reader_of_the_results_has_left(batch, monkeypatch):
    from renderer.cli.show.streams import open_stream
    from renderer.cli.show.terminal import Terminal

    batch.write('name = "a"', 'name = "b"\nseed = 2')
    reader, writer = os.pipe()
    os.close(reader)
    gone = open_stream(writer, encoding="utf-8", closes=True)
    plain = Terminal.result

    def result(self, *lines, **values):
        with contextlib.redirect_stdout(gone):
            plain(self, *lines, **values)

    monkeypatch.setattr(Terminal, "result", result)
    batch.run()
    assert set(batch.films()) == {"a.mp4", "b.mp4"}
    assert gone.lost is not None
    gone.close()


def test_an_estimate_counts_what_is_dreamed_before_a_loop_begins(batch):
    batch.write('name = "a"\nset.film.loop = true\nset.film.run_up = 0.5')
    (_, total) = batch.run("--dry-run").stdout.splitlines()
    assert "1 films to make, 8 dreams: about" in total


def test_a_file_that_is_not_as_the_batch_made_it_does_not_count_and_is_not_replaced_unasked(batch):
    batch.write('name = "a"')
    batch.run()
    before, film = batch.films(), batch.folder / "a.mp4"
    data = film.read_bytes()
    for touched in (data + b"\0", data[: len(data) // 2], b"a film of somebody else's"):
        film.write_bytes(touched)
        done = batch.run(code=3)
        assert "a.mp4 exists already, and it was changed" in done.stderr
        assert film.read_bytes() == touched
    batch.run("--overwrite")
    assert batch.films() == before


def test_a_film_that_is_gone_is_made_again(batch):
    batch.write('name = "a"')
    batch.run()
    before = batch.films()
    (batch.folder / "a.mp4").unlink()
    assert batch.status() == {"a": "waiting"}
    assert not batch.rows()["a"]["earlier"]
    assert batch.films() == before


def test_a_film_whose_settings_or_input_changed_is_made_again_in_its_place(batch, picture, dreams):
    image, films = batch.folder / "one.png", ['name = "a"\ninput = "one.png"', 'name = "b"\nseed = 1', 'name = "c"']
    write_image(picture, image)
    batch.write(*films)
    batch.run()
    before = batch.films()
    dreams.clear()
    write_image(picture[::-1], image, overwrite=True)
    batch.write(films[0], 'name = "b"\nseed = 9', films[2])
    rows = batch.rows()
    assert [rows[name]["earlier"] for name in "abc"] == [False, False, True]
    after = batch.films()
    assert len(dreams) == 4
    assert {name for name in before if before[name] != after[name]} == {"a.mp4", "b.mp4"}


def test_changing_only_the_codec_of_a_kept_batch_dreams_no_frame_again(batch, dreams):
    films = ['name = "a"', 'name = "b"\nseed = 1', 'name = "c"\noutput = "frames/{name}.gif"\nseed = 2']
    batch.write(*films, defaults=KEEP)
    batch.run()
    before, count = batch.films(), len(dreams)
    batch.write(*(f"{film}\nset.encode.quality = 40" for film in films[:2]), films[2], defaults=KEEP)
    rows = batch.rows()
    after = batch.films()
    assert len(dreams) == count == 6
    assert [rows[name]["rendered"] for name in "abc"] == [0, 0, 2]
    assert [rows[name]["earlier"] for name in "abc"] == [False, False, True]
    assert {name for name in before if before[name] != after[name]} == {"a.mp4", "b.mp4"}
    batch.write(*films[:2], defaults=KEEP.replace("{name}.mp4", "{name}.webm"))
    assert [row["rendered"] for row in batch.rows().values()] == [0, 0]
    assert len(dreams) == count
    assert {"a.webm", "b.webm"} <= set(batch.films())


def test_unfinished_work_of_a_job_that_was_changed_begins_anew(batch, dreams):
    batch.write('name = "a"\nset.film.frames = 4')
    stop_after(batch, frames=2)
    batch.write('name = "a"\nset.film.frames = 4\nseed = 9')
    assert batch.rows()["a"]["rendered"] == 4


def stop_after(batch, *, frames, number=signal.SIGINT, code=130):
    """Run, and send a signal in the middle of a frame."""
    seen = []
    real = Dreamer.__call__

    def dreaming(self, *args, **options):
        seen.append(1)
        if len(seen) == frames:
            os.kill(os.getpid(), number)
        return real(self, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Dreamer, "__call__", dreaming)
        return batch.run(code=code)


def test_a_stop_finishes_the_frame_and_the_same_command_goes_on_to_the_same_bytes(batch, whole):
    films = ['name = "a"', 'name = "b"\nseed = 1\nset.film.frames = 6', 'name = "c"\nseed = 2']
    for one in (whole, batch):
        one.write(*films)
    whole.run()
    for frames, number, code, kept in ((4, signal.SIGINT, 130, 2), (2, signal.SIGTERM, 143, 4)):
        done = stop_after(batch, frames=frames, number=number, code=code)
        assert "1 of 3 films are made" in done.stderr and "2 are left" in done.stderr
        assert batch.status() == {"a": "done", "b": "stopped", "c": "waiting"}
        assert next(film for film in read_state(batch.folder).films if film.name == "b").frames_done == kept
    rows = batch.rows()
    assert [rows[name]["rendered"] for name in "abc"] == [2, 2, 2]
    assert batch.films() == whole.films()


DYING = """
import os, sys
import renderer.dreaming.ascent.dreamer as dreamer
from renderer.cli.main import app
real, seen = dreamer.Dreamer.__call__, []
def dying(*args, **options):
    seen.append(1)
    if len(seen) == 4:
        os.kill(os.getpid(), 9)
    return real(*args, **options)
dreamer.Dreamer.__call__ = dying
app(["batch", sys.argv[1]], standalone_mode=False)
"""
"""Makes a batch, and is killed in the middle of its second film's second frame."""


@pytest.mark.slow
def test_a_killed_batch_goes_on_where_it_was_and_ends_with_the_same_bytes(batch, whole):
    for one in (whole, batch):
        one.write('name = "a"', 'name = "b"\nseed = 1\nset.film.frames = 4')
    whole.run()
    here = {"cwd": Path(__file__).resolve().parents[1], "capture_output": True, "text": True, "check": False}
    done = subprocess.run([sys.executable, "-c", DYING, str(batch.file)], **here)
    assert done.returncode == -signal.SIGKILL, done.stderr
    state = read_state(batch.file)
    assert (state.running, state.ended) == (False, "")
    assert batch.status() == {"a": "done", "b": "stopped"}
    assert "cut short" in CliRunner().invoke(app, ["status", str(batch.folder)]).stdout.splitlines()[-1]
    batch.run()
    assert batch.films() == whole.films()
    assert len(whole.films()) == 2


def test_a_film_finished_just_before_a_kill_counts_by_the_recipe_inside_it(batch, dreams):
    batch.write('name = "a"', 'name = "b"\nkind = "still"\noutput = "b.jpg"', 'name = "c"\nkeep_store = true\nseed = 1')
    batch.run()
    before = batch.films()
    batch.drop_from_journal("done")
    dreams.clear()
    assert all(row["earlier"] for row in batch.rows().values())
    assert dreams == []
    assert batch.films() == before
    assert batch.status() == {"a": "done", "b": "done", "c": "done"}


def test_a_film_that_another_command_made_with_the_same_settings_counts(batch, dreams):
    batch.write('name = "a"')
    flags = "--size 64x48 --frames 2 --fps 12 --octaves 1 --first-steps 1 --steps 1".split()  # noqa: SIM905
    flags += ["--weights", str(batch.weights)]
    assert CliRunner().invoke(app, ["zoom", "-o", str(batch.folder / "a.mp4"), *flags]).exit_code == 0
    dreams.clear()
    assert batch.rows()["a"]["earlier"]
    assert dreams == []


def test_a_truncated_film_that_the_journal_does_not_know_does_not_count(batch):
    batch.write('name = "a"\nset.film.frames = 8')
    batch.run()
    batch.drop_from_journal("done")
    film = batch.folder / "a.mp4"
    whole = film.read_bytes()
    film.write_bytes(whole[: len(whole) * 2 // 3])
    batch.run()
    assert film.read_bytes() == whole


def test_a_damaged_journal_costs_no_film(batch, dreams):
    batch.write('name = "a"', 'name = "b"\nseed = 1')
    batch.run()
    before, data = batch.films(), batch.journal.read_bytes()
    dreams.clear()
    for damaged in (data[:-30], data[:-90] + b"\0" * 500, b"", None):
        if damaged is None:
            batch.journal.unlink()
        else:
            batch.journal.write_bytes(damaged)
        batch.run()
        assert dreams == []
        assert batch.films() == before
        assert batch.status() == {"a": "done", "b": "done"}


def test_two_runs_of_one_batch_do_not_meet_and_status_works_meanwhile(batch):
    batch.write('name = "a"')
    batch.run()
    with BatchJournal(batch_folder(batch.file, batch.folder)) as journal:
        assert "Another run is at work" in batch.run(code=2).stderr
        journal.append({"kind": "begun", "name": "a", "out": "a.mp4", "film_key": "", "encode_key": "", "at": "now"})
        assert read_state(batch.folder).running
        assert batch.status() == {"a": "running"}
        done = CliRunner().invoke(app, ["status", str(batch.file), "--json"])
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert (lines[0]["state"], lines[1]["running"], lines[1]["counts"]["running"]) == ("running", True, 1)
    assert batch.status() == {"a": "stopped"}


def test_status_says_where_there_is_no_batch(batch):
    where = batch.folder / "x"
    for make, words in ((None, "does not exist"), (Path.mkdir, "no batch"), (Path.touch, "was begun")):
        if make is not None:
            make(where)
        done = CliRunner().invoke(app, ["status", str(where)])
        assert done.exit_code == 4
        assert words in done.stderr
        if where.is_dir():
            where.rmdir()


def test_the_same_film_under_two_names_is_refused_with_both(batch):
    batch.write('name = "a"', 'name = "b"', 'name = "c"\nset.film.seconds = 1')
    done = batch.run(code=2)
    assert "'a' and 'b' are the same film" in done.stderr
    assert list(batch.folder.glob("*.mp4")) == []
    batch.write('name = "a"', 'name = "b"\noutput = "b.gif"')
    batch.run("--dry-run")


def test_a_mistake_in_the_file_refuses_it_before_anything_is_written(batch):
    batch.write('name = "a"', 'name = "b"\noutput = "a.mp4"')
    assert "'a' and 'b' spoil each other" in batch.run(code=2).stderr
    batch.file.write_text("[[job]")
    assert "not valid TOML" in batch.run(code=4).stderr
    assert [path.name for path in batch.folder.iterdir()] == ["jobs.toml"]


class Listening:
    """Is told of a batch."""

    def __init__(self):
        self.begun, self.notes = [], []

    def __call__(self, job, event):
        if isinstance(event, JobStarted):
            self.begun.append(job)
        elif isinstance(event, Note):
            self.notes.append(event.text)


def run_here(batch, executor=None, **options):
    """Run a batch in this process, past the command; give each row as it ends."""
    jobs, listener = open_jobs(batch.file), options.pop("listener", Listening())
    with BatchJournal(batch_folder(batch.file, batch.folder)) as journal:
        planned = plan_batch(jobs, journal)
        yield from run_batch(
            jobs, planned, journal, executor=executor or SerialExecutor(), listener=listener, **options
        )


def test_a_file_that_turns_up_under_a_films_name_while_the_batch_runs_stays_and_others_go_on(batch):
    batch.write('name = "a"', 'name = "b"\nseed = 1', 'name = "c"\nseed = 2')
    states = {}
    for row in run_here(batch):
        states[row.name] = (row.state, row.error)
        if row.name == "a":
            (batch.folder / "b.mp4").write_bytes(b"mine")
    assert [state for state, _ in states.values()] == ["done", "failed", "done"]
    assert "exists" in states["b"][1]
    assert (batch.folder / "b.mp4").read_bytes() == b"mine"


def failing(monkeypatch, error, *, times):
    """Let the making of film "b" fail some times."""
    left = [times]
    real = worker_jobs.make_film

    def make(film, **options):
        if film.out.stem == "b" and left[0]:
            left[0] -= 1
            raise error
        return real(film, **options)

    monkeypatch.setattr(worker_jobs, "make_film", make)


PASSING = FfmpegFailed("ffmpeg was killed.", returncode=-9, log="")


@pytest.mark.parametrize(
    ("error", "times", "ends"),
    [(PASSING, 1, "done"), (PASSING, 2, "failed"), (KeyError("x"), 1, "failed"), (MemoryError(), 1, "failed")],
)
def test_what_can_pass_is_tried_once_more_after_the_others_and_nothing_else_is(batch, monkeypatch, error, times, ends):
    batch.write(*(f'kind = "still"\nname = "{name}"\noutput = "{name}.png"\nseed = {ord(name)}' for name in "ba"))
    failing(monkeypatch, error, times=times)
    listener = Listening()
    rows = {row.name: row for row in run_here(batch, listener=listener)}
    tried = ["b", "a", "b"] if error is PASSING else ["b", "a"]
    assert listener.begun == tried
    assert (rows["a"].state, rows["b"].state) == ("done", ends)
    assert rows["b"].attempts == (0 if ends == "done" else len(tried) - 1)
    if isinstance(error, MemoryError):
        assert "smaller --size" in rows["b"].error
    if isinstance(error, KeyError):
        assert "bug" in rows["b"].error
        assert [e for e in batch.entries() if e["kind"] == "failed" and "KeyError" in e["traceback"]]


def test_a_full_disk_fails_with_its_own_code_and_the_batch_goes_on_once_there_is_room(batch, monkeypatch):
    batch.write('name = "a"', 'name = "b"\nseed = 1')
    with monkeypatch.context() as full:
        full.setattr("renderer.films.outputs.free_bytes", lambda folder: 100)
        rows = batch.rows(code=3)
    assert {row["exit_code"] for row in rows.values()} == {DiskProblem.exit_code}
    assert {row["attempts"] for row in rows.values()} == {2}
    assert list(batch.rows()) == ["a", "b"]


def test_a_journal_that_cannot_be_written_ends_the_batch_with_the_code_of_the_disk(batch, monkeypatch):
    batch.write('name = "a"')

    def full(self, entry):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", full)
        assert "No space left" in batch.run(code=6).stderr
    batch.run()


class Lost:
    """An executor whose workers are lost."""

    def run(self, jobs, *, listener, should_stop=lambda: False):
        for job in jobs:
            listener(job.id, JobStarted())
            yield Outcome(id=job.id, error=DiskProblem("The worker was lost."))

    def __enter__(self):
        return self

    def __exit__(self, *_): ...


def test_an_executor_that_never_succeeds_is_not_asked_for_ever(batch):
    batch.write('name = "a"', 'name = "b"\nseed = 1')
    listener = Listening()
    rows = list(run_here(batch, Lost(), listener=listener))
    assert [row.state for row in rows] == ["failed", "failed"]
    assert sorted(listener.begun) == ["a", "a", "b", "b"]


def test_a_batch_that_was_moved_knows_its_films_still(batch, dreams):
    batch.write('name = "a"\noutput = "films/a.mp4"')
    batch.run()
    dreams.clear()
    moved = batch.folder.rename(batch.folder.with_name("moved"))
    assert Batch(moved, batch.weights).rows()["a"]["earlier"]
    assert dreams == []


def test_outputs_and_work_go_where_they_are_told(batch):
    batch.write('name = "a"', defaults=KEEP)
    out, work = batch.folder / "out", batch.folder / "work"
    batch.run("--output-dir", str(out), "--work-dir", str(work))
    assert (out / "a.mp4").is_file()
    assert [path.name[:3] for path in work.iterdir()] == [".a-"]
    assert read_state(out).counts()["done"] == 1
    assert not batch.journal.exists()


def test_outputs_may_go_into_a_folder_that_is_named_from_here(batch, monkeypatch):
    batch.write('name = "a"\nkind = "still"\noutput = "{name}.png"')
    monkeypatch.chdir(batch.folder)
    batch.run("--output-dir", "out")
    assert read_state(batch.folder / "out").counts()["done"] == 1
