"""Tiny films that cost milliseconds a frame, for the tests of executors and units of work."""

from __future__ import annotations

import hashlib
from pathlib import Path

from renderer.events import FrameDone, JobStarted, Note, RenderingStarted, Stage
from renderer.films.film import Film, ZoomFilm
from renderer.films.new_film import new_film
from renderer.media.ffmpeg.pipes import file_url, run
from renderer.settings.kinds import KINDS
from renderer.settings.presets import resolve

RATE = 12
SHOT = 4
"""Frames of each of the three shots of the clip."""

LONG = 150
"""Frames of a zoom that takes long enough for something to happen to it."""

SETS = ("seed=7", "dream.octaves=1", "dream.first_steps=2", "dream.steps=1")


def save_tiny_network(path: Path) -> Path:
    """Write a network of three small convolutions that stands in for dreamnet."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(7)
    picture = keras.Input((None, None, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="edges")(picture)
    x = layers.Conv2D(12, 3, strides=2, padding="same", activation="relu", name="parts")(x)
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu", name="objects")(x)
    keras.Model(picture, x).save(path)
    return path


def make_clip(path: Path) -> Path:
    """Write three shots, 96x64, and beside them the list of their cuts."""
    seconds = SHOT / RATE
    sources = [f"{name}=s=96x64:r={RATE}" for name in ("testsrc", "mandelbrot", "testsrc2")]
    inputs = [part for source in sources for part in ("-f", "lavfi", "-i", source)]
    cut = "".join(f"[{n}]trim=end={seconds}[v{n}];" for n in range(3)) + "[v0][v1][v2]concat=n=3"
    run([*inputs, "-filter_complex", cut, "-c:v", "libx264", "-g", "4", "-y", file_url(path)])
    path.with_suffix(".txt").write_text(f"{SHOT}\n{2 * SHOT}\n")
    return path


def zoom(network: Path, out: Path, *sets: str, frames: int = 4, **options) -> Film:
    """A zoom whose frames are larger than what is dreamed."""
    large = ("film.size=64x48", "dream.reference=32", "dream.detail=0.3")
    chosen = [*SETS, f"network.weights={network}", f"film.frames={frames}", *large, *sets]
    return ZoomFilm(settings=resolve(sets=chosen).settings, out=out, **options)


def led(network: Path, clip: Path, out: Path, *sets: str, frames: int = 4, **options) -> Film:
    """A zoom that takes up what is seen in a clip."""
    leading = (
        "dream.objective=guide",
        "dream.layers=parts",
        f"film.fps={RATE}",
        "film.dreams=5",
        f"guide.picture={clip}",
    )
    return zoom(network, out, *leading, *sets, frames=frames, **options)


def video(network: Path, clip: Path, out: Path, *sets: str, **options) -> Film:
    """A film over a clip whose tone is held, so that it depends on the film's first frame throughout."""
    chosen = [*SETS, f"network.weights={network}", "governor.amount=1", "film.size=64x48", *sets]
    resolved = resolve(sets=chosen, defaults=KINDS["video"].defaults)
    return new_film("video", resolved, out, {"clip": clip, "cuts": clip.with_suffix(".txt")}, **options)


def make_references(place: Path) -> None:
    """Write into a folder a network, a clip, and in `films` what a serial executor makes of them."""
    from renderer import runtime
    from renderer.workers.jobs import Job, SerialExecutor

    runtime.prepare()  # Before anything else uses TensorFlow, as in every command.
    network, clip = save_tiny_network(place / "tiny.keras"), make_clip(place / "clip.mp4")
    (place / "films").mkdir()
    made = [
        zoom(network, place / "films" / "long.mp4", frames=LONG),
        video(network, clip, place / "films" / "video.mp4"),
        led(network, clip, place / "films" / "led.mp4"),
    ]
    for outcome in SerialExecutor().run([Job(id=film.out.name, film=film) for film in made], listener=Batch()):
        assert outcome.error is None, outcome.traceback


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Listening:
    """Keeps what it is told, and asks to stop after some frames."""

    def __init__(self, on_frame=lambda report: None, *, stop_after=10**9):
        self.stages, self.notes, self.frames = [], [], []
        self.begun_at = None
        self._on_frame, self._stop_after = on_frame, stop_after

    def __call__(self, event):
        match event:
            case Stage(text):
                self.stages.append(text)
            case Note(text):
                self.notes.append(text)
            case RenderingStarted(done):
                self.begun_at = done
            case FrameDone():
                self.frames.append(event.index)
                self._on_frame(event)

    def should_stop(self):
        return len(self.frames) >= self._stop_after


class Batch:
    """Listens to a batch; `on_frame` is called with each report."""

    def __init__(self, on_frame=lambda report: None):
        self.jobs, self.notes = {}, []
        self._on_frame = on_frame

    def __call__(self, job, event):
        if job is None:
            self.notes.append(event.text)
        elif isinstance(event, JobStarted):
            self.jobs[job] = Listening(self._on_frame)
        else:
            self.jobs[job](event)
