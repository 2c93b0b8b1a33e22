"""The sound and subtitles of a film, for the film that is made from it: copied where they can be, at the same moments.

Each kind of file takes its own codecs, see `HOMES` at the foot. What a file takes is copied bit by bit; what it does
not take is transcoded; what cannot be helped is told in a sentence.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from renderer.errors import UsageError
from renderer.media.ffmpeg import FfmpegFailed, file_url, run
from renderer.media.formats import Format
from renderer.media.probe import INPUT, Track, tracks_of
from renderer.media.subtitles import cut_subtitles

SOUND_INPUT = [arg + ",mp3,wav,flac,ogg,aac,aiff,ac3,w64,caf" if arg.startswith("mov,") else arg for arg in INPUT]
"""As `INPUT`, with files that hold sound alone."""

_LATEST = 600  # Seconds: sound that begins later in an MPEG stream is taken to begin at once.

_FILL = "aresample=async=1:min_hard_comp=0.02"
"""Fills holes of more than 20 ms with silence: encoders of sound close them up, and what follows comes too early."""


@dataclass(frozen=True, kw_only=True)
class Sound:
    """Whose sound a film gets.

    Attributes:
        source: a film, or a file of sound.
        start: seconds from the first frame of the source (of a file of sound: from its beginning) at which the new film
            begins; None for its beginning.
        end: seconds at which it ends; None for the end of each track.
        tracks: which tracks of sound, counted from 0, in this order; None for all.
        subtitles: whether subtitles are kept where the new film can hold them.
    """

    source: Path
    start: Fraction | None = None
    end: Fraction | None = None
    tracks: tuple[int, ...] | None = None
    subtitles: bool = True

    def __post_init__(self) -> None:
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise UsageError(f"The sound would end at {float(self.end):g} s, before it starts.")


@dataclass(frozen=True, kw_only=True)
class Home:
    """Which tracks a kind of file holds.

    Attributes:
        copies: codecs of sound that are copied.
        encoder: ffmpeg's name of the encoder for all others.
        options: for it, with `{kbits}` to be filled in.
        subtitles: codec of subtitles; those in it are copied, other texts are turned into it.
    """

    copies: frozenset[str]
    encoder: str
    options: str
    subtitles: str


@dataclass(frozen=True, kw_only=True)
class SoundPlan:
    """How the tracks get into the file.

    Attributes:
        inputs: what ffmpeg is told before the input with the sound, and the input itself; empty for no sound.
        outputs: what it is told of the output, where the sound is input 1.
        notes: what is lost or changed, as sentences.
        words: tracks of subtitles that are cut before; made by `cut`.
        cut: gives the text of such a track.
        codec: of subtitles in the film.
    """

    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    words: tuple[int, ...] = ()
    cut: Callable[[int], str | None] | None = None
    codec: str = ""

    def arguments(self, folder: Path) -> tuple[list[str], list[str], int]:
        """Return what ffmpeg is told of its inputs, of the output, and how many inputs there are.

        Args:
            folder: takes texts that it needs until it has ended.

        Raises:
            FfmpegFailed, OSError: a text could not be made.
        """
        inputs, outputs, count = list(self.inputs), list(self.outputs), 1
        for track in self.words:
            text = self.cut(track) if self.cut else None
            if text is not None:
                place, count = count - 1, count + 1
                path = folder / f"{place}.srt"
                path.write_text(text, "utf-8")
                inputs += ["-f", "srt", "-i", file_url(path)]
                outputs += ["-map", f"{count}:s:0", f"-c:s:{place}", self.codec]
                outputs += [f"-map_metadata:s:s:{place}", f"1:s:s:{track}"]
        return inputs, outputs, count


def plan_sound(sound: Sound, kind: Format, *, out: Path) -> SoundPlan:
    """Decide how the sound of `sound` gets into a film.

    Args:
        sound: where it is, and which part of it.
        kind: what the film is written as.
        out: the film's name, for the notes.

    Raises:
        BadInput: the source cannot be read.
        UsageError: a track is asked for that is not there.
    """
    sounds, texts, offset = tracks_of(sound.source, SOUND_INPUT)
    chosen = _chosen(sound, sounds)
    home = HOMES.get(kind.muxer)
    if not chosen and not (texts and sound.subtitles):
        return SoundPlan()
    if home is None:
        return SoundPlan(notes=(f"{out} has no sound: {kind.title} cannot hold any.",) if chosen else ())
    outputs: list[str] = []
    notes: list[str] = []
    for place, number in enumerate(chosen):
        outputs += _sound(home, sounds[number], number, place)
    changed = sorted({sounds[number].codec for number in chosen} - home.copies)
    if changed:
        notes.append(f"{out}: the sound is converted from {_listed(changed)}, which {kind.title} does not take.")
    kept, lost = _subtitles(home, texts if sound.subtitles else ())
    whole = sound.start is None and sound.end is None
    if whole:
        for place, number in enumerate(kept):
            how = "copy" if texts[number].codec == home.subtitles else home.subtitles
            outputs += ["-map", f"1:s:{number}", f"-c:s:{place}", how]
    if lost:
        notes.append(f"{out} has no subtitles in {_listed(lost)}: {kind.title} cannot hold them.")
    if not outputs and not kept:
        return SoundPlan(notes=tuple(notes))
    lead = Fraction(0) if sound.start else _lead(sound.source, chosen)
    inputs = [*SOUND_INPUT, *_span(sound, offset - lead), "-i", file_url(sound.source)]
    # Chapters name moments of the source; of packets that begin before the cut, none is kept.
    tidy = ["-map_chapters", "-1", *(["-copypriorss", "0"] if sound.start else [])]
    return SoundPlan(
        inputs=tuple(inputs),
        outputs=(*outputs, *tidy),
        notes=tuple(notes),
        words=() if whole else tuple(kept),
        cut=functools.partial(_words, sound, (sound.start or Fraction(0)) + offset),
        codec=home.subtitles,
    )


def _chosen(sound: Sound, sounds: tuple[Track, ...]) -> list[int]:
    chosen = list(range(len(sounds)) if sound.tracks is None else sound.tracks)
    for number in chosen:
        if not 0 <= number < len(sounds):
            has = f"{len(sounds)} tracks, counted from 0" if sounds else "no sound"
            raise UsageError(f"{sound.source} has no track of sound number {number}: it has {has}.")
    unknown = {number for number in chosen if sounds[number].codec in ("unknown", "none")}
    return [number for number in chosen if number not in unknown]


def _sound(home: Home, track: Track, number: int, place: int) -> list[str]:
    mapped = ["-map", f"1:a:{number}"]
    if track.codec in home.copies:
        return [*mapped, f"-c:a:{place}", "copy"]
    # libopus takes five channels only in the usual order; the others do not mind.
    layouts = ",aformat=channel_layouts=7.1|6.1|5.1|5.0|quad|3.0|stereo|mono" if home.encoder == "libopus" else ""
    options = home.options.format(kbits=96 * max(1, track.channels)).split()
    of_track = [f"{word}:{place}" if word.startswith("-") else word for word in options]
    return [*mapped, f"-c:a:{place}", home.encoder, f"-filter:a:{place}", _FILL + layouts, *of_track]


def _subtitles(home: Home, texts: Sequence[Track]) -> tuple[list[int], list[str]]:
    """Return the numbers of the tracks of subtitles that are kept, and the codecs of those that are lost."""
    kept = [number for number, track in enumerate(texts) if track.codec in {home.subtitles, *TEXTS}]
    return kept, sorted({track.codec for number, track in enumerate(texts) if number not in kept})


def _words(sound: Sound, begin: Fraction, track: int) -> str | None:
    length = None if sound.end is None else sound.end - (sound.start or 0)
    return cut_subtitles(sound.source, track, options=SOUND_INPUT, begin=begin, length=length)


def _lead(path: Path, chosen: list[int]) -> Fraction:
    """Return how long after the start of a film its first sound is heard, as far as ffmpeg leaves that out, seconds.

    Of MPEG streams it counts time from the start of the tracks that are read, and here the picture is not read.
    """
    with path.open("rb") as file:
        head = file.read(5)
    if not chosen or not (head[:1] == b"G" or head[4:] == b"G" or head[:4] == b"\0\0\1\xba"):
        return Fraction(0)
    maps = [word for number in chosen for word in ("-map", f"0:a:{number}")]
    both = ["-map", "0:V:0", "-c", "copy", "-t", "0", "-f", "null", "-", *maps, "-c", "copy", "-t", str(_LATEST)]
    try:
        listed = run([*SOUND_INPUT, "-i", file_url(path), *both, "-f", "framecrc", "pipe:1"])
    except FfmpegFailed:  # It holds no picture to be late for.
        return Fraction(0)
    text = listed.stdout.decode("ascii", "replace")
    ticks = {number: Fraction(tick) for number, tick in re.findall(r"^#tb (\d+): (\S+)", text, re.MULTILINE)}
    rows = re.findall(r"^(\d+), *-?\d+, *(-?\d{1,18}),", text, re.MULTILINE)
    times = [int(at) * ticks[number] for number, at in rows if number in ticks]
    return min(times, default=Fraction(0))


def _span(sound: Sound, offset: Fraction) -> list[str]:
    """Return the options of the input that make the moment `start` of the picture the zero of its clock."""
    begin = (sound.start or Fraction(0)) + offset
    span = [] if sound.end is None else ["-t", _seconds(sound.end - (sound.start or 0))]
    if sound.start and begin > 0:
        return [*span, "-ss", _seconds(begin)]
    # From the beginning nothing is left out, not even what a decoder needs before the first sound.
    return [*span, *(["-itsoffset", _seconds(-begin)] if begin else [])]


def _seconds(value: Fraction) -> str:
    return f"{float(value):.6f}"


def _listed(names: list[str]) -> str:
    return " and ".join(names) if len(names) < 3 else ", ".join(names[:-1]) + " and " + names[-1]


TEXTS = frozenset({"subrip", "ass", "ssa", "mov_text", "webvtt", "text"})
"""Codecs of subtitles that are text, and so can be turned into one another."""

HOMES = {
    "mp4": Home(
        copies=frozenset({"aac", "mp3", "mp2", "ac3", "eac3", "alac", "opus", "flac"}),
        encoder="aac",
        options="-b:a {kbits}k",
        subtitles="mov_text",
    ),
    "webm": Home(copies=frozenset({"opus", "vorbis"}), encoder="libopus", options="-b:a {kbits}k", subtitles="webvtt"),
    # A file to go on working with: nothing is lost.
    "mov": Home(
        copies=frozenset(
            {"aac", "mp3", "ac3", "eac3", "alac"}
            | {f"pcm_{kind}" for kind in ("s16le", "s16be", "s24le", "s24be", "s32le", "s32be", "f32le", "f32be")}
        ),
        encoder="alac",
        options="",
        subtitles="mov_text",
    ),
}
"""ffmpeg's name of the format -> what it holds beside pictures; formats that are not here hold nothing."""
