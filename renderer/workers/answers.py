"""What workers say, as bytes, and the checks that it passes before anything of it is used.

A worker reads strangers' files, and may stand on somebody else's machine. So nothing that comes from one is a pickle:
answers are JSON of a closed list of kinds, and each must answer what was asked.
"""

from __future__ import annotations

import base64
import hashlib
import io
import tempfile
import zipfile
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, unquote

import numpy as np
from pydantic import ConfigDict, PlainSerializer, PlainValidator, TypeAdapter

import renderer.errors
from renderer.dreaming.governor import Tone
from renderer.errors import DreamreelError, Interrupted
from renderer.events import FrameDone
from renderer.films.local_renderer import Environment
from renderer.films.still import DreamedPicture, Snapshot
from renderer.films.video import VideoFilm
from renderer.frame import Size, at_reference
from renderer.media.ffmpeg.process import FfmpegFailed
from renderer.media.store.segments import SegmentBytes, load_state, new_name, read_segment
from renderer.media.store.work_folder import Segment
from renderer.settings.kinds import KINDS
from renderer.workers.tasks import Answer, DreamPicture, Failure, FrameRange, Missing, OpenFilm, RenderedFrames, Work

MOST_TEXT = 1 << 20
"""Bytes of what holds no pictures."""

_BASE_BYTES = 256 << 20
_PIXEL_BYTES = 4096  # Of frames and states in one answer, for every pixel of a frame.
_MOST_BYTES = 8 << 30
_ANY = "surrogateescape"  # Names of files need not be UTF-8.
_KINDS = {
    kind.__name__
    for kind in vars(renderer.errors).values()
    if isinstance(kind, type) and issubclass(kind, DreamreelError) and not issubclass(kind, Interrupted)
}  # Only the user interrupts.


class NonsenseError(Exception):
    """A worker said what makes no sense; the text tells what it did, as in "answered with nothing"."""


def _to_text(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    floats = np.ascontiguousarray(array, np.float32)
    return {"shape": floats.shape[:2], "data": base64.b64encode(floats.tobytes()).decode()}


def _from_text(value: Any) -> np.ndarray[Any, Any]:
    try:
        height, width = value["shape"]
        return np.frombuffer(base64.b64decode(value["data"]), np.float32).reshape(height, width, 3).copy()
    except (KeyError, TypeError) as error:
        raise ValueError("no picture") from error


_Array = Annotated[Any, PlainSerializer(_to_text), PlainValidator(_from_text)]


_PICTURE = tuple[_Array, float, tuple[tuple[int, int, float, _Array], ...], tuple[tuple[float, ...], ...], Environment]
"""The fields of a `DreamedPicture` in their order, those of its snapshots too."""

_CONFIG = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants")
# As tuples of one: a dataclass takes the configuration of what holds it, and none of an adapter for itself.
_FORMS: dict[type, TypeAdapter[Any]] = {
    Missing: TypeAdapter(tuple[Missing], config=_CONFIG),
    Failure: TypeAdapter(tuple[Failure], config=_CONFIG),
    Environment: TypeAdapter(tuple[Environment], config=_CONFIG),
    RenderedFrames: TypeAdapter(tuple[RenderedFrames], config=_CONFIG),
    DreamedPicture: TypeAdapter(tuple[_PICTURE], config=_CONFIG),
    FrameDone: TypeAdapter(tuple[FrameDone], config=_CONFIG),
}
_NAMES = {kind.__name__: kind for kind in _FORMS}


def pack(said: Answer | FrameDone) -> bytes:
    """Write what a worker says: the name of its kind, and JSON."""
    plain: Any = said
    if isinstance(said, DreamedPicture):
        snapshots = tuple((one.octave, one.step, one.value, one.picture) for one in said.snapshots)
        values = tuple(map(tuple, said.values))
        plain = (said.picture, said.strength, snapshots, values, said.environment)
    elif isinstance(said, Missing):
        plain = Missing(
            files={name: [quote(file, errors=_ANY) for file in files] for name, files in said.files.items()}
        )
    elif isinstance(said, Failure):
        plain = replace(said, message=_sayable(said.message), traceback=_sayable(said.traceback[-MOST_TEXT // 8 :]))
    elif isinstance(said, RenderedFrames):
        plain = replace(said, notes=tuple(map(_sayable, said.notes)))
    return f"{type(said).__name__} ".encode() + _FORMS[type(said)].dump_json((plain,))


def unpack(data: Any) -> Any:
    """Read what `pack` wrote.

    Raises:
        NonsenseError: it is something else.
    """
    if not isinstance(data, bytes) or not data:
        raise NonsenseError("answered with nothing" if not data else f"answered with a {type(data).__name__}")
    name, _, text = data.partition(b" ")
    kind = _NAMES.get(name[:20].decode("ascii", "replace"))
    if kind is None:
        raise NonsenseError(f"answered with {len(data):,} bytes that are no answer")
    try:
        (plain,) = _FORMS[kind].validate_json(text)
        if kind is DreamedPicture:
            picture, strength, snapshots, values, environment = plain
            return DreamedPicture(
                picture=picture,
                strength=strength,
                snapshots=tuple(Snapshot(octave=o, step=s, value=v, picture=p) for o, s, v, p in snapshots),
                values=values,
                environment=environment,
            )
    except (DreamreelError, ValueError) as error:  # As pydantic's are.
        raise NonsenseError(f"answered with a damaged {kind.__name__}") from error
    if kind is Missing:
        return Missing(
            files={name: [unquote(file, errors=_ANY) for file in files] for name, files in plain.files.items()}
        )
    return plain


def most_bytes(work: Work) -> int:
    """Return how long the answer to some work may be."""
    if isinstance(work, DreamPicture):  # Its size may be its file's.
        return _MOST_BYTES
    width, height = max(_size(work), _dreamed_at(work), key=lambda size: size.width * size.height)
    return min(_MOST_BYTES, _BASE_BYTES + _PIXEL_BYTES * width * height)


def check(work: Work, answer: Any, *, stopped: bool = False) -> None:
    """Make sure that this can be the answer to some work.

    Args:
        work: what was asked.
        answer: as `unpack` gave it, or as a worker in this process did.
        stopped: whether the worker was asked to stop, so that it may have done nothing.

    Raises:
        NonsenseError: it cannot.
        OSError, DreamreelError: it could not be looked at, for want of room for temporary files or of an ffmpeg.
    """
    if isinstance(answer, Failure):
        if answer.kind not in _KINDS or not answer.message.strip():
            raise NonsenseError("failed without saying why")
    elif isinstance(answer, Missing):
        _check_missing(work, answer)
    elif isinstance(work, FrameRange) and isinstance(answer, RenderedFrames):
        _check_frames(work, answer, stopped=stopped)
    elif isinstance(work, DreamPicture) and isinstance(answer, DreamedPicture):
        _check_picture(work, answer)
    elif not (isinstance(work, OpenFilm) and isinstance(answer, Environment)):
        said = "nothing" if answer is None else f"a {type(answer).__name__}, which was not asked for"
        raise NonsenseError(f"answered with {said}")


def _check_missing(work: Work, missing: Missing) -> None:
    """Only files of the film that was sent may be asked for."""
    inputs = work.spec.inputs
    for name, files in missing.files.items():
        if name not in inputs or not files or not set(files) <= set(dict(inputs[name].wanted)):
            raise NonsenseError("asked for files that the film does not have")
    if not missing.files:
        raise NonsenseError("asked for no file")


def _check_frames(work: FrameRange, answer: RenderedFrames, *, stopped: bool) -> None:
    frames = sum(sealed.frames for sealed in answer.segments)
    if any(sealed.frames < 1 for sealed in answer.segments) or frames > work.end - work.first:
        raise NonsenseError(f"answered with {frames} frames where {work.end - work.first} were wanted")
    if answer.ended and (work.spec.kind != VideoFilm.kind or work.first + frames >= work.end):
        raise NonsenseError("told of an end where there is none")
    if not frames and not answer.ended and not stopped:
        raise NonsenseError("answered with nothing")
    if answer.last is not None and not work.first <= answer.last.index < work.first + frames:
        raise NonsenseError("told of a frame that it did not make")
    first = work.first
    for sealed in answer.segments:
        _check_sealed(sealed, first=first, size=_size(work), dreamed_at=_dreamed_at(work))
        first += sealed.frames


def _check_sealed(sealed: SegmentBytes, *, first: int, size: Size, dreamed_at: Size) -> None:
    """Read a segment and its state to their ends."""
    movie, state = (hashlib.sha256(data).hexdigest() for data in (sealed.movie, sealed.state))
    if (movie, state) != (sealed.movie_sha256, sealed.state_sha256):
        raise NonsenseError("answered with frames that were damaged on their way")
    segment = Segment(new_name(first), first, sealed.frames, len(sealed.movie), movie, len(sealed.state), state)
    with tempfile.TemporaryDirectory(prefix="dreamreel-") as folder:
        path = segment.file(Path(folder))
        path.write_bytes(sealed.movie)
        try:
            for _ in read_segment(path, segment, size=size):
                pass
        except FfmpegFailed as error:
            if error.was_stopped:  # From outside; the frames are not to blame.
                raise
            raise NonsenseError(f"answered with frames that are not {sealed.frames} of {size}") from error
    if not _is_state(sealed.state, dreamed_at):
        raise NonsenseError("answered with a state from which no film can go on")


def _is_state(data: bytes, size: Size) -> bool:
    """Say whether these are the bytes of a checkpoint, and no bomb."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as held:
            if sum(member.file_size for member in held.infolist()) > len(data):
                return False
        state = load_state(io.BytesIO(data))
        dream = state["dream"]
        finite = all(np.isfinite(float(np.asarray(state[field.name]))) for field in fields(Tone))
    except Exception:  # Libraries fail in many ways over a stranger's archive; whichever it is, it is no state.
        return False
    return finite and isinstance(dream, np.ndarray) and dream.dtype == np.float32 and Size.of(dream) == size


def _check_picture(work: DreamPicture, answer: DreamedPicture) -> None:
    pictures = [answer.picture, *(snapshot.picture for snapshot in answer.snapshots)]
    if answer.picture.shape != (*reversed(_size(work)), 3):
        raise NonsenseError("answered with another picture than was asked for")
    if not all(np.isfinite(picture).all() for picture in pictures) or (answer.snapshots and not work.evolution):
        raise NonsenseError("answered with what is no picture")


def _size(work: Work) -> Size:
    return Size.parse(work.spec.settings["film.size"])


def _dreamed_at(work: Work) -> Size:
    """Return the size of the dreams that the film's frames are made of."""
    dreamed = KINDS[work.spec.kind].keeps == "dreams"
    return at_reference(_size(work), work.spec.settings["dream.reference"] if dreamed else "frame")


def _sayable(text: str) -> str:
    """Write out what UTF-8 cannot hold, as in names that are not UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()
