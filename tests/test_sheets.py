from __future__ import annotations

import numpy as np
import pytest

from renderer.frame import Size
from renderer.media.sheets import BACKGROUND, MAT, Section, contact_sheet, fit, shorten


def plain(width: int, height: int, colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def count(sheet: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((sheet == np.array(colour, np.uint8)).all(-1).sum())


def test_every_tile_is_on_the_sheet_in_a_cell_of_the_same_size():
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0), (0, 250, 250)]
    sheet = contact_sheet([Section(tiles=((plain(40, 40, c), "") for c in colours))], columns=2, cell=Size(60, 60))
    assert [count(sheet, c) for c in colours] == [3600] * 5


def test_tiles_go_row_by_row_from_the_left():
    tiles = [(plain(8, 8, (v, 9, 9)), "") for v in (50, 100, 150)]
    sheet = contact_sheet([Section(tiles=tiles)], columns=2, cell=Size(32, 32))
    places = [np.argwhere(sheet[..., 0] == v).min(0) for v in (50, 100, 150)]
    assert places[0][0] == places[1][0] < places[2][0]
    assert places[0][1] == places[2][1] < places[1][1]


def test_a_picture_of_another_shape_is_shown_whole_and_centred():
    wide = fit(plain(80, 20, (200, 100, 50)), Size(40, 40))
    assert wide.shape == (40, 40, 3)
    assert (wide[15:25] == (200, 100, 50)).all()
    assert (wide[:15] == MAT).all()
    assert (wide[25:] == MAT).all()


def test_frames_are_clipped_not_wrapped():
    frame = np.full((10, 10, 3), 1.7, np.float32)
    frame[:5] = -0.6
    shown = fit(frame, Size(10, 10))
    assert shown[:5].max() == 0
    assert shown[5:].min() == 255


def test_captions_and_headings_add_readable_light_on_dark():
    bare = contact_sheet([Section(tiles=[(plain(64, 64, (90, 90, 90)), "")])], columns=1)
    captioned = contact_sheet([Section(tiles=[(plain(64, 64, (90, 90, 90)), "parts:12")])], columns=1)
    headed = contact_sheet([Section(heading="parts", tiles=[(plain(64, 64, (90, 90, 90)), "parts:12")])], columns=1)
    bright = [int((sheet.min(-1) > 140).sum()) for sheet in (bare, captioned, headed)]
    assert bright[0] == 0 < bright[1] < bright[2]
    assert bare.shape[0] < captioned.shape[0] < headed.shape[0]


def test_a_long_caption_stays_in_its_column():
    tiles = [
        (plain(64, 64, (90, 90, 90)), "a long name of a layer in a network:123"),
        (plain(64, 64, (0, 0, 0)), ""),
    ]
    sheet = contact_sheet([Section(tiles=tiles)], columns=2)
    second = np.argwhere((sheet == 0).all(-1)).min(0)[1]
    under_second = sheet[-20:, second:]
    assert (under_second == BACKGROUND).all()
    assert shorten("abcdefgh" * 20, 60, size=12).endswith("...")
    assert shorten("parts:1", 60, size=12) == "parts:1"


def test_sections_begin_on_a_new_row_and_empty_ones_are_left_out():
    sections = [
        Section(heading="one", tiles=[(plain(16, 16, (201, 0, 0)), "a")]),
        Section(heading="none", tiles=[]),
        Section(heading="two", tiles=iter([(plain(16, 16, (0, 202, 0)), "b"), (plain(16, 16, (0, 0, 203)), "c")])),
    ]
    sheet = contact_sheet(sections, columns=4, title="All")
    red, green, blue = (np.argwhere((sheet == c).all(-1)).min(0) for c in ((201, 0, 0), (0, 202, 0), (0, 0, 203)))
    assert red[0] < green[0] == blue[0]
    assert red[1] == green[1] < blue[1]
    without = contact_sheet([sections[0]], columns=4, title="All")
    assert without.shape[1] < sheet.shape[1], "a sheet is only as wide as its longest row"


@pytest.mark.parametrize(("tiles", "columns"), [([], 3), ([(plain(4, 4, (1, 1, 1)), "")], 0)])
def test_a_sheet_of_nothing_is_refused(tiles, columns):
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([Section(tiles=tiles)], columns=columns)
