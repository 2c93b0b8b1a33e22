"""Measure the figures of dreaming over videos: `python -m benchmarks.video FIGURE`. See README.md here."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.clips import COLOURS, Crossing, bar_errors, bars, crossing, with_sound
from benchmarks.endurance import add_resume_options, growth, resumed
from benchmarks.tools import (
    ROOT,
    Benchmark,
    Command,
    Figure,
    at_least,
    below,
    comma_separated,
    network_flags,
    tell,
    told,
)
from renderer.frame import Frame, Size, to_8bit
from renderer.motion.flow import Motion
from renderer.settings.schema import Settings

if TYPE_CHECKING:
    from renderer.dreaming.ascent.dreamer import Dreamer
    from renderer.films.video import VideoFilm
    from renderer.render.scenes import Scene

RIVALS = {"none": ["--carry", "none"], "blend 0.5": ["--carry", "blend", "--blend", "0.5"]}


def steadiness(options: argparse.Namespace) -> Iterator[Figure]:
    """Dream over a clip with the real command, carried by flow and as rivals do, and measure the stores."""
    from renderer.measure.metrics import measure_film

    for network in options.networks:
        found: dict[str, Any] = {}
        with tempfile.TemporaryDirectory() as folder:
            for mode, flags in {"flow": ["--carry", "flow"], **RIVALS}.items():
                out, work = Path(folder, f"{mode}.mp4"), Path(folder, mode)
                _dream(options, network, out, [*flags, "--keep-store", "--work-dir", str(work)])
                tell(f"  measuring {mode}")
                names = ["steadiness", "crispness", "flicker", *(["alone"] if mode == "flow" else [])]
                found[mode] = measure_film(work, source=_clip(options), alone=options.alone, names=names).metrics
        yield from _compared(network, found)


def _dream(options: argparse.Namespace, network: str, out: Path, flags: list[str]) -> None:
    tell(f"steadiness: {network}, {' '.join(flags[:4])}")
    given = ["--size", options.size, *(["--end", str(options.end)] if options.end else [])]
    with Command(
        "video", str(_clip(options)), "-o", str(out), *given, *network_flags(network, options.shared), *flags
    ) as c:
        for line in c.lines():
            tell(f"  {c.age:5.1f} s  {line}")
        c.finish()


def _compared(network: str, found: dict[str, Any]) -> Iterator[Figure]:
    error = {mode: metrics["steadiness"]["gap_1"]["film"] for mode, metrics in found.items()}
    yield below(f"{network}: warping error, part of none's", error["flow"] / error["none"], 0.10, form="{:.3f}")
    yield below(f"{network}: warping error, part of blend's", error["flow"] / error["blend 0.5"], 1 / 6, form="{:.3f}")
    source = found["flow"]["steadiness"]["gap_1"]["source"]
    yield told(f"{network}: the source's own, part of none's", f"{source / error['none']:.3f}")
    for gap in (5, 10):
        shares = [found[mode]["steadiness"][f"gap_{gap}"]["film"] for mode in ("flow", "none")]
        if None not in shares:
            yield told(f"{network}: the same, {gap} frames apart", f"{shares[0] / shares[1]:.3f}")
    reached = found["flow"]["alone"]
    for name in ("activation", "sharpness"):
        yield at_least(f"{network}: {name}, part of frames dreamed alone", reached[name], 0.95)
    crisp = found["flow"]["crispness"]["film"] / found["none"]["crispness"]["film"]
    yield at_least(f"{network}: sharpness of all frames, part of none's", crisp, 0.95)


def ghosting(options: argparse.Namespace) -> Iterator[Figure]:
    """Dream over a photograph that a thing crosses, with flow that is found and with flow that is known."""
    photos = sorted((options.shared / "data" / "photos").glob("*.jpg"))
    size = Size.parse(options.size)
    clip = crossing([photos[options.photo], photos[options.photo + 425]], size=size, count=options.frames)
    for network in options.networks:
        settings = _settings(network, options, size)
        layers, errors = {}, {}
        for name, motions in {"found": None, "known": clip.motions}.items():
            tell(f"ghosting: {network}, {len(clip.frames)} frames, flow {name}")
            dreams = _rendered(settings, clip.frames, motions)
            layers[name] = [dream - frame for dream, frame in zip(dreams, clip.frames, strict=True)]
            errors[name] = _known_error(dreams, clip)
        for name in layers:
            share = _uncovered_share(layers[name], clip)
            yield below(f"{network}: layer where uncovered, flow {name}", share, 0.10, form="{:.3f}", asked="under")
        ratio = errors["known"] / errors["found"]
        good = abs(ratio - 1) <= 0.2
        yield Figure(f"{network}: warping error, known flow over found", "0.80 to 1.20", f"{ratio:.3f}", good)


def _uncovered_share(layers: list[Frame], clip: Crossing) -> float:
    """Return the mean layer in what a frame newly shows, over its mean elsewhere, after the dream has settled."""
    shares = []
    for layer, gone in list(zip(layers, clip.uncovered, strict=True))[4:]:
        if gone.sum() >= 20:
            shares.append(np.abs(layer[gone]).mean() / np.abs(layer[~gone]).mean())
    return float(np.mean(shares))


def _known_error(dreams: list[Frame], clip: Crossing) -> float:
    """Return the mean square change along the true motion, where both frames show the same."""
    from renderer.motion.flow import read_at

    found = []
    for index in range(4, len(dreams)):
        motion = clip.motions[index]
        before, now = (np.clip(dreams[k], 0, 1) for k in (index - 1, index))
        mask = motion.trust > 0.5
        found.append(float(np.square(read_at(before, motion.flow) - now)[mask].mean()))
    return float(np.mean(found))


def still(options: argparse.Namespace) -> Iterator[Figure]:
    """Dream over one frame, standing still for a long time."""
    from renderer.dreaming.governor import luma_of
    from renderer.media.ffmpeg.clips import open_clip

    size, rate = Size.parse(options.still_size), 24
    frame = next(open_clip(_clip(options), size=size).frames())
    count = round(options.seconds * rate)
    for network in options.networks:
        tell(f"still: {network}, {count} frames of {size}")
        layer, luma = [], []
        for index, dream in enumerate(_stream(_settings(network, options, size), [frame] * count)):
            layer.append(float(np.abs(dream - frame).mean()))
            luma.append(float(luma_of(np.clip(dream, 0, 1)).mean()))
            if index % rate == 0:
                tell(f"  second {index // rate}: layer {layer[-1]:.4f}, brightness {luma[-1]:.4f}")
        fifth = slice(min(4, options.seconds // 2) * rate, min(5, options.seconds // 2 + 1) * rate)
        for name, values, limit in (("layer", layer, 0.05), ("brightness", luma, 0.01)):
            then, last = statistics.mean(values[fifth]), statistics.mean(values[-rate:])
            drift = abs(last / then - 1)
            yield below(f"{network}: {name}, last second against the fifth", drift, limit, form="{:.2%}")


def cost(options: argparse.Namespace) -> Iterator[Figure]:
    """Time frames carried by flow against frames dreamed alone, and against frames whose motion is there already."""
    size = Size.parse(options.size)
    for network in options.networks:
        flow, ready, none = (
            _timed(options, network, size, mode, ready=ready)
            for mode, ready in (("flow", False), ("flow", True), ("none", False))
        )
        share = flow["frame"] / none["frame"]
        name = f"{network}: time of a frame, part of none's"
        yield Figure(name, "at most 0.35", f"{share:.3f}, {1000 * flow['frame']:.0f} ms", share <= 0.35)
        part = 1 - ready["frame"] / flow["frame"]
        yield below(f"{network}: flow, decode and store, part of a frame", part, 0.15, form="{:.1%}", asked="under")
        for name, times in (("a frame", flow), ("with motion found before", ready)):
            parts = ", ".join(f"{part} {1000 * value:.1f}" for part, value in times.items())
            yield told(f"{network}: {name}, ms", parts)


def _timed(options: argparse.Namespace, network: str, size: Size, mode: str, *, ready: bool) -> dict[str, float]:
    """Return medians of the seconds that the parts of a frame take in the loop's thread.

    With the real decoder, flow and store, which work beside it on the same processor; or, `ready`, with frames and
    motion that lie in memory, and no store.
    """
    from renderer.films.video import VideoFilm
    from renderer.media.store.store import Store

    count = options.rounds + 4
    settings = _settings(network, options, size, **{"carry.mode": mode})
    film = VideoFilm(settings=settings, out=Path("none.mp4"), clip=_clip(options))
    scene, dreamer = _scene(film, count, ready=ready)
    tell(f"cost: {network}, carry {mode}{', motion found before' if ready else ''}")
    times: dict[str, list[float]] = {name: [] for name in ("canvas", "dream", "finish", "store", "frame")}
    dream = None
    with (
        tempfile.TemporaryDirectory() as folder,
        Store.open(Path(folder), size=size, rate=settings.rate, pixel_key="benchmark", meta={}) as store,
    ):
        for index in range(count):
            marks = [time.perf_counter()]
            canvas = scene.canvas(index, dream)
            assert canvas is not None
            marks.append(time.perf_counter())
            dream, _ = dreamer(canvas.picture, frame=index, seconds=0.0, full=canvas.full, where=canvas.where)
            marks.append(time.perf_counter())
            dream = scene.finish(dream)
            marks.append(time.perf_counter())
            if not ready:
                store.append(dream)
            marks.append(time.perf_counter())
            if index >= 4:  # the first ones load and compile
                for name, began, ended in zip(times, marks, marks[1:], strict=False):
                    times[name].append(ended - began)
                times["frame"].append(marks[-1] - marks[0])
    scene.close()
    return {name: statistics.median(values) for name, values in times.items()}


def _scene(film: VideoFilm, count: int, *, ready: bool) -> tuple[Scene, Dreamer]:
    """Build what renders a clip; `ready` with its first frames and their motion in memory."""
    from renderer.render.carry import VideoScene
    from renderer.render.footage import Footage

    parts = film.render_setup({"cuts": []})
    scene = parts.scene
    assert isinstance(scene, VideoScene)
    if ready:
        shots = [shot for index in range(count) if (shot := scene.footage.frame(index)) is not None]
        pictures = [(shot.source, None) for shot in shots]
        motions = {shot.index: shot.motion for shot in shots if shot.motion is not None}
        scene.close()
        footage = Footage(lambda start: iter(pictures[start:]), motion=lambda index, _, __: motions[index])
        scene = VideoScene(footage, scene.carry)
    return scene, parts.dreamer


def sound(options: argparse.Namespace) -> Iterator[Figure]:
    """Send clips with sound through the real command, and compare when it is heard."""
    from renderer.measure.against_source import packet_times
    from renderer.measure.metrics import measure_film

    cases: dict[str, dict[str, Any]] = {"variable rate": {"variable": True}, "24000/1001": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name, more in cases.items():
            clip = with_sound(Path(folder, "clip.mp4"), seconds=options.sound_seconds, **more)
            out = Path(folder, "out.mp4")
            tell(f"sound: {name}, {options.sound_seconds} s")
            with Command("video", str(clip), "-o", str(out), "--overwrite", "-q", *_NOTHING) as command:
                command.finish()
            report = measure_film(out, source=clip, names=["lip_sync"])
            found, frame = report.metrics["lip_sync"], 1 / float(report.film.rate)
            late = max(abs(found["start"]), abs(found["end"] if found["end"] is not None else 9.0))
            text = f"{1000 * found['start']:+.1f} and {1000 * (found['end'] or 0):+.1f} ms"
            yield Figure(f"sound, {name}: offset at start and end", f"under {1000 * frame:.0f} ms", text, late < frame)
            made, given = packet_times(out), packet_times(clip)
            checksums = [times and [checksum for _, checksum in times.sound] for times in (made, given)]
            same = made is not None and checksums[0] == checksums[1]
            yield Figure(f"sound, {name}: the track, bit for bit", "the same", "the same" if same else "another", same)


_NOTHING = ["--steps", "0", "--first-steps", "0", "--octaves", "1"]


def colour(options: argparse.Namespace) -> Iterator[Figure]:
    """Send colour bars through the real command without a step of dreaming."""
    del options
    from renderer.media.ffmpeg.clips import open_clip

    with tempfile.TemporaryDirectory() as folder:
        for name in COLOURS:
            clip = bars(name, Path(folder, "bars.mp4"))
            out = Path(folder, "out.mp4")
            tell(f"colour: {name}")
            with Command("video", str(clip), "-o", str(out), "--overwrite", "-q", *_NOTHING) as command:
                command.finish()
            worst = float(bar_errors(next(open_clip(out).pixels())).max())
            yield below(f"colour bars, {name}: mean error of a channel", worst, 1.5, asked="under")


SMALL = ["--size", "96x54", "--octaves", "1", "--first-steps", "2"]


def resume(options: argparse.Namespace) -> Iterator[Figure]:
    """Kill a dreamed video at random moments, go on each time, and compare it with an uninterrupted one."""
    with tempfile.TemporaryDirectory() as folder:
        clip = _long_clip(_clip(options), Path(folder, "clip.mp4"), frames=options.resume_frames)
        yield from resumed(["video", str(clip), *SMALL], options)


def memory(options: argparse.Namespace) -> Iterator[Figure]:
    """Watch what a long dreamed video's process holds at frame 100 and at its last."""
    frames = options.memory_frames
    with tempfile.TemporaryDirectory() as folder:
        clip = _long_clip(_clip(options), Path(folder, "clip.mp4"), frames=frames)
        yield growth(["video", str(clip), *SMALL], size=SMALL[1], frames=frames)


def _long_clip(clip: Path, out: Path, *, frames: int) -> Path:
    """Repeat a clip, small, until it has so many frames."""
    from renderer.media.ffmpeg.pipes import run

    size = SMALL[1].replace("x", ":")
    run(["-stream_loop", "-1", "-i", str(clip), "-frames:v", str(frames), "-an", "-vf", f"scale={size}", str(out)])
    return out


def _settings(network: str, options: argparse.Namespace, size: Size, **more: Any) -> Settings:
    from renderer.settings.kinds import KINDS
    from renderer.settings.schema import build

    flags = list(network_flags(network, options.shared))
    keys = {"--network": "network.name", "--weights": "network.weights", "--layers": "dream.layers"}
    given = {keys[flag]: value for flag, value in zip(flags[::2], flags[1::2], strict=True)}
    return build({**KINDS["video"].defaults, "film.size": str(size), "film.fps": 24, **given, **more})


def _rendered(settings: Settings, frames: list[Frame], motions: list[Motion] | None = None) -> list[Frame]:
    return list(_stream(settings, frames, motions))


def _stream(settings: Settings, frames: list[Frame], motions: list[Motion] | None = None) -> Iterator[Frame]:
    """Dream over frames as the loop does, rounded as the store has them, with motion that is found or known."""
    from renderer.films.render_setup import open_dreamer
    from renderer.frame import from_8bit
    from renderer.motion.flow import MotionFinder
    from renderer.render.carry import VideoScene, make_carry
    from renderer.render.footage import Footage

    find = MotionFinder(settings.carry.flow)

    def motion(index: int, now: Frame, before: Frame) -> Motion:
        return motions[index] if motions else find(now, before)

    _, dreamer = open_dreamer(settings)
    carry = make_carry(settings.carry, over_time=settings.over_time_in("carry"), rate=float(settings.rate))
    footage = Footage(lambda start: iter([(frame, None) for frame in frames[start:]]), motion=motion)
    scene = VideoScene(footage, carry)
    dream = None
    for index in range(len(frames)):
        canvas = scene.canvas(index, dream)
        assert canvas is not None
        seconds = index / float(settings.rate)
        dream, _ = dreamer(canvas.picture, frame=index, seconds=seconds, full=canvas.full, where=canvas.where)
        dream = scene.finish(dream)
        yield from_8bit(to_8bit(dream))
    scene.close()


def _clip(options: argparse.Namespace) -> Path:
    clip: Path = options.clip or options.shared / "data" / "clips" / "video.mp4"
    if not clip.is_file():
        raise SystemExit(f"{clip} is not there: give another one with --clip")
    return clip


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clip", type=Path, default=None, help="to dream over; that of --shared without it")
    parser.add_argument("--networks", type=comma_separated, default=["dreamnet", "inception_v3"])
    parser.add_argument("--size", default="480x270", help="of the films of steadiness, ghosting and cost")
    parser.add_argument("--end", type=float, default=None, help="second of the clip at which steadiness ends")
    parser.add_argument("--alone", type=int, default=8, help="frames dreamed alone to compare activation")
    parser.add_argument("--frames", type=int, default=40, help="of the clip of ghosting")
    parser.add_argument("--photo", type=int, default=100, help="which photograph the clip of ghosting shows")
    parser.add_argument("--seconds", type=int, default=20, help="of the still shot")
    parser.add_argument("--still-size", default="320x180", help="of the still shot")
    parser.add_argument("--rounds", type=int, default=24, help="frames timed by cost")
    parser.add_argument("--sound-seconds", type=float, default=60.0, help="length of the clips with sound")
    parser.add_argument("--memory-frames", type=int, default=10_000, help="of the clip of memory, a multiple of 100")
    parser.add_argument("--keep", help="resume: a folder for the films, instead of throwing them away")
    add_resume_options(parser)


BENCHMARK = Benchmark(
    name="video",
    about="Measure the figures of dreaming over videos.",
    measurements={
        "steadiness": steadiness,
        "ghosting": ghosting,
        "still": still,
        "cost": cost,
        "sound": sound,
        "colour": colour,
        "resume": resume,
        "memory": memory,
    },
    add_options=add_options,
    smallest={
        "clip": ROOT / "samples" / "clip.mp4",
        "networks": ["dreamnet"],
        "size": "160x90",
        "end": 0.3,
        "alone": 1,
        "frames": 8,
        "seconds": 2,
        "still_size": "64x48",
        "rounds": 2,
        "sound_seconds": 3.0,
        "memory_frames": 200,
        "kills": 1,
        "resume_frames": 300,
    },
    quick=("still", "cost"),
    needs_shared=("ghosting",),
)


if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
