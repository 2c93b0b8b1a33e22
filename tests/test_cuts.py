"""Cuts are found where one shot ends, written down, and read back for whatever part of the film is taken."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from renderer.errors import BadInput, UsageError
from renderer.frame import Size
from renderer.media.ffmpeg.clips import Clip, open_clip
from renderer.media.ffmpeg.cuts import find_cuts, read_cuts
from renderer.media.ffmpeg.pipes import file_url, run

# Four shots: still, moving fast, a slow zoom of noise, and bars that scroll.
SHOTS = [
    ("testsrc=s=320x180:r=24:d=1.5", 36),
    ("mandelbrot=s=320x180:r=24:maxiter=50,trim=duration=1,negate", 24),
    ("color=0x4060a0:s=320x180:r=24:d=1.25,noise=alls=20:allf=t", 30),
    ("smptebars=s=320x180:r=24:d=2,scroll=h=0.02", 48),
]
CUTS = [36, 60, 90]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cuts") / "film.mp4"
    chains = [
        f"{shot},trim=end_frame={count},setpts=PTS-STARTPTS,format=yuv420p[s{k}]"
        for k, (shot, count) in enumerate(SHOTS)
    ]
    graph = ";".join(chains) + ";" + "".join(f"[s{k}]" for k in range(len(SHOTS))) + f"concat=n={len(SHOTS)}[v]"
    run(["-filter_complex", graph, "-map", "[v]", "-c:v", "libx264", "-preset", "ultrafast", file_url(path)])
    return path


def test_every_cut_is_found_on_its_frame_and_nothing_else(film: Path) -> None:
    seen: list[tuple[int, int]] = []
    clip = open_clip(film)
    assert find_cuts(clip, progress=lambda *done: seen.append(done)) == CUTS
    assert seen[-1] == (138, 138) and len(seen) == 138


def test_cuts_do_not_depend_on_the_size_that_was_asked_for_and_count_from_the_start_of_the_clip(film: Path) -> None:
    assert find_cuts(open_clip(film, size=Size(640, 360))) == CUTS
    assert find_cuts(open_clip(film, start=1, end=3)) == [12, 36]
    assert find_cuts(open_clip(film, rate=Fraction(12))) == [18, 30, 45]


def test_the_threshold_decides_how_many_are_found(film: Path) -> None:
    assert find_cuts(open_clip(film), threshold=200) == []
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="threshold"):
            find_cuts(open_clip(film), threshold=wrong)


def test_a_cut_near_the_end_is_found_and_a_film_of_one_frame_has_none(film: Path, tmp_path: Path) -> None:
    assert find_cuts(open_clip(film, start=1.75, end=38.5 / 12 + 0.625)) == [18, 48]
    assert find_cuts(open_clip(film, end=61 / 24)) == [36, 60]
    assert find_cuts(open_clip(film, end=1 / 24)) == []


def test_cuts_count_from_the_start_of_the_whole_film_whatever_part_and_rate_is_read(film: Path, tmp_path: Path) -> None:
    path = tmp_path / "cuts.txt"
    path.write_text("# Cuts of a film\n1.5s\n2.5s  # frame 60\n3.75s\n")
    assert read_cuts(path, clip=open_clip(film)) == CUTS
    assert read_cuts(path, clip=open_clip(film, start=2, end=3)) == [12]
    assert 60 in read_cuts(path, clip=open_clip(film, rate=Fraction(24000, 1001)))
    clip = open_clip(film)
    for rate in (Fraction(24000, 1001), Fraction(240), Fraction(7, 3)):
        long = Clip(path=film, size=clip.size, rate=rate, count=500_000, source=clip.source, first=7)
        cuts = [1, 2, 3, 999, 100_003, 499_999]
        path.write_text("".join(f"{float((7 + cut) / rate):.6f}s\n" for cut in cuts))
        assert read_cuts(path, clip=long) == cuts


def test_times_and_frames_may_be_written_in_every_usual_way(film: Path, tmp_path: Path) -> None:
    path = tmp_path / "cuts.txt"
    path.write_bytes(b"\xef\xbb\xbf# mine\r\n36\r\n\r\n 2.5s # two\n0:03.75\n0:00:04\n1.0\n2 s\n36\n")
    assert read_cuts(path, clip=open_clip(film)) == [24, 36, 48, 60, 90, 96]
    path.write_text("")
    assert read_cuts(path, clip=open_clip(film)) == []


def test_a_line_that_means_nothing_is_named_with_its_number(film: Path, tmp_path: Path) -> None:
    path, clip = tmp_path / "cuts.txt", open_clip(film)
    for line in ("soon", "-3", "1.2.3", "1:2:3:4", "12 frames", "1e9", "nan", "٣", "1,5"):
        path.write_text(f"1.5s\n{line}\n", "utf-8")
        with pytest.raises(BadInput, match=r"cuts\.txt, line 2"):
            read_cuts(path, clip=clip)


def test_what_is_no_list_of_cuts_is_refused(film: Path, tmp_path: Path) -> None:
    clip = open_clip(film)
    with pytest.raises(BadInput, match=r"not text|neither"):
        read_cuts(film, clip=clip)
    with pytest.raises(BadInput, match="not there"):
        read_cuts(tmp_path / "none", clip=clip)
    with pytest.raises(BadInput, match="folder"):
        read_cuts(tmp_path, clip=clip)
