"""One suite over every kind of film: what a user can rely on, whatever the ending of the name."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from renderer.errors import BadInput, DiskProblem, DreamreelError, EnvironmentProblem, UsageError
from renderer.frame import Pixels, Size
from renderer.media import files
from renderer.media.ffmpeg.encode import (
    CODECS,
    FORMATS,
    Encoder,
    check_encode,
    choose_format,
    codecs_here,
    encode,
    read_recipe,
)
from renderer.media.ffmpeg.formats import ALIASES
from renderer.media.ffmpeg.pipes import ffmpeg_exe, file_url, run

CASES = [(kind, codec) for kind, form in FORMATS.items() for codec in form.codecs]
BY_CODEC = [next(case for case in CASES if case[1] == codec) for codec in CODECS]
TAGGED = [(kind, codec) for kind, codec in BY_CODEC if CODECS[codec].tagged and codec != "png"]
LOSSLESS = ("apng", "png")
SIZE = Size(80, 64)
RATE = Fraction(24)
RECIPE = {"seed": 3, "text": "a=b;#\\\"'<&>\n\0ü🎈", "nested": {"list": [1, 2.5, None, True, 1e-300]}}

every_film = pytest.mark.parametrize(("kind", "codec"), CASES)
every_codec = pytest.mark.parametrize(("kind", "codec"), BY_CODEC)
every_kind = pytest.mark.parametrize("kind", FORMATS)
every_way = pytest.mark.parametrize("kind", ["mp4", "gif", "folder"])  # By ffmpeg, changed afterwards, without it.


def name_of(folder: Path, kind: str, stem: str = "film") -> Path:
    return folder / (stem + (FORMATS[kind].suffixes[0] if FORMATS[kind].suffixes else ""))


def names_in(folder: Path) -> list[str]:
    return sorted(inside.name for inside in folder.iterdir())


def film(size: Size = SIZE, count: int = 5) -> Iterator[Pixels]:
    """Smooth colours that move: every frame differs, and no codec has trouble with them."""
    x, y = np.meshgrid(np.arange(size.width), np.arange(size.height))
    for t in range(count):
        waves = [np.sin((x * a + y * b) / 40 + c + 0.4 * t) for a, b, c in ((1, 0.5, 0), (0.3, 1, 2), (1, -1, 4))]
        yield (127.5 + 100 * np.stack(waves, axis=2)).astype(np.uint8)


def make(
    out: Path, codec: str | None = None, frames: Iterator[Pixels] | None = None, *, size: Size = SIZE, **options
) -> Path:
    given = {"size": size, "rate": RATE, "codec": codec, "recipe": RECIPE, **options}
    encode(film(size) if frames is None else frames, out, **given)
    return out


def decode(path: Path) -> list[Pixels]:
    """Read a film as another program would: by its own tags, to full-range RGB."""
    if path.is_dir():
        return [np.asarray(Image.open(p)) for p in sorted(path.glob("*.png"))]
    if path.suffix == ".webp":
        with Image.open(path) as image:
            frames = []
            for index in range(image.n_frames):
                image.seek(index)
                frames.append(np.asarray(image.convert("RGB")))
            return frames
    log = run(["-v", "info", "-i", file_url(path), "-f", "null", "-"]).log
    width, height = map(int, re.search(r"Video: .*? (\d+)x(\d+)[, ]", log).groups())
    to_rgb = "scale=flags=accurate_rnd+full_chroma_int+bicubic,format=rgb24"
    raw = run(["-i", file_url(path), "-vf", to_rgb, "-fps_mode", "passthrough", "-f", "rawvideo", "pipe:1"]).stdout
    return list(np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3))


def times(path: Path) -> list[Fraction]:
    """When each frame of a film is shown, seconds, and at last when the film ends."""
    if path.suffix == ".webp":
        with Image.open(path) as image:
            lengths = []
            for index in range(image.n_frames):
                image.seek(index)
                image.load()
                lengths.append(Fraction(int(image.info["duration"]), 1000))
        return [sum(lengths[:i], Fraction(0)) for i in range(len(lengths) + 1)]
    table = run(["-i", file_url(path), "-map", "0:v:0", "-c", "copy", "-f", "framecrc", "pipe:1"]).stdout.decode()
    base = Fraction(re.search(r"#tb 0: (\S+)", table)[1])
    rows = [[int(n) for n in line.split(",")[1:4]] for line in table.splitlines() if not line.startswith("#")]
    shown = sorted(row[1] for row in rows)
    return [n * base for n in [*shown, shown[-1] + rows[-1][2]]]


# --- every kind of film ----------------------------------------------------------------------------------------------


@every_film
def test_every_frame_arrives_once_at_its_size_and_looks_like_itself(tmp_path: Path, kind: str, codec: str) -> None:
    for count in (1, 5):
        seen: list[int] = []
        out = make(name_of(tmp_path, kind), codec, film(count=count), progress=seen.append, overwrite=True)
        assert seen == list(range(1, count + 1))
        frames = decode(out)
        assert len(frames) == count
        for got, sent in zip(frames, film(count=count), strict=True):
            assert got.shape == sent.shape
            difference = np.abs(got.astype(int) - sent)
            assert difference.mean() < (0.001 if codec in LOSSLESS else 14 if codec == "gif" else 4)
        assert names_in(tmp_path) == [out.name]


@pytest.mark.parametrize(("kind", "codec"), [case for case in CASES if case[0] != "folder"])
def test_frames_are_shown_at_the_exact_rate(tmp_path: Path, kind: str, codec: str) -> None:
    for rate in (Fraction(24000, 1001), Fraction(60)):
        out = make(name_of(tmp_path, kind), codec, film(count=12), rate=rate, overwrite=True)
        shown = times(out)
        most = CODECS[codec].most_rate
        expected_count = 12 if most is None or rate <= most else round(12 * most / rate)
        assert len(shown) - 1 == expected_count
        exact = kind in ("mp4", "mov")
        coarsest = {"gif": Fraction(1, 50), "webp": Fraction(1, 500)}.get(kind, Fraction(1, 1000))
        step = 1 / (rate if most is None else min(rate, most))
        for index, moment in enumerate(shown[:-1]):
            assert abs(moment - shown[0] - index * step) <= (0 if exact else coarsest)


@every_kind
def test_the_recipe_is_read_back_as_it_was_however_long(tmp_path: Path, kind: str) -> None:
    recipe = {**RECIPE, "long": "layer " * 20_000}
    out = make(name_of(tmp_path, kind), recipe=recipe)
    assert read_recipe(out) == recipe
    assert len(decode(out)) == 5  # Players still read it.
    if out.is_file():
        moved = out.rename(tmp_path / "renamed.bin")
        assert read_recipe(moved) == recipe
    plain = make(name_of(tmp_path, kind, "plain"), recipe=None)
    with pytest.raises(BadInput, match="holds no Dreamreel recipe"):
        read_recipe(plain)


@every_film
def test_the_same_frames_give_the_same_bytes(tmp_path: Path, kind: str, codec: str) -> None:
    def contents(path: Path) -> dict[str, bytes]:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        return {file.name if path.is_dir() else "": file.read_bytes() for file in files}

    random = np.random.default_rng(0).integers(0, 256, (6, 96, 160, 3), np.uint8)
    first, second = (
        make(name_of(tmp_path, kind, stem), codec, iter(random), size=Size(160, 96)) for stem in ("one", "two")
    )
    assert contents(first) == contents(second)


@every_codec
def test_odd_sizes_are_neither_stretched_nor_given_black_edges(tmp_path: Path, kind: str, codec: str) -> None:
    size = Size(79, 65)
    out = make(name_of(tmp_path, kind), codec, film(size, 2), size=size)
    frames = decode(out)
    expected_shape = (66, 80, 3) if CODECS[codec].even else (65, 79, 3)
    for got, sent in zip(frames, film(size, 2), strict=True):
        assert got.shape == expected_shape
        rows, columns = expected_shape[0] - 65, expected_shape[1] - 79
        padded = np.pad(sent, ((0, rows), (0, columns), (0, 0)), mode="edge")
        difference = np.abs(got.astype(int) - padded)
        allowed = 14 if codec == "gif" else 5
        assert difference.mean() < allowed
        assert difference[-2:].mean() < 2 * allowed and difference[:, -2:].mean() < 2 * allowed


@every_codec
def test_sizes_down_to_the_smallest_work_and_smaller_ones_are_refused(tmp_path: Path, kind: str, codec: str) -> None:
    least = CODECS[codec].smallest
    size = Size(least, least + 2)
    assert len(decode(make(name_of(tmp_path, kind), codec, film(size, 3), size=size))) == 3
    if least > 1:
        with pytest.raises(UsageError, match=f"{least} pixels"):
            make(name_of(tmp_path, kind, "small"), codec, film(Size(least - 1, 90), 1), size=Size(least - 1, 90))


@pytest.mark.parametrize(("kind", "codec"), TAGGED)
def test_colours_are_tagged_and_right(tmp_path: Path, kind: str, codec: str) -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 255, 255), (255, 0, 255), (255, 255, 0)]
    colours += [(level, level, level) for level in (0, 16, 64, 128, 200, 255)] + [(200, 100, 50), (30, 90, 160)]
    for start in range(0, len(colours), 7):
        chosen = colours[start : start + 7]
        patches = np.repeat(np.array(chosen, np.uint8), 32, axis=0)[None].repeat(64, axis=0)
        size = Size(32 * len(chosen), 64)
        out = make(name_of(tmp_path, kind), codec, iter([patches] * 3), size=size, overwrite=True)
        log = run(["-v", "info", "-i", file_url(out), "-f", "null", "-"]).log
        assert re.search(r"Video: .*\((tv, )?bt709[,/)]", log), log
        assert not re.search(r"bt709/unknown|unknown/bt709", log)
        frame = decode(out)[1]
        for index, colour in enumerate(chosen):  # Away from the edges, where half the colour resolution blends.
            patch = frame[16:48, index * 32 + 8 : index * 32 + 24]
            assert np.abs(patch.reshape(-1, 3).astype(float).mean(axis=0) - colour).mean() < 2, colour


# --- when something goes wrong ---------------------------------------------------------------------------------------


@pytest.fixture
def dying_ffmpeg(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ffmpeg that takes some frames, writes some bytes and dies."""
    script = tmp_path_factory.mktemp("bin") / "ffmpeg"
    script.write_text(
        f'#!/bin/sh\nfor last; do :; done\ncase "$*" in *rawvideo*) head -c 20000 >/dev/null;'
        f' echo half > "${{last#file:}}"; echo "[error] out of luck" >&2; exit 1;; esac\nexec {ffmpeg_exe()} "$@"\n'
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(script))


@pytest.mark.parametrize("kind", ["mp4", "gif"])
def test_nothing_is_left_when_the_encoder_dies(tmp_path: Path, kind: str, dying_ffmpeg: None) -> None:
    old = name_of(tmp_path, kind, "old")
    old.write_text("what was there")
    for out in (name_of(tmp_path, kind), old):
        with pytest.raises(EnvironmentProblem, match="out of luck"):
            make(out, None, film(count=60), overwrite=True)
    assert names_in(tmp_path) == [old.name] and old.read_text() == "what was there"


@every_way
def test_nothing_is_left_when_the_frames_stop_with_an_error_and_no_frames_are_no_film(
    tmp_path: Path, kind: str
) -> None:
    def broken() -> Iterator[Pixels]:
        yield from film(count=3)
        raise OSError("the dream was lost")

    with pytest.raises(OSError, match="the dream was lost"):
        make(name_of(tmp_path, kind), None, broken())
    with pytest.raises(BadInput, match="no frames"):
        make(name_of(tmp_path, kind), None, iter(()))
    assert names_in(tmp_path) == []


@every_way
def test_a_film_is_replaced_only_on_request_and_only_by_a_whole_one(tmp_path: Path, kind: str) -> None:
    out = make(name_of(tmp_path, kind), None, film(count=2))
    with pytest.raises(UsageError, match="--overwrite"):
        make(out)
    counts = []
    make(out, None, film(count=4), overwrite=True, progress=lambda _: counts.append(len(decode(out))))
    assert counts == [2] * 4 and len(decode(out)) == 4
    assert names_in(tmp_path) == [out.name]


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("name", ["film.mp4", "pictures"])
def test_what_appears_under_the_name_while_a_film_is_made_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, links: bool
) -> None:
    """Neither before the last look at the name nor after it, on file systems with second names and without."""
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "no links here")))
    out, settle = tmp_path / name, files._settle
    theirs = out / "theirs.txt" if name == "pictures" else out

    def appear(*_: object) -> None:
        theirs.parent.mkdir(exist_ok=True)
        theirs.write_text("theirs")

    for late in (False, True):
        if late:
            monkeypatch.setattr(files, "_settle", lambda part: [settle(part), appear()])
        encoder = Encoder(out, size=Size(64, 48), rate=Fraction(10))
        with pytest.raises(UsageError, match=r"exists already|holds other files"), encoder:
            for pixels in film(Size(64, 48), count=3):
                encoder.write(pixels)
            if not late:
                appear()
        assert theirs.read_text() == "theirs"
        assert [path.name for path in tmp_path.iterdir()] == [name]
        theirs.unlink()
        if name == "pictures":
            out.rmdir()
    monkeypatch.setattr(files, "_settle", settle)
    with files.replacing(out, overwrite=False) as part:
        part.write_text("ours")
    assert out.read_text() == "ours" and [path.name for path in tmp_path.iterdir()] == [name]


def test_a_film_can_be_encoded_while_it_is_rendered(tmp_path: Path) -> None:
    whole = make(tmp_path / "whole.mp4", "h264")
    with Encoder(tmp_path / "streamed.mp4", size=SIZE, rate=RATE, recipe=RECIPE) as encoder:
        for pixels in film():
            encoder.write(pixels)
        assert encoder.frames == 5 and not (tmp_path / "streamed.mp4").exists()
    assert (tmp_path / "streamed.mp4").read_bytes() == whole.read_bytes()


def test_a_frame_of_another_size_or_depth_is_refused(tmp_path: Path) -> None:
    for wrong in (np.zeros((63, 80, 3), np.uint8), np.zeros((64, 80, 3), np.float32)):
        with pytest.raises(ValueError, match="80x64"):
            make(tmp_path / "a.mp4", "h264", iter([wrong]))
    assert names_in(tmp_path) == []


def test_a_folder_with_other_things_in_it_is_never_touched(tmp_path: Path) -> None:
    mine = tmp_path / "photos"
    mine.mkdir()
    assert len(decode(make(mine, "png"))) == 5  # It was empty.
    make(mine, "png", film(count=2), overwrite=True)
    assert len(decode(mine)) == 2
    (mine / "holiday.jpg").write_text("dear to me")
    with pytest.raises(UsageError, match="holiday"):
        make(mine, "png", overwrite=True)
    assert (mine / "holiday.jpg").read_text() == "dear to me"


def test_a_place_that_cannot_be_written_is_found_before_rendering(tmp_path: Path) -> None:
    def check(out: Path, **options) -> None:
        check_encode(out, size=SIZE, **options)

    check(tmp_path / "a.mp4")
    with pytest.raises(DiskProblem, match="does not exist"):
        check(tmp_path / "none" / "a.mp4")
    (tmp_path / "file").touch()
    with pytest.raises(DiskProblem, match="not a folder"):
        check(tmp_path / "file" / "a.mp4")
    (tmp_path / "b.mp4").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        check(tmp_path / "b.mp4", overwrite=True)
    with pytest.raises(UsageError, match="is a file"):
        check(tmp_path / "file", overwrite=True)
    with pytest.raises(DiskProblem, match="cannot be written"):
        check(tmp_path / ("n" * 300 + ".mp4"))
    if Path("/proc").is_dir():
        with pytest.raises(DiskProblem):
            check(Path("/proc/a.mp4"))


def test_any_name_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    odd = ("-x.mp4", "a:b.mp4", "http:x.mp4", "%d.mp4", "new\nline.webm", "🎈 'quoted' [1].mov", "n" * 251 + ".gif")
    for name in odd:
        encode(film(count=2), Path(name), size=SIZE, rate=RATE, recipe=RECIPE)
        assert read_recipe(Path(name)) == RECIPE
    assert names_in(tmp_path) == sorted(odd)


# --- choosing --------------------------------------------------------------------------------------------------------


def test_the_ending_chooses_the_format_and_its_first_codec() -> None:
    for kind, form in FORMATS.items():
        for suffix in form.suffixes:
            for name in (f"a{suffix}", f"b.c{suffix.upper()}"):
                assert choose_format(name) == (FORMATS[kind], form.codecs[0])
    for name in ("frames", "frames/", Path("somewhere/frames"), "film.v2/"):
        assert choose_format(name) == (FORMATS["folder"], "png")
    assert choose_format("a.mp4", "AV1")[1] == "av1"
    for alias, codec in ALIASES.items():
        home = next(f.suffixes[0] for f in FORMATS.values() if codec in f.codecs)
        assert choose_format(f"a{home}", alias)[1] == codec


def test_a_name_or_codec_that_means_nothing_is_answered_with_what_does() -> None:
    for name, codec, told in (
        ("film.mpeg", None, r"\.mpeg.*\.mp4"),
        ("film.png", None, r"\.apng"),
        (".mp4", None, "film.mp4"),
        ("", None, "not a name"),
        ("..", None, "not a name"),
        ("film.mp4", "h246", "'h264'"),
        ("film.webm", "h264", "vp9, av1.*mp4, .mov"),
        ("frames", "gif", "png"),
    ):
        with pytest.raises(UsageError, match=told):
            choose_format(name, codec)


@pytest.mark.parametrize("codec", CODECS)
def test_quality_is_held_to_the_scale_of_the_codec_and_makes_a_difference(tmp_path: Path, codec: str) -> None:
    kind = next(k for k, form in FORMATS.items() if codec in form.codecs)
    scale = CODECS[codec].quality
    if scale is None:
        with pytest.raises(UsageError, match="no quality"):
            check_encode(name_of(tmp_path, kind), codec=codec, quality=5, size=SIZE)
        return
    for wrong in (scale.low - 1, scale.high + 1, float("nan"), float("inf")):
        with pytest.raises(UsageError, match=scale.name):
            check_encode(name_of(tmp_path, kind), codec=codec, quality=wrong, size=SIZE)
    random = np.random.default_rng(0).integers(0, 256, (4, 64, 80, 3), np.uint8)
    sizes = [
        make(name_of(tmp_path, kind, f"q{q:g}"), codec, iter(random), quality=q).stat().st_size
        for q in (scale.low + 2, scale.high - 2)
    ]
    assert max(sizes) > 1.5 * min(sizes)


def test_the_ffmpeg_in_use_can_write_every_codec_and_one_that_cannot_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert codecs_here() == dict.fromkeys(CODECS, True)
    monkeypatch.setattr("renderer.media.ffmpeg.encode.codecs_here", lambda: dict.fromkeys(CODECS, False))
    with pytest.raises(EnvironmentProblem, match="libx264"):
        make(tmp_path / "a.mp4", "h264")
    assert names_in(tmp_path) == []


# --- reading recipes -------------------------------------------------------------------------------------------------


def test_what_holds_no_recipe_is_named(tmp_path: Path) -> None:
    texts = {
        "empty.mp4": b"",
        "text.mp4": b"hello",
        "other.json": b'{"seed": 1}',
        "list.json": b'{"dreamreel": [1]}',
        "list.mp4": b"ffconcat version 1.0\nfile /etc/hostname\n",
        "cut.png": b"\x89PNG\r\n\x1a\n\0\0",
        "cut.gif": b"GIF89a",
        "cut.webp": b"RIFF\0\0\0\0WEBPXMP \xff",
        "cut.jpg": b"\xff\xd8\xff\xfe\0",
        "cut.tif": b"II*\0",
    }
    for name, text in texts.items():
        (tmp_path / name).write_bytes(text)
        with pytest.raises(BadInput, match=f"{name} holds no Dreamreel recipe"):
            read_recipe(tmp_path / name)
    with pytest.raises(BadInput, match="is not there"):
        read_recipe(tmp_path / "none.mp4")
    with pytest.raises(BadInput, match="no Dreamreel recipe"):
        read_recipe(tmp_path)


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "folder"])
def test_a_film_cut_off_anywhere_still_gives_its_recipe_or_says_that_it_has_none(tmp_path: Path, kind: str) -> None:
    whole = make(name_of(tmp_path, kind)).read_bytes()
    cut = tmp_path / "cut"
    for part in (0.02, 0.3, 0.7, 0.99):
        cut.write_bytes(whole[: int(len(whole) * part)])
        try:
            assert read_recipe(cut) == RECIPE
        except DreamreelError as error:
            assert isinstance(error, BadInput) and "cut" in str(error)


@pytest.mark.skipif(os.name != "posix", reason="needs limits of POSIX")
@pytest.mark.parametrize("name", ["film.mp4", "film.gif", "pictures"])
def test_a_limit_on_the_size_of_files_is_a_problem_of_the_disk_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    """ffmpeg is killed by a signal for it, and Python is told; the limit is lifted again before anything else."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    encoder = Encoder(tmp_path / name, size=Size(128, 96), rate=Fraction(10))
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(DiskProblem) as caught, encoder:
            for pixels in np.random.default_rng(0).integers(0, 256, (60, 96, 128, 3), np.uint8):
                encoder.write(pixels)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.exit_code == 6 and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
