"""Keep the frames of a film on disk, lossless, so that a stopped film goes on with the same bytes.

A work folder holds `film.json` (size, rate, key, recipe), a journal, closed segments (see `segments`) and checkpoints,
each checkpoint belonging to the end of one segment. What counts is what the journal names and what still has the length
and the SHA-256 noted there; everything else is debris of a kill and is dropped. One process writes at a time. Of a film
that is rendered in several places at once, folders in the work folder hold what lies further on; each is a store too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import filelock

from renderer.errors import BadInput, DiskProblem, UsageError
from renderer.files import open_own
from renderer.frame import Frame, Pixels, Size
from renderer.media.files import disk_errors, is_whole, link_or_copy, replace_file, sync_and_hash
from renderer.media.store import work_folder
from renderer.media.store.journal import Journal
from renderer.media.store.segments import (
    SegmentBytes,
    SegmentWriter,
    StateValue,
    check_room,
    load_state,
    new_name,
    part_of,
    read_segment,
)
from renderer.media.store.work_folder import (
    FILM,
    JOURNAL,
    FilmRecord,
    Segment,
    entry_of,
    last_key,
    make_film,
    read_film,
    replay,
    write_film,
)

_STATE_SHARE = 8  # Older checkpoints may take one part in so many of the segments' bytes.


class Store:
    """The frames of one film. Make one by `open` or `existing`; a context manager.

    The recurrence appends frames and now and then commits them together with the state to go on from. After any error
    from `append` or `commit` the store stands at its last commit.
    """

    directory: Path
    size: Size
    rate: Fraction
    pixel_key: str
    """What stands for everything that decides the pixels."""
    meta: dict[str, Any]
    notes: tuple[str, ...]
    """What was found damaged on opening, as sentences for a log."""

    def __init__(self, directory: Path, *, film: FilmRecord, lock: filelock.BaseFileLock | None) -> None:
        """Not for use from outside."""
        self.directory = directory
        self.size = Size(*film.size)
        self.rate = Fraction(film.rate)
        self.meta = film.meta
        self.notes = ()
        self.pixel_key = film.pixel_key
        self._lock = lock
        self._journal = Journal(directory / JOURNAL)
        self._segments: list[Segment] = []
        self._done: int | None = None
        self._writer: SegmentWriter | None = None

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        size: Size,
        rate: Fraction,
        pixel_key: str,
        meta: dict[str, Any],
        restart: bool = False,
    ) -> Self:
        """Begin a film in `directory`, or go on with it; the folder is made if need be, and locked.

        Args:
            directory: the work folder.
            size: of the frames, pixels.
            rate: frames a second.
            pixel_key: stands for everything that decides the pixels; the same key is the same film.
            meta: what to keep beside the frames, for instance the recipe; JSON. The newest one is kept.
            restart: begin anew if the folder holds another film, instead of refusing.

        Raises:
            UsageError: another run works in the folder, it holds a film with another key, and `restart` is not set, or
                it holds somebody else's files.
            BadInput: it, or a record in it, is a link or no plain file.
            DiskProblem: it cannot be made or written.
        """
        film = make_film(size=size, rate=rate, pixel_key=pixel_key, meta=meta)
        with disk_errors(directory):
            work_folder.claim(directory, is_ours=work_folder.is_film_folder)
            lock = work_folder.acquire(directory)
        try:
            old = read_film(directory)
            with disk_errors(directory):
                if _held_key(directory, old) not in (None, pixel_key):
                    if not restart:
                        raise UsageError(
                            f"The work folder {directory} holds a film made with other settings. Choose another "
                            "--work-dir, or give the settings of that film again, or delete the folder."
                        )
                    work_folder.sweep(directory, keep=())
                    work_folder.remove_lanes(directory)
                store = cls(directory, film=film, lock=lock)
                if old != film:
                    write_film(directory, film)
                store._recover()
            return store
        except BaseException:
            lock.release()
            raise

    @classmethod
    def existing(cls, directory: Path) -> Self:
        """Open what is there for reading, changing nothing, even while another run adds to it.

        Raises:
            BadInput: there is no film in `directory`.
        """
        film = read_film(directory)
        if film is None:
            raise BadInput(f"{directory} is not a work folder of Dreamreel, or its {FILM} is damaged.")
        store = cls(directory, film=film, lock=None)
        store._load()
        return store

    @classmethod
    def find(cls, directory: Path) -> Self | None:
        """Open what is there for reading as `existing` does; None if there is no film that can be read."""
        try:
            return cls.existing(directory)
        except BadInput:
            return None

    @property
    def count(self) -> int:
        """How many frames are committed."""
        return self._segments[-1].end if self._segments else 0

    @property
    def begun(self) -> bool:
        """Whether any work on a film is there."""
        return bool(self._segments or self.lanes())

    @property
    def next_frame(self) -> int:
        """The number of the frame that `append` takes next; on opening, where to go on."""
        return self.count + (self._writer.frames if self._writer else 0)

    @property
    def done(self) -> bool:
        """Whether the film was marked as finished and is all there."""
        return self._done is not None and self._done == self.count

    def append(self, frame: Frame) -> None:
        """Add one frame `(H, W, 3)`, rounded to 8 bits; it counts once committed.

        Raises:
            DiskProblem: too little room is left.
            FfmpegFailed: the encoder died.
        """
        if self._lock is None:
            raise ValueError("this store is open for reading")
        try:
            check_room(self.directory, self.size)
            if self._writer is None:
                self._writer = SegmentWriter(self.directory, size=self.size, first=self.count)
            self._writer.append(frame)
        except BaseException:
            self.rollback()
            raise

    def commit(self, state: Mapping[str, StateValue]) -> None:
        """Close the appended frames as a segment, together with the state to go on from.

        Does nothing if nothing was appended.

        Args:
            state: exact, as `state()` gives it back: arrays (bit for bit, with their types), numbers, strings, None.

        Raises:
            DiskProblem, FfmpegFailed: as `append`.
            TypeError: the state holds something else.
        """
        if self._writer is None:
            return
        try:
            with disk_errors(self.directory):
                self._settle(self._writer.close(state))
        except BaseException:
            self.rollback()
            raise
        self._writer = None
        work_folder.sweep(self.directory, keep=self._keep())

    def add(self, sealed: SegmentBytes) -> None:
        """Take in a segment that was rendered elsewhere, as the frames that follow.

        Raises:
            ValueError: its bytes are not those that were sealed, or frames are appended and not committed.
            DiskProblem: it cannot be written.
        """
        movie, state = (len(sealed.movie), sealed.movie_sha256), (len(sealed.state), sealed.state_sha256)
        segment = Segment(new_name(self.count), self.count, sealed.frames, *movie, *state)
        files = {segment.file(self.directory): sealed.movie, segment.state_file(self.directory): sealed.state}

        def fill() -> None:
            check_room(self.directory, self.size)
            for path, data in files.items():
                part_of(path).write_bytes(data)
            found = [sync_and_hash(part_of(path)) for path in files]
            if found != [movie, state]:
                raise ValueError("a segment was damaged on its way")

        self._take_in(segment, fill)

    def join(self, other: Store, *, first: int) -> None:
        """Take in what another store holds of this film, from where this one ends, and remove it.

        What was taken in by an earlier call that was killed is left out. If this store has gone on by itself to within
        a segment of the other, the rest of the other is of no use.

        Args:
            other: open for writing.
            first: the number that its frame 0 has here, not beyond the end of this store.

        Raises:
            DiskProblem: a file cannot be taken over.
        """
        for old in other._segments:
            if first + old.first != self.count:
                continue
            here = dataclasses.replace(old, name=new_name(self.count), first=self.count)

            def fill(old: Segment = old, here: Segment = here) -> None:
                link_or_copy(old.file(other.directory), part_of(here.file(self.directory)))
                with contextlib.suppress(FileNotFoundError):  # Only a few of the older states are kept.
                    link_or_copy(old.state_file(other.directory), part_of(here.state_file(self.directory)))

            self._take_in(here, fill)
        other.remove()

    def rollback(self) -> None:
        """Forget what was appended since the last commit."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.abort()

    def state(self) -> dict[str, StateValue] | None:
        """Return the state of the last commit, or None before the first."""
        if not self._segments:
            return None
        path = self._segments[-1].state_file(self.directory)
        try:
            with os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
                return load_state(file)
        except (OSError, ValueError, BadInput) as error:
            raise DiskProblem(
                f"The checkpoint {path} cannot be read ({error}). Start the same command again."
            ) from error

    def state_bytes(self) -> bytes | None:
        """Return the checkpoint of the last commit as it lies on the disk, None before the first.

        Raises:
            DiskProblem: it cannot be read.
        """
        if not self._segments:
            return None
        path = self._segments[-1].state_file(self.directory)
        with disk_errors(self.directory), os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
            return file.read()

    def frames(self, start: int = 0) -> Iterator[Pixels]:
        """Stream the committed frames from number `start` on, uint8 `(H, W, 3)`.

        Raises:
            DiskProblem: a segment cannot be read any more.
        """
        for segment in tuple(self._segments):
            if segment.end > start:
                path = segment.file(self.directory)
                yield from read_segment(path, segment, size=self.size, skip=max(0, start - segment.first))

    def mark_done(self) -> None:
        """Note that the film is finished: nothing is to be rendered any more.

        Raises:
            ValueError: frames are appended and not committed.
        """
        if self._writer is not None or self._lock is None:
            raise ValueError("commit before mark_done")
        if not self.done:
            with disk_errors(self.directory):
                self._journal.append({"kind": "done", "key": self.pixel_key, "frames": self.count})
            self._done = self.count

    def remove(self) -> None:
        """Delete the work folder; files in it that are not ours stay, and the folder with them. Closes the store."""
        if self._lock is None:
            raise ValueError("this store is open for reading")
        self.rollback()
        work_folder.sweep(self.directory, keep=())
        self.remove_lanes()
        self._segments, self._done = [], None
        with work_folder.removing_lock(self.directory):
            self.close()
        with contextlib.suppress(OSError):
            self.directory.rmdir()

    def lane(self, first: int) -> Path:
        """Return the work folder for what is rendered apart from frame `first` on, until it can be joined."""
        return work_folder.lane(self.directory, first)

    def lanes(self) -> list[tuple[int, Path]]:
        """Return those that are there, with their first frames, ascending."""
        return work_folder.lanes(self.directory)

    def remove_lanes(self) -> None:
        """Delete them."""
        work_folder.remove_lanes(self.directory)

    def close(self) -> None:
        """Forget what was not committed and let the folder go; committed frames stay readable."""
        self.rollback()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _take_in(self, segment: Segment, fill: Callable[[], None]) -> None:
        """Add a segment whose files `fill` puts under their part names."""
        if self._writer is not None or self._lock is None:
            raise ValueError("commit before a segment is taken in")
        try:
            with disk_errors(self.directory):
                fill()
                self._settle(segment)
        finally:
            work_folder.sweep(self.directory, keep=self._keep())

    def _settle(self, segment: Segment) -> None:
        """Give the files of a segment their final names, and note it."""
        with contextlib.suppress(FileNotFoundError):
            part_of(segment.state_file(self.directory)).replace(segment.state_file(self.directory))
        replace_file(part_of(segment.file(self.directory)), segment.file(self.directory))
        self._journal.append(entry_of(segment, key=self.pixel_key))
        self._segments.append(segment)
        self._done = None

    def _load(self) -> None:
        """Read the journal and keep the segments up to the first that is not whole."""
        self._segments, self._done = replay(self._journal.read(), key=self.pixel_key)
        for number, segment in enumerate(self._segments):
            if not is_whole(segment.file(self.directory), length=segment.length, sha256=segment.sha256):
                lost = self._segments[-1].end - segment.first
                self.notes += (
                    f"{segment.file(self.directory)} is missing or damaged: {lost} frames from frame "
                    f"{segment.first} on do not count.",
                )
                self._segments, self._done = self._segments[:number], None
                break

    def _recover(self) -> None:
        """Go back to the newest checkpoint that is whole and has only whole segments before it; drop the rest."""
        self._load()
        noted = len(replay(self._journal.read(), key=self.pixel_key)[0])
        while self._segments:
            last = self._segments[-1]
            if is_whole(last.state_file(self.directory), length=last.state_length, sha256=last.state_sha256):
                break
            self._segments.pop()
            self._done = None
        if len(self._segments) < noted:
            self.notes += (f"Going on from frame {self.count}.",)
            # Before the files go: a kill in between leaves debris, never a journal that names what is gone.
            self._journal.append({"kind": "back", "key": self.pixel_key, "frames": self.count})
        work_folder.sweep(self.directory, keep=self._keep())

    def _keep(self) -> set[str]:
        """Name the files that belong to the film: all segments, the last two checkpoints and a few older ones.

        The older ones cost little, and with them a segment that is damaged later throws back only a little.
        """
        names = {FILM, JOURNAL} | {segment.file(self.directory).name for segment in self._segments}
        passed = 0
        for number, segment in enumerate(self._segments):
            passed += segment.length
            if passed >= _STATE_SHARE * segment.state_length or number >= len(self._segments) - 2:
                passed = 0
                names.add(segment.state_file(self.directory).name)
        return names


def _held_key(directory: Path, film: FilmRecord | None) -> str | None:
    """Return the key of the film in a folder, None if there is none."""
    return film.pixel_key if film else last_key(Journal(directory / JOURNAL).read())
