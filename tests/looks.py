"""What the built-in presets look like, in a few numbers: `python -m tests.looks` writes them to looks.json anew.

The numbers are coarse on purpose. They must hold on another machine, in another precision, with another library, and
still tell any two presets apart.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from renderer.dreaming.objectives.objective_terms import kinds_that_compare_with
from renderer.films.film import ZoomFilm
from renderer.films.video import VideoFilm
from renderer.frame import Frame, Size
from renderer.media.images import write_image
from renderer.media.noise import noise
from renderer.render.recurrence import render
from renderer.settings.kinds import KINDS
from renderer.settings.presets import builtin_folder, load_preset, resolve

NUMBERS = Path(__file__).with_name("looks.json")
PRESETS = {
    path.stem: path
    for path in sorted(builtin_folder().glob("*.toml"))
    if load_preset(path.stem).values.get("network.name", "dreamnet") == "dreamnet"
}
"""The presets for the bundled network. Those for networks that are fetched first are held to their formulas in
`test_recipes.py`, or to what a class looks like in `benchmarks.objectives`."""

SIZE, RATE, FRAMES = Size(144, 96), 8, 8
"""A second of film, three octaves."""

VIDEO_SIZE = Size(288, 192)
"""Videos show more of what they were made from, and need more room to be told apart."""

GRID = (8, 8)

BOUNDS = {"colour": 0.06, "contrast": 0.035, "direction": 0.05, "detail": 0.12, "tone": 0.012, "hue": 0.035}
"""How far each kind of number may stray (root mean square). Measured with nine presets: bfloat16 against float32, which
is far more than two machines differ by, strays 0.75 of it over all kinds; the nearest two presets differ by 1.5."""

Look = Mapping[str, list[float]]


def look_of(frame: Frame) -> dict[str, list[float]]:
    """Describe a frame `(H, W, 3)`: colour and contrast of 8x8 cells, energy by direction and size of detail, hues."""
    frame = np.clip(frame, 0, 1)
    colours, hues = cv2.cvtColor(frame, cv2.COLOR_RGB2YCrCb), cv2.cvtColor(frame, cv2.COLOR_RGB2HSV)
    luma = np.ascontiguousarray(colours[..., 0])
    means, squares = (cv2.resize(plane, GRID, interpolation=cv2.INTER_AREA) for plane in (luma, luma * luma))
    directions, detail, level = [], [], luma
    for _ in range(4):
        coarse = cv2.GaussianBlur(level, (0, 0), 1.0)
        detail.append(np.log2(np.sqrt(np.mean((level - coarse) ** 2)) + 1e-4))
        directions.append(_shares(*_slopes(coarse), bins=8, top=np.pi))
        level = cv2.resize(coarse, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    found = {
        "colour": cv2.resize(colours, GRID, interpolation=cv2.INTER_AREA),
        "contrast": np.sqrt(np.maximum(squares - means**2, 0)),
        "direction": np.concatenate(directions),
        "detail": np.array(detail),
        "tone": np.array([luma.mean(), luma.std(), hues[..., 1].mean()]),
        "hue": _shares(hues[..., 0], hues[..., 1] * hues[..., 2], bins=12, top=360),
    }
    return {name: np.round(values.ravel().astype(float), 3).tolist() for name, values in found.items()}


def distance(first: Look, second: Look) -> float:
    """Return how unlike two looks are; at 1 they cannot be the same any more."""
    strays = [
        np.sqrt(np.mean((np.array(first[name]) - np.array(second[name])) ** 2)) / bound
        for name, bound in BOUNDS.items()
    ]
    return float(np.sqrt(np.mean(np.square(strays))))


def render_look(path: Path, *, precision: str = "float32") -> Frame:
    """Render the last frame of a small film with a preset, a zoom from noise or over a clip that is drawn here."""
    preset = load_preset(str(path))
    command = preset.commands[0] if preset.commands else "zoom"
    size = VIDEO_SIZE if command == "video" else SIZE
    small = [f"film.size={size}", f"film.fps={RATE}", f"film.frames={FRAMES}", f"network.precision={precision}"]
    if command == "zoom":  # Each frame is dreamed, at its own size, so that it costs little.
        small += ["film.dreams=frame", "dream.reference=frame"]
    with tempfile.TemporaryDirectory() as folder:
        leader = draw_clip(Path(folder, "clip")) / "000.png"
        objective = preset.values.get("dream.objective")
        given = {"style": "guide.style", "guide": "guide.picture"}
        small += [
            f"{given[name]}={leader}" for name in ("guide", "style") if objective in kinds_that_compare_with(name)
        ]
        settings = resolve(presets=[preset], sets=small, defaults=KINDS[command].defaults).settings
        out = Path(folder, "look.mp4")
        if command == "video":
            parts = VideoFilm(settings=settings, out=out, clip=leader.parent).render_setup({"cuts": []})
        else:
            parts = ZoomFilm(settings=settings, out=out).render_setup({})
        kept = Kept()
        render(
            parts.scene,
            parts.dreamer,
            kept,
            governor=parts.governor,
            frames=FRAMES,
            rate=settings.rate,
            report=lambda _: None,
        )
        parts.scene.close()
    return kept.last


def draw_clip(folder: Path) -> Path:
    """Draw a clip as pictures: clouds that go left, and a bright disc that goes right."""
    folder.mkdir()
    wide = noise("clouds", size=Size(2 * VIDEO_SIZE.width, VIDEO_SIZE.height), seed=5)
    rows, columns = np.mgrid[: VIDEO_SIZE.height, : VIDEO_SIZE.width]
    for index in range(FRAMES):
        picture = wide[:, 3 * index : 3 * index + VIDEO_SIZE.width].copy()
        picture[np.hypot(columns - 60 - 8 * index, rows - 100) < 40] = (0.9, 0.6, 0.3)
        write_image(picture, folder / f"{index:03}.png")
    return folder


class Kept:
    """Stands in for a store and keeps the last frame."""

    next_frame = 0

    def state(self) -> None:
        return None

    def append(self, frame: Frame) -> None:
        self.last = frame

    def commit(self, state: object) -> None:
        pass


def _slopes(plane: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    across, down = (cv2.Sobel(plane, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    return np.arctan2(down, across) % np.pi, across**2 + down**2


def _shares(values: NDArray, weights: NDArray, *, bins: int, top: float) -> NDArray:
    found = np.histogram(values, bins, (0, top), weights=weights)[0]
    return found / max(found.sum(), 1e-9)


def main() -> None:
    looks = {}
    for name, path in PRESETS.items():
        sys.stderr.write(f"{name}\n")
        looks[name] = look_of(render_look(path))
    lines = (f'"{name}": {json.dumps(look)}' for name, look in looks.items())
    NUMBERS.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    near = min((distance(looks[a], looks[b]), a, b) for a in looks for b in looks if a < b)
    told = f"{len(looks)} presets; the most alike are {near[1]} and {near[2]}, {near[0]:.2f} apart"
    sys.stdout.write(f"{NUMBERS.name}: {told}\n")


if __name__ == "__main__":
    main()
