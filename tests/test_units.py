"""Units of work: films rendered piece by piece by workers that die, lack things or differ, here all in this process."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import hashlib
import io
import itertools
import os
import pickle
import re
import threading
from pathlib import Path
from queue import SimpleQueue
from unittest.mock import Mock

import films
import numpy as np
import pytest
from films import RATE, SHOT, Batch, Listening, sha256

from renderer.dreaming.networks import network as networks
from renderer.errors import BadInput, DiskProblem, DreamreelError, EnvironmentProblem, Interrupted, UsageError
from renderer.films.local_renderer import Environment
from renderer.films.make import make_film
from renderer.films.still import DreamedPicture, StillFilm
from renderer.frame import Size
from renderer.media.ffmpeg.pipes import FfmpegFailed
from renderer.media.images import write_image
from renderer.media.store.segments import Recorder
from renderer.media.store.store import Store
from renderer.workers import distributed_renderer, jobs
from renderer.workers.answers import NonsenseError, pack, unpack
from renderer.workers.inputs import chunks, describe, find, keep, missing
from renderer.workers.jobs import Job, SerialExecutor
from renderer.workers.pool import PoolExecutor
from renderer.workers.scheduler import Scheduler, Task
from renderer.workers.tasks import Failure, FrameRange, Missing, OpenFilm, TaskRunner, film_spec


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return films.save_tiny_network(tmp_path_factory.mktemp("network") / "tiny.keras")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return films.make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4")


@pytest.fixture(scope="module")
def whole(network, clip, tmp_path_factory):
    """The film over the clip, made by this process in one go."""
    out = tmp_path_factory.mktemp("whole") / "dream.mp4"
    make_film(films.video(network, clip, out), listener=Listening())
    return out


@pytest.fixture(autouse=True)
def small_lanes(monkeypatch):
    """Every shot is a lane, and every range ends after one frame."""
    monkeypatch.setattr(distributed_renderer, "SHORTEST_LANE", 4)
    monkeypatch.setattr(distributed_renderer, "RANGE_SECONDS", 0.0)


class Neighbour:
    """A worker in a thread of this process; `dies` says of work whether it dies of it, `says` what it answers."""

    numbers = itertools.count()

    def __init__(self, pool):
        self.pool, self.scheduler = pool, pool.scheduler
        self.runner = TaskRunner(pool.folder / f"runner-{next(self.numbers)}")
        self.runner.folder.mkdir()

    def begin(self, task):
        threading.Thread(target=self._work, args=(task,), daemon=True).start()

    def stop(self, task):
        self.runner.stopped.add(task.number)

    def _work(self, task):
        with self.pool.turn:  # Threads on one network would only be in each other's way.
            self.pool.done.append(task.work)
            self.scheduler.begun(self, task.number)
            if self.pool.dies(task.work):
                self.scheduler.lost(self, "was killed by SIGKILL")
                self.scheduler.joined(Neighbour(self.pool))
                return
            answer = self.runner.perform(
                task.work,
                number=task.number,
                report=lambda frame: self.scheduler.frame_done(self, task.number, frame),
            )
            self.pool.performed.append(task.work)
            self.pool.turn.notify_all()
        try:
            self.scheduler.answered(self, task.number, unpack(self.pool.says(task.work, answer)))
        except NonsenseError as error:
            self.scheduler.lost(self, f"in {self.runner.folder.name} {error}", nonsense=True)
            self.scheduler.joined(Neighbour(self.pool))


class Neighbours(PoolExecutor):
    """Two of them."""

    shared, workers = True, 2

    def __init__(self, folder, *, dies=lambda work: False, says=lambda work, answer: pack(answer)):
        super().__init__()
        self.folder, self.dies, self.says = folder, dies, says
        self.turn, self.done, self.performed = threading.Condition(), [], []

    def start(self):
        for _ in range(self.workers):
            self.scheduler.joined(Neighbour(self))

    def close(self):
        self.scheduler.close()

    def die_at(self, frame):
        """Let every worker die that begins with a frame, once something further on has been rendered."""

        def further_on():
            return any(isinstance(work, FrameRange) and work.first >= SHOT for work in self.performed)

        def dies(work):
            return isinstance(work, FrameRange) and work.first == frame and self.turn.wait_for(further_on, 60)

        self.dies = dies
        return self


def make(executor, *made, listener=None, should_stop=lambda: False):
    listener = listener or Batch()
    with executor:
        ordered = [Job(id=film.out.name, film=film) for film in made]
        return {one.id: one for one in executor.run(ordered, listener=listener, should_stop=should_stop)}, listener


def ranges(staff):
    return [work for work in staff.done if isinstance(work, FrameRange)]


def at_first(index):
    """Say of work whether it is the first one that begins with a frame."""
    seen = []

    def dies(work):
        if isinstance(work, FrameRange) and work.first == index and not seen:
            seen.append(work)
            return True
        return False

    return dies


def test_a_video_rendered_frame_by_frame_by_several_workers_has_the_bytes_of_one_made_in_one_go(
    network, clip, whole, tmp_path
):
    out, staff = tmp_path / "dream.mp4", Neighbours(tmp_path)
    outcomes, listener = make(staff, films.video(network, clip, out))
    assert outcomes["dream.mp4"].result.frames == 3 * SHOT
    assert sha256(out) == sha256(whole)
    assert {work.end for work in ranges(staff)} == {SHOT, 2 * SHOT, 3 * SHOT}
    assert [path.name for path in tmp_path.iterdir() if "runner" not in path.name] == ["dream.mp4"]
    assert listener.jobs["dream.mp4"].frames[-1] == 3 * SHOT - 1


def test_a_video_that_is_dreamed_at_every_third_frame_has_the_same_bytes_stopped_and_on_workers(
    network, clip, tmp_path
):
    def made(name):
        return films.video(network, clip, tmp_path / name, f"film.dreams={RATE // 3}")

    whole = Listening()
    make_film(made("whole.mp4"), listener=whole)
    assert whole.frames == [*range(3 * SHOT)]
    starts = []
    for stop in (2, 1, 10**9):  # the first ends with the frame that is dreamed, not with the one before
        listening = Listening(stop_after=stop)
        with contextlib.suppress(Interrupted):
            make_film(made("parts.mp4"), listener=listening, should_stop=listening.should_stop)
        starts.append(listening.begun_at)
    assert starts == [0, SHOT, SHOT + 1]
    staff = Neighbours(tmp_path)
    make(staff, made("apart.mp4"))
    assert {work.first for work in ranges(staff)} == {shot * SHOT + place for shot in range(3) for place in (0, 1)}
    assert len({sha256(tmp_path / f"{name}.mp4") for name in ("whole", "parts", "apart")}) == 1


@pytest.fixture(params=["serial", "workers"])
def executor(request, tmp_path):
    if request.param == "serial":
        return SerialExecutor()
    (tmp_path / "workers").mkdir()
    return Neighbours(tmp_path / "workers")


def test_a_film_that_fails_for_whatever_reason_stops_no_other(executor, network, tmp_path, monkeypatch):
    real = jobs.make_film

    def sometimes(film, **options):
        if film.out.name == "bug.mp4":
            raise ZeroDivisionError("by nothing")
        return real(film, **options)

    monkeypatch.setattr(jobs, "make_film", sometimes)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    outcomes, _ = make(
        executor,
        films.zoom(network, tmp_path / "bug.mp4"),
        films.zoom(network, tmp_path / "layer.mp4", "dream.layers=prats"),
        films.zoom(network, tmp_path / "picture.mp4", picture=broken),
        films.zoom(network, tmp_path / "fine.mp4", frames=1),
    )
    assert "bug in Dreamreel: ZeroDivisionError: by nothing" in str(outcomes["bug.mp4"].error)
    assert outcomes["bug.mp4"].error.exit_code == 1
    assert "sometimes" in outcomes["bug.mp4"].traceback
    assert isinstance(outcomes["layer.mp4"].error, UsageError)
    assert "'parts'" in str(outcomes["layer.mp4"].error)
    assert "Traceback" in outcomes["layer.mp4"].traceback
    assert not outcomes["layer.mp4"].error.passing
    assert isinstance(outcomes["picture.mp4"].error, BadInput)
    assert str(broken) in str(outcomes["picture.mp4"].error)
    assert outcomes["fine.mp4"].result.path.is_file()


def test_jobs_may_be_added_while_others_are_made(executor, network, tmp_path):
    class Growing:
        def __init__(self):
            self.waiting = ["a.mp4"]

        def __iter__(self):
            return self

        def __next__(self):
            if not self.waiting:
                raise StopIteration
            name = self.waiting.pop()
            return Job(id=name, film=films.zoom(network, tmp_path / name, frames=1))

    growing, seen = Growing(), []
    with executor:
        for outcome in executor.run(growing, listener=Batch()):
            seen.append(outcome.id)
            if len(seen) < 3:
                growing.waiting.append("abc"[len(seen)] + ".mp4")
    assert seen == ["a.mp4", "b.mp4", "c.mp4"]


def test_a_stop_keeps_what_is_there_and_begins_no_other_film(executor, network, tmp_path):
    listener = Batch()
    made = [films.zoom(network, tmp_path / f"{n}.mp4", frames=100) for n in range(9)]
    outcomes, _ = make(
        executor, *made, listener=listener, should_stop=lambda: any(job.frames for job in listener.jobs.values())
    )
    assert 1 <= len(outcomes) <= 3
    assert all(isinstance(outcome.error, Interrupted) for outcome in outcomes.values())
    assert len(listener.jobs) == len(outcomes)
    assert not list(tmp_path.glob("*.mp4"))


def test_films_one_after_another_load_their_network_once_and_leave_nothing_behind(network, tmp_path, monkeypatch):
    loaded, real = [], networks.load_network
    monkeypatch.setattr(networks, "load_network", lambda *args, **options: loaded.append(1) or real(*args, **options))
    networks._last_network.cache_clear()
    made = (Job(id=str(n), film=films.zoom(network, tmp_path / f"{n}.mp4", f"seed={n}", frames=1)) for n in range(6))
    held = []
    for outcome in SerialExecutor().run(made, listener=Batch()):
        assert outcome.error is None
        gc.collect()
        descriptors = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 0
        held.append((len(gc.get_objects()), threading.active_count(), descriptors))
    assert len(loaded) == 1
    # A leak would be one a film at least; others in this process, like a cluster, open and close a few meanwhile.
    assert held[-1][1] - held[2][1] < 3, "threads"
    assert held[-1][2] - held[2][2] < 3, "descriptors"
    assert held[-1][0] - held[2][0] < 150  # An opened network alone is thousands of objects.


def test_a_film_is_split_at_its_cuts_alone_and_not_where_two_are_close():
    assert distributed_renderer.lanes_of([], 10) == [(0, 10)]
    assert distributed_renderer.lanes_of([2, 4, 6, 20], 20) == [(0, 4), (4, 20)]
    assert distributed_renderer.lanes_of([3, 7, 8, 12], 20) == [(0, 7), (7, 12), (12, 20)]


def test_a_worker_that_dies_costs_its_stretch_only(network, clip, whole, tmp_path):
    out, staff = tmp_path / "dream.mp4", Neighbours(tmp_path, dies=at_first(SHOT + 2))
    outcomes, listener = make(staff, films.video(network, clip, out))
    assert outcomes["dream.mp4"].error is None
    assert sha256(out) == sha256(whole)
    firsts = [work.first for work in ranges(staff)]
    assert sorted(firsts) == sorted([*range(3 * SHOT), SHOT + 2])
    assert [note for note in listener.notes if "was killed by SIGKILL" in note and f"frames {SHOT + 2} to" in note]


def test_what_kills_two_workers_is_set_aside_and_named_while_the_other_films_are_made(network, tmp_path):
    poison = films.zoom(network, tmp_path / "poison.mp4", "seed=666")
    fine = films.zoom(network, tmp_path / "fine.mp4")
    staff = Neighbours(tmp_path, dies=lambda work: work.spec.settings["seed"] == 666 and isinstance(work, FrameRange))
    outcomes, _ = make(staff, poison, fine)
    assert outcomes["fine.mp4"].error is None
    error = outcomes["poison.mp4"].error
    assert isinstance(error, EnvironmentProblem)
    assert "frames 0 to 3 of poison.mp4" in str(error)
    assert "2 workers" in str(error)
    assert not outcomes["poison.mp4"].error.passing
    assert len([work for work in ranges(staff) if work.spec.settings["seed"] == 666]) == 2


def test_a_stopped_film_goes_on_and_renders_nothing_twice(network, clip, whole, tmp_path):
    out, listener = tmp_path / "dream.mp4", Batch()
    first, second = Neighbours(tmp_path), Neighbours(tmp_path)
    outcomes, _ = make(
        first,
        films.video(network, clip, out),
        listener=listener,
        should_stop=lambda: len(getattr(listener.jobs.get("dream.mp4"), "frames", ())) >= 5,
    )
    assert isinstance(outcomes["dream.mp4"].error, Interrupted)
    assert not out.exists()
    done = len(ranges(first))
    assert 5 <= done < 3 * SHOT
    outcomes, listener = make(second, films.video(network, clip, out))
    assert outcomes["dream.mp4"].result.resumed_at == listener.jobs["dream.mp4"].begun_at == done
    assert len(ranges(second)) == 3 * SHOT - done
    assert sha256(out) == sha256(whole)


def test_what_workers_left_is_taken_over_by_one_process_and_the_other_way_round(network, clip, whole, tmp_path):
    out = tmp_path / "dream.mp4"
    made = films.video(network, clip, out)
    outcomes, _ = make(Neighbours(tmp_path).die_at(2), made)
    assert isinstance(outcomes["dream.mp4"].error, EnvironmentProblem)
    store = Store.existing(made.folder)
    assert store.count == 2
    apart = sum(Store.existing(folder).count for _, folder in store.lanes())
    assert apart > 0
    listening = Listening()
    with pytest.raises(Interrupted):
        make_film(made, listener=listening, should_stop=lambda: len(listening.frames) >= 1)
    assert Store.existing(made.folder).count == 3
    staff = Neighbours(tmp_path)
    make(staff, made)
    assert len(ranges(staff)) == 3 * SHOT - 3 - apart
    assert sha256(out) == sha256(whole)


def test_one_process_joins_what_workers_left_further_on(network, clip, whole, tmp_path):
    out = tmp_path / "dream.mp4"
    made = films.video(network, clip, out)
    make(Neighbours(tmp_path).die_at(0), made)
    store = Store.existing(made.folder)
    apart = sum(Store.existing(folder).count for _, folder in store.lanes())
    assert store.count == 0 < apart
    listening = Listening()
    result = make_film(made, listener=listening)
    assert result.resumed_at == apart
    assert len(listening.frames) == 3 * SHOT - apart
    assert sha256(out) == sha256(whole)


def test_work_left_by_workers_on_a_film_with_other_settings_is_not_thrown_away_unasked(network, clip, tmp_path):
    out = tmp_path / "dream.mp4"
    make(Neighbours(tmp_path).die_at(0), films.video(network, clip, out))
    with pytest.raises(UsageError, match="seed was 7 and is 8"):
        make_film(films.video(network, clip, out, "seed=8"), listener=Listening())
    make_film(films.video(network, clip, out, "seed=8", restart=True), listener=Listening())
    assert not (tmp_path / ".dream.mp4.dreamreel").exists()


def test_a_picture_dreamed_by_a_worker_is_the_same_and_shows_how_it_came_about(network, picture, tmp_path):
    image = tmp_path / "start.png"
    write_image(picture, image)
    here, there = (
        StillFilm(
            settings=films.zoom(network, tmp_path / "x").settings,
            out=tmp_path / name / "still.png",
            picture=image,
            evolution=tmp_path / name / "sheet.png",
        )
        for name in ("here", "there")
    )
    for still in (here, there):
        still.out.parent.mkdir()
    make_film(here, listener=Listening())
    outcomes, _ = make(Neighbours(tmp_path), there)
    assert outcomes["still.png"].error is None
    assert sha256(here.out) == sha256(there.out)
    assert sha256(here.evolution) == sha256(there.evolution)


def test_workers_that_would_make_other_pixels_are_refused(network, tmp_path):
    runner, spec = TaskRunner(tmp_path), film_spec(films.zoom(network, tmp_path / "x.mp4"), shared=True)
    environment = runner.perform(OpenFilm(spec=spec))
    assert isinstance(environment, Environment)
    other = dataclasses.replace(environment, details={**environment.details, "numpy": "1.0"})
    frames = FrameRange(spec=spec, environment=other, first=0, end=4, state=None, seconds=1)
    answer = runner.perform(frames)
    assert isinstance(answer, Failure)
    assert "numpy: 1.0 there" in answer.message


def resealed(stretched, **changes):
    """An answer whose first segment has other bytes, and hashes that fit them."""
    changes |= {f"{name}_sha256": hashlib.sha256(changes[name]).hexdigest() for name in changes if name != "frames"}
    return dataclasses.replace(stretched, segments=(dataclasses.replace(stretched.segments[0], **changes),))


def other_film(tmp_path):
    """A segment of a frame of another size."""
    recorder = Recorder(tmp_path, size=Size(48, 64), first=0, state=None)
    recorder.append(np.full((64, 48, 3), 0.5, np.float32))
    recorder.commit({"dream": np.full((64, 48, 3), 0.5, np.float32)})
    return recorder.segments[0]


def bomb():
    """A megabyte of state in a kilobyte."""
    held = io.BytesIO()
    np.savez_compressed(held, dream=np.zeros((48, 64, 96), np.float32))
    return held.getvalue()


class Harmful:
    """What runs code when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("a pickle of a worker was opened",)


def lies_over(folder):
    """Words of a complaint -> what a worker says instead of its answer."""
    other = other_film(folder)
    passwd = {"weights": ["../../../../../etc/passwd"]}
    return [
        ("with nothing", lambda true: b""),
        ("with a NoneType|with nothing", lambda true: None),
        ("bytes that are no answer", lambda true: pickle.dumps(Harmful())),
        ("damaged RenderedFrames", lambda true: pack(true)[:-20]),
        ("damaged Failure", lambda true: b'Failure [{"kind": 7}]'),
        ("with a FrameDone", lambda true: pack(true.last)),
        ("with nothing", lambda true: pack(dataclasses.replace(true, segments=(), last=None))),
        ("an end where there is none", lambda true: pack(dataclasses.replace(true, ended=True))),
        ("2 frames|frames that are not 2", lambda true: pack(resealed(true, frames=2))),
        ("999 frames", lambda true: pack(resealed(true, frames=999))),
        ("damaged on their way", lambda true: pack(spoiled(true))),
        ("not 1 of 64x48", lambda true: pack(resealed(true, movie=b"#EXTM3U\nfile:///etc/passwd\n"))),
        ("not 1 of 64x48", lambda true: pack(resealed(true, movie=true.segments[0].movie[:-2000]))),
        ("not 1 of 64x48|no film can go on", lambda true: pack(resealed(true, movie=other.movie, state=other.state))),
        ("no film can go on", lambda true: pack(resealed(true, state=b"no state"))),
        ("no film can go on", lambda true: pack(resealed(true, state=other.state))),
        ("no film can go on", lambda true: pack(resealed(true, state=bomb()))),
        ("a frame that it did not make", lambda true: pack(moved(true))),
        ("files that the film does not have", lambda true: pack(Missing(files=passwd))),
        ("files that the film does not have", lambda true: pack(Missing(files={"shadow": ["content"]}))),
        ("asked for no file", lambda true: pack(Missing(files={}))),
        ("without saying why", lambda true: pack(Failure(kind="bug", message="x"))),
        ("without saying why", lambda true: pack(Failure(kind="Interrupted", message="Stopped."))),
    ]


def spoiled(true):
    (sealed,) = true.segments
    return dataclasses.replace(true, segments=(dataclasses.replace(sealed, movie=sealed.movie + b"!"),))


def moved(true):
    return dataclasses.replace(true, last=dataclasses.replace(true.last, index=10**9))


def test_whatever_a_worker_says_instead_of_its_answer_costs_the_unit_and_never_the_film(network, tmp_path):
    lies = lies_over(tmp_path)
    told = set()

    def says(work, answer):
        if not isinstance(work, FrameRange) or work.first in told:
            return pack(answer)
        told.add(work.first)
        return lies[work.first][1](answer)

    there = films.zoom(network, tmp_path / "there.mp4", frames=len(lies))
    here = films.zoom(network, tmp_path / "here.mp4", frames=len(lies))
    outcomes, listener = make(Neighbours(tmp_path, says=says), there)
    assert outcomes["there.mp4"].error is None
    assert len(told) == len(lies)
    for number, (words, _) in enumerate(lies):
        pattern = rf"A worker in runner-\d+ .*({words}).* at frames {number} to"
        assert any(re.search(pattern, note) for note in listener.notes), words
    make_film(here, listener=Listening())
    assert sha256(here.out) == sha256(there.out)


def test_workers_of_whom_none_says_anything_of_use_are_named_in_the_sentence_that_ends_the_film(network, tmp_path):
    image = tmp_path / "start.png"
    write_image(np.full((32, 48, 3), 0.5, np.float32), image)
    film = films.zoom(network, tmp_path / "film.mp4")
    still = StillFilm(settings=film.settings, out=tmp_path / "still.png", picture=image)

    def says(work, answer):
        if isinstance(answer, DreamedPicture):
            return pack(dataclasses.replace(answer, picture=answer.picture[1:]))
        return pack(answer) if isinstance(work, OpenFilm) else b""

    outcomes, _ = make(Neighbours(tmp_path, says=says), film, still)
    for name, words in (("film.mp4", "with nothing"), ("still.png", "another picture")):
        error = outcomes[name].error
        assert isinstance(error, EnvironmentProblem)
        assert re.search(rf"2 workers .*one in runner-\d+ .*{words}.*the other in runner-\d+ .*{words}", str(error))


def test_an_answer_that_nobody_asked_for_is_no_answer(network, tmp_path):
    spec = film_spec(films.zoom(network, tmp_path / "x.mp4"), shared=True)
    scheduler, worker = Scheduler(), Mock(spec=("begin", "stop"))
    task = Task(work=OpenFilm(spec=spec), label="x", rank=(0,), events=SimpleQueue())
    scheduler.joined(worker)
    failure = Failure(kind="BadInput", message="It is empty.")
    with pytest.raises(NonsenseError, match="not asked"):
        scheduler.answered(worker, task.number, failure)
    scheduler.submit(task)
    with pytest.raises(NonsenseError, match="not asked"):
        scheduler.answered(worker, task.number + 1, failure)
    scheduler.answered(worker, task.number, failure)
    with pytest.raises(NonsenseError, match="not asked"):
        scheduler.answered(worker, task.number, failure)
    assert [task.events.get_nowait(), task.events.get_nowait()] == [(task, None), (task, failure)]
    assert task.events.empty()


def test_names_that_are_not_utf8_travel_too():
    name = os.fsdecode(b"caf\xe9.png")
    assert unpack(pack(Missing(files={"clip": [name]}))).files == {"clip": [name]}
    assert unpack(pack(Failure(kind="BadInput", message=f"{name} is empty."))).message == "caf\\udce9.png is empty."


def perform_sending_what_is_missing(runner, work):
    """As a worker and its employer would: ask, send, ask again. Returns what was asked for, and the answer."""
    answer = runner.perform(work)
    assert isinstance(answer, Missing)
    for name, files in answer.files.items():
        for chunk in (chunk for file in files for chunk in chunks(work.spec.inputs[name], file)):
            keep(chunk, runner.inputs)
    return set(answer.files), runner.perform(work)


def test_a_worker_without_the_inputs_asks_for_them_by_content(network, clip, tmp_path):
    runner = TaskRunner(tmp_path / "worker")
    spec = film_spec(films.video(network, clip, tmp_path / "x.mp4"), {"cuts": []}, shared=False)
    asked, answer = perform_sending_what_is_missing(runner, OpenFilm(spec=spec))
    assert asked == {"clip", "weights"}
    assert isinstance(answer, Environment)
    assert find(spec.inputs["clip"], runner.inputs).read_bytes() == clip.read_bytes()
    runner.close()


def test_what_a_worker_says_of_an_input_has_the_name_that_the_user_knows(network, tmp_path):
    broken, runner = tmp_path / "broken.png", TaskRunner(tmp_path / "worker")
    broken.write_bytes(b"no picture")
    spec = film_spec(films.zoom(network, tmp_path / "x.mp4", picture=broken), shared=False)
    _, answer = perform_sending_what_is_missing(runner, OpenFilm(spec=spec))
    assert isinstance(answer, Failure)
    assert str(broken) in answer.message
    assert str(runner.folder) not in answer.message


def test_content_arrives_in_pieces_and_is_checked(tmp_path, monkeypatch):
    from renderer.workers import inputs as content

    monkeypatch.setattr(content, "CHUNK_BYTES", 1000)
    folder = tmp_path / "pictures"
    folder.mkdir()
    data = {"1.png": bytes(2500), "%d é.png": b"x" * 1000, "empty": b""}
    for name, held in data.items():
        (folder / name).write_bytes(held)
    described, cache = describe(folder, shared=False), tmp_path / "cache"
    assert find(described, cache) is None
    for name in missing(described, cache):
        for chunk in chunks(described, name):
            keep(chunk, cache)
    found = find(described, cache)
    assert {path.name: path.read_bytes() for path in found.iterdir()} == data
    assert describe(found, shared=False).sha256 == described.sha256


def test_content_that_changed_on_the_way_is_refused_and_names_cannot_lead_out_of_the_cache(tmp_path):
    path, cache = tmp_path / "clip.mp4", tmp_path / "cache"
    path.write_bytes(b"before")
    described = describe(path, shared=False)
    path.write_bytes(b"behind")
    (name,) = missing(described, cache)
    (chunk,) = chunks(described, name)
    with pytest.raises(BadInput, match=r"clip\.mp4 changed"):
        keep(chunk, cache)
    assert find(described, cache) is None
    with pytest.raises(BadInput, match="not the name"):
        keep(dataclasses.replace(chunk, name="../../evil"), cache)


def test_content_on_a_shared_disk_is_found_there_unless_it_changed(tmp_path):
    path, cache = tmp_path / "clip.mp4", tmp_path / "cache"
    path.write_bytes(b"before")
    described = describe(path, shared=True)
    assert find(described, cache) == path
    path.write_bytes(b"something else")
    assert find(described, cache) is None


@pytest.mark.parametrize(
    ("error", "kind", "passing", "words"),
    [
        (BadInput("clip.mp4 is empty."), BadInput, False, "clip.mp4 is empty."),
        (FfmpegFailed("ffmpeg was killed.", returncode=-9, log=""), EnvironmentProblem, True, "killed"),
        (DiskProblem("The disk is full."), DiskProblem, True, "full"),
        (MemoryError(), EnvironmentProblem, False, "memory"),
        (ZeroDivisionError("division by zero"), DreamreelError, False, "a bug in Dreamreel: ZeroDivisionError"),
    ],
)
def test_failures_travel_as_words(error, kind, passing, words):
    try:
        raise error
    except Exception as caught:
        failure = Failure.of(caught)
    restored = failure.error()
    assert type(restored) is kind
    assert restored.passing is passing
    assert words in str(restored)
    assert type(error).__name__ in failure.traceback


def test_segments_damaged_on_their_way_are_noticed(tmp_path):
    recorder = Recorder(tmp_path, size=Size(16, 16), first=5, state=None)
    frame = np.full((16, 16, 3), 0.5, np.float32)
    recorder.append(frame)
    recorder.commit({"dream": frame})
    assert (recorder.next_frame, list(tmp_path.iterdir())) == (6, [])
    np.testing.assert_array_equal(recorder.state()["dream"], frame)
    (sealed,) = recorder.segments
    with Store.open(tmp_path / "work", size=Size(16, 16), rate=1, pixel_key="k", meta={}) as store:
        spoiled = bytes([sealed.movie[0] ^ 1]) + sealed.movie[1:]
        with pytest.raises(ValueError, match="damaged"):
            store.add(dataclasses.replace(sealed, movie=spoiled))
        assert store.count == 0
        store.add(sealed)
        assert [int(pixels.mean()) for pixels in store.frames()] == [128]
        np.testing.assert_array_equal(store.state()["dream"], frame)
    assert not list((tmp_path / "work").glob("*.part"))
