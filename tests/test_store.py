"""The store: what is committed is there, to the byte, whatever happens to the process, the disk or the files."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from renderer.errors import BadInput, DiskProblem, UsageError
from renderer.frame import Frame, Pixels, Size, to_8bit
from renderer.media.ffmpeg.pipes import FfmpegFailed
from renderer.media.store import segments as stored_segments
from renderer.media.store import work_folder
from renderer.media.store.journal import Journal
from renderer.media.store.store import Store

SIZE = Size(32, 24)
RATE = Fraction(24000, 1001)
EVERY = 4
posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")


def start() -> Frame:
    return np.random.default_rng(1).random((SIZE.height, SIZE.width, 3), np.float32)


def step(canvas: Frame) -> Frame:
    """A recurrence that magnifies any rounding: eight bits are not enough to go on from."""
    return np.roll((np.float32(3.9) * canvas * (1 - canvas)).astype(np.float32), 1, axis=1)


def opened(folder: Path, **options: Any) -> Store:
    settings: dict[str, Any] = {"size": SIZE, "rate": RATE, "pixel_key": "film", "meta": {"seed": 7}} | options
    return Store.open(folder, **settings)


def render(store: Store, until: int, *, small: bool = False) -> None:
    """Go on from where the store stands; `small`: keep only the frame number as state, so that none is thinned out."""
    state = store.state()
    canvas = nth(store.next_frame)
    if state is not None:
        assert state["frame"] == store.next_frame
        if "canvas" in state:
            canvas = np.asarray(state["canvas"], np.float32)
            np.testing.assert_array_equal(canvas, nth(store.next_frame))
    while store.next_frame < until:
        store.append(canvas)
        canvas = step(canvas)
        if store.next_frame % EVERY == 0 or store.next_frame == until:
            frame = {"frame": store.next_frame}
            store.commit(frame if small else frame | {"canvas": canvas})


def nth(number: int) -> Frame:
    canvas = start()
    for _ in range(number):
        canvas = step(canvas)
    return canvas


def expected(count: int) -> list[Pixels]:
    return [to_8bit(nth(number)) for number in range(count)]


def check(store: Store, count: int) -> None:
    got = list(store.frames())
    assert len(got) == store.count == count
    np.testing.assert_array_equal(got, expected(count))


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("segment-*.mkv"))


def states(folder: Path) -> list[Path]:
    return sorted(folder.glob("state-*.npz"))


def test_frames_and_state_come_back_exact_after_reopening(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        assert store.next_frame == 0
        assert store.state() is None
        render(store, 10)
    with opened(tmp_path) as store:
        assert (store.next_frame, store.count, store.notes) == (10, 10, ())
        state = store.state()
        assert state is not None
        np.testing.assert_array_equal(state["canvas"], nth(10))
        render(store, 13)
        check(store, 13)
        np.testing.assert_array_equal(list(store.frames(start=6)), expected(13)[6:])


@pytest.mark.parametrize("size", [Size(1, 1), Size(1, 300), Size(33, 1), Size(7, 5), Size(641, 361)])
def test_any_size_comes_back_exact(size: Size, tmp_path: Path) -> None:
    sent = [np.random.default_rng(n).random((size.height, size.width, 3), np.float32) for n in range(3)]
    with opened(tmp_path, size=size) as store:
        for frame in sent:
            store.append(frame)
        store.commit({"frame": 3})
        for got, frame in zip(store.frames(), sent, strict=True):
            np.testing.assert_array_equal(got, to_8bit(frame))


def test_values_out_of_range_are_clipped_and_the_caller_may_go_on_using_its_array(tmp_path: Path) -> None:
    frame = np.full((SIZE.height, SIZE.width, 3), 1.5, np.float32)
    frame[0] = -3
    frame[1] = np.nan
    with opened(tmp_path) as store:
        store.append(frame)
        frame[:] = 0.5
        store.commit({})
        (got,) = store.frames()
    assert got[0].max() == got[1].max() == 0
    assert got[2:].min() == 255


def test_any_state_comes_back_with_type_and_bits(tmp_path: Path) -> None:
    state: dict[str, Any] = {
        "half": np.array([1.5, np.nan, -0.0], np.float16),
        "file": np.arange(6).reshape(2, 3)[:, ::2],
        "one": np.float32(0.1),
        "number": 0.1,
        "big": 2**80,
        "text": "dream \N{SLEEPING FACE}\0",
        "yes": True,
        "none": None,
    }
    with opened(tmp_path) as store:
        store.append(start())
        store.commit(state)
        got = store.state()
    assert got is not None
    assert got.keys() == state.keys()
    for name, value in state.items():
        if isinstance(value, np.ndarray | np.generic):
            held = got[name]
            assert isinstance(held, np.ndarray)
            assert (held.dtype, held.shape, held.tobytes()) == (value.dtype, value.shape, value.tobytes())
        else:
            assert type(got[name]) is type(value)
            assert got[name] == value


def test_a_state_that_cannot_be_kept_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        render(store, 4)
        store.append(nth(4))
        with pytest.raises(TypeError, match="'bad'"):
            store.commit({"bad": object()})  # type: ignore[dict-item]
        render(store, 8)
        check(store, 8)


def test_what_was_not_committed_does_not_count(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        render(store, 4)
        store.append(nth(4))
        assert (store.next_frame, store.count) == (5, 4)
        with pytest.raises(ValueError, match="commit before"):
            store.mark_done()
    with opened(tmp_path) as store:
        assert store.next_frame == 4
        assert len(segments(tmp_path)) == 1
        assert not list(tmp_path.glob("*.part"))


# --- killed -----------------------------------------------------------------------------------------------------------

LIVES = """
import os, signal, sys, traceback
from pathlib import Path
import test_store as t
from renderer.media.ffmpeg.pipes import ffmpeg_exe
from renderer.media.store import journal, segments, store

def live(folder, point, at):
    def die(*_args, **_options):
        os.kill(os.getpid(), signal.SIGKILL)

    def nth_call(module, name, *, before=None, after=None):
        real, calls = getattr(module, name), [0]
        def wrapped(*args, **options):
            calls[0] += 1
            if calls[0] == at and before:
                before(*args, **options)
            result = real(*args, **options)
            if calls[0] == at and after:
                after(*args, **options)
            return result
        setattr(module, name, wrapped)

    def half_a_line(self, entry):
        with self.path.open("ab") as file:
            file.write(journal.seal_line(entry)[:-9])
        die()

    match point:
        case "mid-frame": nth_call(segments.PipeWriter, "write", after=die)
        case "before the state": nth_call(segments, "save_state", before=die)
        case "state unsealed": nth_call(segments, "save_state", after=die)
        case "segment unsealed": nth_call(segments.PipeWriter, "close", before=die)
        case "before the renames": nth_call(segments.PipeWriter, "close", after=die)
        case "between the renames": nth_call(store, "replace_file", before=die)
        case "between rename and journal": nth_call(journal.Journal, "append", before=die)
        case "mid-journal": nth_call(journal.Journal, "append", before=half_a_line)
        case "after the journal": nth_call(journal.Journal, "append", after=die)
        case "no film yet": nth_call(store, "write_film", before=die)

    with t.opened(folder) as film:
        t.render(film, 12)
        film.mark_done()

ffmpeg_exe()
for line in sys.stdin:
    point, at, folder = line.rstrip().split("|", 2)
    born = os.fork()
    if not born:
        try:
            live(Path(folder), point, int(at))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(born, 0)[1]), flush=True)
"""


@pytest.fixture(scope="session")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path, str, int], int]]:
    """Renders a film in a process that dies at a certain moment; gives its exit code. All are forks of one process."""
    child = spawn(tmp_path_factory.mktemp("lives"), LIVES)

    def live(folder: Path, point: str, at: int) -> int:
        print(point, at, folder, sep="|", file=child.stdin, flush=True)
        return int(child.stdout.readline())

    yield live
    child.communicate(timeout=60)


def spawn(folder: Path, code: str, *args: str) -> subprocess.Popen[str]:
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder), *args],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@posix
@pytest.mark.parametrize(
    ("point", "at", "left"),
    [
        ("no film yet", 1, 0),
        ("mid-frame", 1, 0),
        ("mid-frame", 7, 4),
        ("before the state", 2, 4),
        ("state unsealed", 2, 4),
        ("segment unsealed", 2, 4),
        ("before the renames", 2, 4),
        ("between the renames", 2, 4),  # The first call is for film.json.
        ("between rename and journal", 1, 0),
        ("between rename and journal", 3, 8),
        ("mid-journal", 1, 0),
        ("mid-journal", 2, 4),
        ("after the journal", 2, 8),
    ],
)
def test_a_kill_at_any_moment_loses_nothing_that_was_committed(
    point: str, at: int, left: int, tmp_path: Path, life: Callable[[Path, str, int], int]
) -> None:
    assert life(tmp_path / "film", point, at) == -signal.SIGKILL
    with opened(tmp_path / "film") as store:
        assert store.next_frame == left
        assert not store.done
        assert len(segments(tmp_path / "film")) == left // EVERY
        render(store, 12)
        check(store, 12)
    with opened(tmp_path / "film") as store:
        assert (store.next_frame, store.notes) == (12, ())


@posix
def test_killed_again_and_again_it_still_ends_with_the_same_frames(
    tmp_path: Path, life: Callable[[Path, str, int], int]
) -> None:
    seen = []
    for at in (3, 6, 5, 2, 7):  # Frames written in each life.
        code = life(tmp_path, "mid-frame", at)
        with Store.existing(tmp_path) as store:
            seen.append(store.count)
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert seen == [0, 4, 8, 8, 12]
    with opened(tmp_path) as store:
        assert store.done
        check(store, 12)


# --- locked -----------------------------------------------------------------------------------------------------------

HOLD = """
import sys
from pathlib import Path
import test_store as t
with t.opened(Path(sys.argv[1])) as film:
    t.render(film, 4)
    film.append(t.nth(4))
    print("held", flush=True)
    sys.stdin.read()
"""


@posix
def test_a_second_run_is_refused_until_the_first_is_dead(tmp_path: Path) -> None:
    child = spawn(tmp_path, HOLD)
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match="Another run is working in") as caught:
            opened(tmp_path)
        assert caught.value.exit_code == 2
        with Store.existing(tmp_path) as store:  # Reading disturbs nobody.
            check(store, 4)
    finally:
        child.kill()
        child.communicate()
    with opened(tmp_path) as store:
        assert store.next_frame == 4


def test_a_second_run_in_the_same_process_is_refused_until_the_first_is_closed(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(UsageError, match="Another run"):
        opened(tmp_path)
    with opened(tmp_path):
        pass


# --- damaged ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("film")
    with opened(folder) as store:
        render(store, 5 * EVERY, small=True)
        store.mark_done()
    assert len(states(folder)) == 5
    return folder


@pytest.fixture
def film(finished: Path, tmp_path: Path) -> Path:
    """A finished film of five segments, each with its checkpoint."""
    return Path(shutil.copytree(finished, tmp_path / "film"))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "number"), [(flip, 0), (flip, 2), (flip, 4), (shorten, 2), (empty, 0), (Path.unlink, 4)]
)
def test_a_damaged_segment_is_redone_and_what_lies_before_it_is_kept(damage: Any, number: int, film: Path) -> None:
    kept = [path.read_bytes() for path in segments(film)[:number]]
    damage(segments(film)[number])
    with Store.existing(film) as store:
        check(store, number * EVERY)
    with opened(film) as store:
        assert store.next_frame == number * EVERY
        assert "missing or damaged" in store.notes[0]
        assert not store.done
        render(store, 5 * EVERY, small=True)
        check(store, 5 * EVERY)
    assert [path.read_bytes() for path in segments(film)[:number]] == kept


@pytest.mark.parametrize("damage", [flip, shorten, Path.unlink])
def test_a_damaged_checkpoint_throws_back_to_the_one_before(damage: Any, film: Path) -> None:
    damage(states(film)[-1])
    with Store.existing(film) as store:
        assert store.count == 20  # Its frames are still good to look at.
    with opened(film) as store:
        assert store.next_frame == 16
        render(store, 20, small=True)
        check(store, 20)


def test_a_segment_that_breaks_while_the_store_is_open_is_an_error_not_a_wrong_frame(film: Path) -> None:
    with opened(film) as store:
        flip(segments(film)[1])
        with pytest.raises(DiskProblem, match="missing or damaged"):
            for got, sent in zip(store.frames(), expected(20), strict=True):
                np.testing.assert_array_equal(got, sent)


def test_old_checkpoints_do_not_pile_up_and_a_damaged_segment_finds_one_all_the_same(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        render(store, 56)
    assert len(states(tmp_path)) <= 4
    flip(segments(tmp_path)[11])
    with opened(tmp_path) as store:
        assert 0 < store.next_frame <= 44
        render(store, 56)
        check(store, 56)


def test_a_journal_cut_anywhere_goes_on_from_the_last_whole_line(film: Path) -> None:
    journal = (film / work_folder.JOURNAL).read_bytes()
    lines = journal.splitlines(keepends=True)[:-1]  # Without that of `mark_done`.
    whole = b"".join(lines)
    saved = {path: path.read_bytes() for path in [*segments(film), *states(film)]}
    for cut in range(len(whole) - len(lines[-1]), len(whole) + 1, 7):
        for path, data in saved.items():
            path.write_bytes(data)
        (film / work_folder.JOURNAL).write_bytes(whole[:cut])
        with opened(film) as store:
            assert store.next_frame == (20 if cut == len(whole) else 16), cut
    with opened(film) as store:
        render(store, 20, small=True)
    with opened(film) as store:
        check(store, 20)


def test_debris_behind_the_journal_changes_nothing(film: Path) -> None:
    journal = film / work_folder.JOURNAL
    whole = journal.read_bytes()
    for tail in (b"\0" * 512, b"0123", b"garbage\n", b'{"kind": "back"}\n', b"\xff\xfe\n\n\n"):
        journal.write_bytes(whole + tail)
        with opened(film) as store:
            assert store.next_frame == 20
            assert store.done
    with opened(film) as store:
        render(store, 24, small=True)
    with opened(film) as store:
        check(store, 24)


def test_an_empty_or_missing_journal_begins_anew(film: Path) -> None:
    (film / work_folder.JOURNAL).write_bytes(b"")
    with opened(film) as store:
        assert (store.next_frame, store.state()) == (0, None)
        assert not segments(film)
        render(store, 4)
    (film / work_folder.JOURNAL).unlink()
    with opened(film) as store:
        assert store.next_frame == 0


def test_a_lost_line_in_the_middle_ends_the_film_there(film: Path) -> None:
    lines = (film / work_folder.JOURNAL).read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"segment", b"sXgment")
    (film / work_folder.JOURNAL).write_bytes(b"".join(lines))
    with opened(film) as store:
        assert store.next_frame == 8
        render(store, 20, small=True)
    with opened(film) as store:
        check(store, 20)


def line(kind: str, first: int, frames: int) -> dict[str, Any]:
    fields = {"length": 1000, "sha256": "", "state_length": 1, "state_sha256": ""}
    if kind == "segment":
        name = f"{first:08}-{frames:08}"
        return {"kind": kind, "key": "film", "name": name, "first": first, "frames": frames, **fields}
    return {"kind": kind, "key": "film", "frames": frames}


def test_what_the_lines_of_a_journal_mean_together() -> None:
    for lines, left in (
        ([line("segment", 0, 4), line("segment", 4, 4)], ["0+4", "4+4"]),
        ([line("segment", 0, 4), line("segment", 4, 4), line("back", 0, 4)], ["0+4"]),
        ([line("segment", 0, 4), line("segment", 4, 4), line("back", 0, 0), line("segment", 0, 6)], ["0+6"]),
        ([line("segment", 0, 4), line("segment", 4, 4), line("segment", 4, 6)], ["0+4", "4+6"]),  # "back" was lost.
        ([line("segment", 0, 4), line("segment", 8, 4)], ["0+4"]),
        ([line("segment", 0, 4), line("segment", 4, 4) | {"key": "another film"}], ["0+4"]),
        ([{"kind": "news", "key": "film"}, line("segment", 0, 4)], ["0+4"]),
    ):
        assert [f"{segment.first}+{segment.frames}" for segment in work_folder.replay(lines, key="film")[0]] == left


@pytest.mark.parametrize(
    ("after", "done"),
    [([], 4), ([line("segment", 4, 4)], None), ([line("back", 0, 0)], None), ([line("news", 0, 9)], 4)],
)
def test_done_holds_until_the_film_changes(after: list[dict[str, Any]], done: int | None) -> None:
    lines = [line("segment", 0, 4), line("done", 0, 4), *after]
    assert work_folder.replay(lines, key="film")[1] == done


def test_a_journal_goes_on_cleanly_after_a_write_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "j")
    journal.read()
    journal.append({"n": 1})
    real = os.write

    def torn(descriptor: int, data: Any) -> int:
        real(descriptor, bytes(data)[:5])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", torn)
    with pytest.raises(OSError, match="No space"):
        journal.append({"n": 2})
    monkeypatch.setattr(os, "write", real)
    journal.append({"n": 3})
    assert Journal(tmp_path / "j").read() == [{"n": 1}, {"n": 3}]


# --- no room, no encoder ----------------------------------------------------------------------------------------------


def test_a_full_disk_is_named_before_it_is_full_and_the_film_goes_on_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as store:
        render(store, 4)
        with monkeypatch.context() as patch:
            patch.setattr(stored_segments, "free_bytes", lambda _folder: 1 << 20)
            with pytest.raises(DiskProblem, match="1 MB free") as caught:
                render(store, 8)
            assert caught.value.exit_code == 6
        assert store.next_frame == 4
        render(store, 8)
        check(store, 8)


LIMITED = """
import resource, sys
from pathlib import Path
import test_store as t
from renderer.errors import DiskProblem
with t.opened(Path(sys.argv[1])) as film:
    t.render(film, 4)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
    try:
        t.render(film, 400 if int(sys.argv[2]) > 4096 else 8)
    except DiskProblem as error:
        print(film.next_frame, error)
"""


@posix
@pytest.mark.parametrize("limit", [4000, 9000])  # The encoder fails; the checkpoint fails.
def test_files_that_may_not_grow_are_a_disk_problem_and_nothing_committed_is_lost(limit: int, tmp_path: Path) -> None:
    child = spawn(tmp_path, LIMITED, str(limit))
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    assert out.startswith("4 ")
    with opened(tmp_path) as store:
        assert store.next_frame == 4
        render(store, 8)
        check(store, 8)


def test_a_folder_that_cannot_be_made_is_a_disk_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DiskProblem, match="Cannot write"):
        opened(tmp_path / "file" / "work")


@posix
@pytest.mark.parametrize("moment", ["append", "commit"])
def test_a_killed_encoder_is_named_and_the_film_goes_on_from_the_last_commit(moment: str, tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        render(store, 4)
        store.append(nth(4))
        assert store._writer is not None
        os.kill(store._writer._writer._child.process.pid, signal.SIGKILL)
        with pytest.raises(FfmpegFailed, match="SIGKILL"):
            while moment == "append":
                store.append(nth(4))
            store.commit({"frame": 5})
        assert store.next_frame == 4
        render(store, 8)
        check(store, 8)


# --- whose film -------------------------------------------------------------------------------------------------------


def test_the_folder_of_another_film_is_refused_unless_told_to_restart(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        render(store, 4)
    for spoil in (False, True):
        if spoil:
            empty(tmp_path / work_folder.FILM)
        with pytest.raises(UsageError, match="other settings") as caught:
            opened(tmp_path, pixel_key="another")
        assert len(segments(tmp_path)) == 1
    assert caught  # As long as the error lives, so does all that it refers to; the lock must be free nevertheless.
    with opened(tmp_path, restart=True) as store:
        assert store.next_frame == 4  # The same film: nothing to restart.
    with opened(tmp_path, pixel_key="another", restart=True) as store:
        assert store.next_frame == 0
        assert not segments(tmp_path)


def test_a_damaged_film_json_is_written_anew_and_the_work_is_kept(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        render(store, 4)
    flip(tmp_path / work_folder.FILM)
    with pytest.raises(BadInput, match="damaged"):
        Store.existing(tmp_path)
    with opened(tmp_path) as store:
        assert store.next_frame == 4
    with Store.existing(tmp_path) as store:
        assert store.meta == {"seed": 7}


def test_what_is_there_can_be_opened_for_reading_alone(film: Path) -> None:
    before = {path.name: path.read_bytes() for path in film.iterdir()}
    with Store.existing(film) as store:
        assert (store.size, store.rate, store.meta, store.done) == (SIZE, RATE, {"seed": 7}, True)
        check(store, 20)
        with pytest.raises(ValueError, match="open for reading"):
            store.append(start())
        with pytest.raises(ValueError, match="open for reading"):
            store.remove()
    assert {path.name: path.read_bytes() for path in film.iterdir()} == before


@pytest.mark.parametrize("make", [None, Path.mkdir, Path.touch])
def test_a_folder_without_a_film_is_bad_input(make: Any, tmp_path: Path) -> None:
    if make is not None:
        make(tmp_path / "x")
    with pytest.raises(BadInput, match="not a work folder"):
        Store.existing(tmp_path / "x")


def test_a_new_recipe_for_the_same_pixels_replaces_the_old_one(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        render(store, 4)
    with opened(tmp_path, meta={"seed": 7, "quality": 3}) as store:
        assert store.next_frame == 4
    with Store.existing(tmp_path) as store:
        assert store.meta == {"seed": 7, "quality": 3}


def test_done_lasts_until_something_is_added(film: Path) -> None:
    with opened(film) as store:
        assert store.done
        render(store, 24, small=True)
        assert not store.done
    with opened(film) as store:
        assert not store.done


def test_removing_a_store_leaves_what_is_not_ours(tmp_path: Path) -> None:
    for stranger in (None, "notes.part"):
        folder = tmp_path / "work"
        with opened(folder) as store:
            render(store, 4)
            store.append(nth(4))
            if stranger:
                (folder / stranger).touch()
            store.remove()
        left = [path.name for path in folder.iterdir()] if folder.exists() else None
        assert left == ([stranger] if stranger else None)
