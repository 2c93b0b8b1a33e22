"""Contact sheets: many small pictures, or charts, with captions on one calm page.

Pictures are frames, float32 RGB in [0, 1], or pixels, uint8 RGB; a sheet is uint8 `(H, W, 3)`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from renderer.frame import Frame, Pixels, Size, to_8bit

Picture = Frame | Pixels
Tile = tuple[Picture, str]
Fitted = list[tuple[Pixels, str]]

BACKGROUND = (23, 24, 27)
MAT = (30, 31, 35)  # what shows beside a tile of another shape than its cell: the grid stays visible
CAPTION = (178, 178, 172)
HEADING = (232, 231, 226)
FAINT = (128, 128, 126)

_LONGEST_TEXT = 500  # Characters of a caption that are looked at: more never fit.

LARGEST_CELL = 320
"""Longest side of a cell, pixels, where none is asked for."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a sheet that begins on a new row.

    Attributes:
        heading: a few words above its tiles; "" for none.
        note: said after the heading, fainter.
        tiles: pictures `(H, W, 3)` with their captions; read once, in order.
    """

    heading: str = ""
    note: str = ""
    tiles: Iterable[Tile]


def contact_sheet(
    sections: Iterable[Section], *, columns: int, cell: Size | None = None, title: str = "", note: str = ""
) -> Pixels:
    """Lay pictures out on one page, row by row in equal cells, section by section under their headings.

    Args:
        sections: top to bottom; one without tiles is left out. A picture of another shape than its cell is scaled to
            fit, whole and centred, and a caption too long for its cell is cut with an ellipsis.
        columns: tiles in a row; a sheet with fewer tiles is only as wide as they need.
        cell: size of a tile, pixels; without one, the first picture's, brought to at most `LARGEST_CELL`.
        title: a line above everything.
        note: said after the title, fainter.

    Returns:
        uint8 `(H, W, 3)`.

    Raises:
        ValueError: no tile at all, or less than one column.
    """
    if columns < 1:
        raise ValueError("A sheet has at least one column.")
    fitted: list[tuple[str, str, Fitted]] = []
    for section in sections:
        row: Fitted = []
        for picture, caption in section.tiles:  # fitted as they come: the large originals are not kept
            cell = cell or _default_cell(Size.of(picture))
            row.append((fit(picture, cell), caption))
        if row:
            fitted.append((section.heading, section.note, row))
    if cell is None or not fitted:
        raise ValueError("A sheet has at least one tile.")
    widest = max(len(row) for _, _, row in fitted)
    return _Layout(cell, min(columns, widest)).draw(fitted, title=title, note=note)


def fit(picture: Picture, cell: Size) -> Pixels:
    """Scale a picture to lie whole and centred in a cell.

    Args:
        picture: `(H, W, 3)`; a frame's values outside [0, 1] are clipped.
        cell: the size to fill, pixels.

    Returns:
        uint8 `(cell.height, cell.width, 3)`; bare strips have the colour `MAT`.
    """
    pixels = picture if picture.dtype == np.uint8 else to_8bit(np.asarray(picture, np.float32))
    scale = min(cell.width / pixels.shape[1], cell.height / pixels.shape[0])
    width = min(cell.width, max(1, round(pixels.shape[1] * scale)))
    height = min(cell.height, max(1, round(pixels.shape[0] * scale)))
    if (height, width) != pixels.shape[:2]:
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        pixels = cv2.resize(pixels, (width, height), interpolation=method)
    page = np.full((cell.height, cell.width, 3), MAT, np.uint8)
    top, left = (cell.height - height) // 2, (cell.width - width) // 2
    page[top : top + height, left : left + width] = pixels
    return page


class _Layout:
    """Where things go on a page, all in proportion to a cell."""

    def __init__(self, cell: Size, columns: int) -> None:
        self.cell, self.columns = cell, columns
        side = min(cell)
        self.gap = max(6, round(side / 14))
        self.margin = 2 * self.gap
        self.text = int(np.clip(round(side / 12), 11, 22))
        self.caption_height = round(1.9 * self.text)
        self.heading = round(1.25 * self.text)
        self.title = round(1.6 * self.text)
        self.width = 2 * self.margin + columns * cell.width + (columns - 1) * self.gap

    def draw(self, sections: Sequence[tuple[str, str, Fitted]], *, title: str, note: str) -> Pixels:
        heights = [self._height(heading, note, row) for heading, note, row in sections]
        top = self.margin + (round(2.4 * self.title) if title or note else 0)
        page = Image.new("RGB", (self.width, top + sum(heights) + self.margin - self.gap), BACKGROUND)
        pen = ImageDraw.Draw(page)
        if title or note:
            self._line(pen, self.margin, title, note, size=self.title)
        for (heading, section_note, row), height in zip(sections, heights, strict=True):
            self._section(page, pen, top, heading, section_note, row)
            top += height
        return np.asarray(page, np.uint8).copy()

    def _height(self, heading: str, note: str, row: Fitted) -> int:
        return self._heading_height(heading, note) + -(-len(row) // self.columns) * self._row_height(row)

    def _heading_height(self, heading: str, note: str) -> int:
        return round(2.3 * self.heading) if heading or note else 0

    def _row_height(self, row: Fitted) -> int:
        captioned = any(caption for _, caption in row)
        return self.cell.height + self.gap + (self.caption_height if captioned else 0)

    def _section(
        self, page: Image.Image, pen: ImageDraw.ImageDraw, top: int, heading: str, note: str, row: Fitted
    ) -> None:
        if heading or note:
            self._line(pen, top + round(0.35 * self.heading), heading, note, size=self.heading)
            top += self._heading_height(heading, note)
        for i, (pixels, caption) in enumerate(row):
            left = self.margin + (i % self.columns) * (self.cell.width + self.gap)
            upper = top + (i // self.columns) * self._row_height(row)
            page.paste(Image.fromarray(pixels), (left, upper))
            if caption:
                below = upper + self.cell.height + round(0.4 * self.text)
                shown = shorten(caption, self.cell.width, size=self.text)
                pen.text((left, below), shown, font=_font(self.text), fill=CAPTION)

    def _line(self, pen: ImageDraw.ImageDraw, top: int, text: str, note: str, *, size: int) -> None:
        """Write a bright text and, after it on the same line, a fainter note."""
        room = self.width - 2 * self.margin
        shown = shorten(text, room, size=size)
        pen.text((self.margin, top + size), shown, font=_font(size), fill=HEADING, anchor="ls")
        used = round(_font(size).getlength(shown)) + (size if shown else 0)
        if note and used < room:
            rest = shorten(note, room - used, size=round(0.8 * size))
            pen.text((self.margin + used, top + size), rest, font=_font(round(0.8 * size)), fill=FAINT, anchor="ls")


def shorten(text: str, width: int, *, size: int) -> str:
    """Cut a text, with an ellipsis in its place, so that it is at most `width` pixels long at a font size."""
    # What a font cannot show, such as a part of a name that is not UTF-8, is a question mark.
    text = " ".join(text[:_LONGEST_TEXT].split()).encode("utf-8", "replace").decode()
    if _font(size).getlength(text) <= width:
        return text
    kept = len(text)
    while kept and _font(size).getlength(text[:kept].rstrip() + "...") > width:
        kept -= 1
    return text[:kept].rstrip() + "..." if kept else ""


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Return Pillow's own typeface: the same on every machine, smooth at small sizes (OpenCV's is drawn in strokes)."""
    return ImageFont.load_default(size)  # type: ignore[return-value]


def _default_cell(size: Size) -> Size:
    scale = min(1.0, LARGEST_CELL / max(size))
    return Size(max(1, round(size.width * scale)), max(1, round(size.height * scale)))


GRID, FAINT_LINE, BRIGHT_LINE = (52, 53, 58), (104, 104, 104), (242, 192, 99)
ROOM = 0.08
"""Part of the chart's shorter side that is left free around the lines."""


def chart(runs: Sequence[Sequence[float]], *, bright: int, size: Size) -> Pixels:
    """Draw runs of numbers one after another, each as a line of its own, all on one scale.

    Args:
        runs: the numbers; what is not finite is left out.
        bright: the run that stands out.
        size: of the chart, pixels.

    Returns:
        uint8 `(H, W, 3)`.
    """
    page = np.full((size.height, size.width, 3), MAT, np.uint8)
    known = [value for run in runs for value in run if math.isfinite(value)]
    total = sum(map(len, runs))
    if not known:
        return page
    low, high = min(known), max(known)
    free = max(2, round(ROOM * min(size)))
    for part in (0.0, 0.5, 1.0):
        row = round(free + part * (size.height - 1 - 2 * free))
        page[row, free : size.width - free] = GRID
    begun = 0
    for index, run in enumerate(runs):
        points = [
            (
                free + (begun + step + 0.5) / total * (size.width - 2 * free),
                free + (1 - (value - low) / ((high - low) or 1)) * (size.height - 1 - 2 * free),
            )
            for step, value in enumerate(run)
            if math.isfinite(value)
        ]
        begun += len(run)
        _draw_line(
            page, points, BRIGHT_LINE if index == bright else FAINT_LINE, thickness=max(1, round(min(size) / 90))
        )
    return page


def _draw_line(
    page: Pixels, points: Sequence[tuple[float, float]], colour: tuple[int, int, int], *, thickness: int
) -> None:
    """Draw a line through points, smooth to a sixteenth of a pixel; a single point is a dot."""
    fixed = np.round(16 * np.array(points, np.float64).reshape(-1, 1, 2)).astype(np.int32)
    if len(points) == 1:
        cv2.circle(page, tuple(map(int, fixed[0, 0])), 24 * thickness, colour, -1, cv2.LINE_AA, 4)
    elif points:
        cv2.polylines(page, [fixed], False, colour, thickness, cv2.LINE_AA, 4)
