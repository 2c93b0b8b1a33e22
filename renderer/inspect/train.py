"""A network of one's own: read a folder of pictures, train the student on them, show what it dreams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from renderer.dreaming.ascent.dreamer import Dreamer
from renderer.dreaming.ascent.octaves import resize
from renderer.dreaming.networks.network import Network, load_network
from renderer.dreaming.settings import DreamSettings
from renderer.dreaming.training.distill import Distillation, DistillProgress, DistillSettings
from renderer.dreaming.training.head import HeadDistillation, HeadProgress, HeadSettings
from renderer.errors import BadInput, Interrupted, UsageError
from renderer.events import Listener, Note, Stage, TrainingProgress
from renderer.files import is_clutter
from renderer.frame import Frame, Pixels, Size, to_8bit
from renderer.media.frame_sequence import PICTURES
from renderer.media.images import read_image, write_image
from renderer.media.noise import noise
from renderer.media.sheets import Section, contact_sheet

LONGEST_SHORT_SIDE = 400
"""Photographs are kept at this many pixels on their short side: twice a training picture, and memory for thousands."""

SHEET: dict[str, Any] = {"objective": "square", "step_size": 0.012, "variety": 0.0}
"""How the sheet of a training is dreamed."""

SHOWN_CLASSES = range(0, 1000, 125)
"""Classes that a sheet of a class head's dreams shows."""

Progress = DistillProgress | HeadProgress


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What to teach.

    Attributes:
        teacher: name of a network of the registry.
        weights: its weights, if not its own.
        layers: three of its layers, shallow to deep; empty for the registry's choice.
        start: what the student's weights begin from, "dreamnet" or a .keras file; None for random ones.
        photos: folder of pictures.
        hold_out: leave out every so-manieth picture, from the first in sorted order; 0 for none.
        out: the network to write, .keras.
        settings: how to train; `HeadSettings` for a class head upon `start`.
        overwrite: whether `out` may be replaced.
    """

    teacher: str
    weights: Path | None
    layers: tuple[str, ...]
    start: str | None
    photos: Path
    hold_out: int
    out: Path
    settings: DistillSettings | HeadSettings
    overwrite: bool = False

    @property
    def checkpoint(self) -> Path:
        """The file that the training goes on from."""
        return self.out.with_name(f".{self.out.name}.training.npz")

    @property
    def sheet(self) -> Path:
        """The sheet of dreams, beside the network."""
        return self.out.with_suffix(".png")


def check(lesson: Lesson) -> None:
    """Refuse what cannot end well.

    Raises:
        UsageError, BadInput: the output, the folder of pictures, the network to begin from, or the number of layers.
    """
    if lesson.out.suffix != ".keras":
        raise UsageError(f"{lesson.out} should end in .keras: that is what a network is written as.")
    if not lesson.out.absolute().parent.is_dir():
        raise UsageError(f"The folder {lesson.out.absolute().parent} does not exist.")
    for path in (lesson.out, lesson.sheet):
        if path.exists() and not lesson.overwrite:
            raise UsageError(f"{path} exists already; give --overwrite to replace it.")
    if not lesson.photos.is_dir():
        raise BadInput(f"{lesson.photos} is no folder of pictures.")
    if lesson.start not in (None, "dreamnet") and not Path(lesson.start).is_file():
        raise BadInput(f"There is no network {lesson.start} to begin from; give a .keras file, or dreamnet.")
    if lesson.layers and len(lesson.layers) != 3:
        raise UsageError(
            f"A student learns from three layers of its teacher, shallow to deep, not {len(lesson.layers)}."
        )
    if isinstance(lesson.settings, HeadSettings) and (lesson.layers or lesson.start is None):
        raise UsageError(
            "A class head is learned from the teacher's classes, and put upon a network: leave out --layers, and give "
            "--start dreamnet, or a .keras file of an earlier training."
        )


def teach(lesson: Lesson, *, listener: Listener, should_stop: Callable[[], bool] = lambda: False) -> int:
    """Train a student, or go on with one that was stopped; write it and a sheet of its dreams.

    Returns:
        How many pictures it learned from.

    Raises:
        Interrupted: it was stopped; the same call goes on.
        DreamreelError: whatever else a user can mend.
    """
    check(lesson)
    listener(Stage("loading the teacher"))
    teacher = load_network(lesson.teacher, weights=lesson.weights)
    listener(Stage("reading pictures"))
    photos = list(_photos(lesson, listener))  # held in memory: every training step draws on all of them
    if not photos:
        raise BadInput(f"There is no picture to learn from in {lesson.photos}.")
    listener(Stage("preparing the training"))
    start, checkpoint, settings = _start(lesson), lesson.checkpoint, lesson.settings
    layers = lesson.layers or teacher.spec.taught or teacher.spec.layers[-3:]
    distillation: Distillation | HeadDistillation
    if isinstance(settings, HeadSettings):
        assert start is not None
        distillation = HeadDistillation(teacher, photos, settings, checkpoint=checkpoint, start=start)
    else:
        distillation = Distillation(teacher, layers, photos, settings, checkpoint=checkpoint, start=start)
    if distillation.step:
        listener(Note(f"Going on from step {distillation.step}."))
    listener(Stage("training"))

    def report(progress: Progress) -> None:
        minutes = settings.minutes
        listener(TrainingProgress(minutes=progress.share * minutes, total=minutes, reading=progress.reading))

    if not distillation.run(report=report, should_stop=should_stop):
        raise Interrupted(f"Stopped after step {distillation.step}; the same command goes on from here.")
    distillation.write(lesson.out)
    listener(Stage("dreaming a sheet"))
    if isinstance(settings, HeadSettings):
        page = class_sheet(teacher, lesson.out)
    else:
        page = dream_sheet(teacher, layers[1], lesson.out, photos[:: max(1, len(photos) // 4)][:4])
    write_image(page, lesson.sheet)
    checkpoint.unlink(missing_ok=True)
    return len(photos)


def class_sheet(teacher: Network, student: Path) -> Pixels:
    """Draw what teacher and student make of noise when they dream of the same classes, side by side."""
    size = Size(288, 288)
    networks = {teacher.name: teacher, "student": load_network("dreamnet", weights=student)}
    start = noise("perlin", size=size, seed=1)
    names = teacher.class_names or [str(number) for number in range(teacher.class_count)]

    def tiles(number: int) -> Iterator[tuple[Frame, str]]:
        for name, network in networks.items():
            dreamer = Dreamer(network, DreamSettings(layers={}, of={str(number): 1.0}, first_steps=24, **SHEET))
            yield dreamer(start, frame=0, seconds=0.0)[0], f"{names[number]}, {name}"

    shown = [Section(tiles=tiles(number)) for number in SHOWN_CLASSES if number < len(names)]
    return contact_sheet(shown, columns=2, cell=size, title=student.stem)


def dream_sheet(teacher: Network, layer: str, student: Path, photos: list[Pixels]) -> Pixels:
    """Draw what teacher and student make of the same pictures and of noise, side by side."""
    size = Size(288, 288)
    starts = [_square(photo, size) for photo in photos] + [noise("perlin", size=size, seed=1)]
    dreamers = {
        teacher.name: Dreamer(teacher, DreamSettings(layers={layer: 1.0}, **SHEET)),
        "student": Dreamer(load_network("dreamnet", weights=student), DreamSettings(layers={"parts": 1.0}, **SHEET)),
    }

    def row(start: Frame) -> Iterator[tuple[Frame, str]]:
        yield start, "before"
        for name, dreamer in dreamers.items():
            yield dreamer(start, frame=0, seconds=0.0)[0], name

    return contact_sheet([Section(tiles=row(start)) for start in starts], columns=3, cell=size, title=student.stem)


def _start(lesson: Lesson) -> Network | None:
    if lesson.start is None:
        return None
    return load_network("dreamnet", weights=None if lesson.start == "dreamnet" else Path(lesson.start))


def _photos(lesson: Lesson, listener: Listener) -> Iterator[Pixels]:
    found = (path for path in lesson.photos.iterdir() if not is_clutter(path.name))
    names = sorted(path for path in found if path.suffix.lower() in PICTURES)
    for index, path in enumerate(names):
        if lesson.hold_out and index % lesson.hold_out == 0:
            continue
        try:
            picture = read_image(path)
        except BadInput as error:
            listener(Note(f"Left out: {error}"))
            continue
        height, width = picture.shape[:2]
        scale = LONGEST_SHORT_SIDE / min(height, width)
        if scale < 1:
            picture = resize(picture, Size(max(1, round(width * scale)), max(1, round(height * scale))))
        if min(picture.shape[:2]) < 32:
            listener(Note(f"Left out: {path} is smaller than 32 pixels."))
            continue
        yield to_8bit(picture)


def _square(photo: Pixels, size: Size) -> Frame:
    side = min(photo.shape[:2])
    top, left = (photo.shape[0] - side) // 2, (photo.shape[1] - side) // 2
    window = photo[top : top + side, left : left + side]
    return resize(np.asarray(window, np.float32) / np.float32(255), size)
