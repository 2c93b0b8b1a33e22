"""The sound and subtitles of a film, for the film that is made from it: copied where they can be, at the same moments.

Each kind of file takes its own codecs, see `formats.FORMATS`. What a file takes is copied bit by bit; what it does
not take is transcoded; what cannot be helped is told in a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from renderer.errors import UsageError
from renderer.media.ffmpeg.formats import Format
from renderer.media.ffmpeg.pipes import FfmpegFailed, Output, file_url, run
from renderer.media.ffmpeg.probe import picture_offset
from renderer.media.ffmpeg.tracks import MOST_TRACKS, SOUND_INPUT, Track, list_tracks, read_subtitles, try_track

_LATEST = 600  # Seconds: sound that begins later in an MPEG stream is taken to begin at once.

TEXTS = frozenset({"subrip", "ass", "ssa", "mov_text", "webvtt", "text"})
"""Codecs of subtitles that are text, and so can be turned into one another."""

_LAYOUTS = "7.1|6.1|5.1|5.0|quad|3.0|stereo|mono"
_BROKEN = re.compile(r"corrupt input packet|\[aist#[^\n]*\[error\]")
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
class SoundPlan:
    """How the tracks get into the file.

    Attributes:
        inputs: what ffmpeg is told before the input with the sound, and the input itself; empty for no sound.
        outputs: what it is told of the output, where the sound is input 1.
        notes: what is lost or changed, as sentences.
        texts: SubRip text of tracks of subtitles that cannot be copied, by their number in the source.
        copied: how many tracks of subtitles are copied.
        codec: of subtitles in the film.
    """

    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    texts: Mapping[int, str] = field(default_factory=dict)
    copied: int = 0
    codec: str = ""

    def arguments(self, folder: Path) -> tuple[list[str], list[str], int]:
        """Return what ffmpeg is told of its inputs, of the output, and how many inputs there are.

        Args:
            folder: takes texts that it needs until it has ended.

        Raises:
            OSError: a text could not be written.
        """
        inputs, outputs = list(self.inputs), list(self.outputs)
        for place, (track, text) in enumerate(self.texts.items(), start=self.copied):
            path = folder / f"{place}.srt"
            path.write_text(text, "utf-8")
            inputs += ["-f", "srt", "-i", file_url(path)]
            outputs += ["-map", f"{2 + place - self.copied}:s:0", f"-c:s:{place}", self.codec]
            outputs += [f"-map_metadata:s:s:{place}", f"1:s:s:{track}"]
        return inputs, outputs, 1 + len(self.texts)


def plan_sound(sound: Sound, kind: Format, *, out: Path) -> SoundPlan:
    """Decide how the sound of `sound` gets into a film, by trying every track from end to end.

    What a track lacks - a decoder, a layout of channels that the encoder takes, anything at all - is found here and not
    when the film is encoded; such a track is mixed down or left out, with a note.

    Args:
        sound: where it is, and which part of it.
        kind: what the film is written as.
        out: the film's name, for the notes.

    Raises:
        BadInput: the source cannot be read.
        UsageError: a track is asked for that is not there.
        FfmpegFailed: ffmpeg stalled or was killed.
    """
    sounds, subtitles = list_tracks(sound.source)
    texts = [track.codec for track in subtitles] if sound.subtitles else []
    chosen = _chosen(sound, sounds)
    if not chosen and not texts:
        return SoundPlan()
    if not kind.sounds:
        return SoundPlan(notes=(f"{out} has no sound: {kind.title} cannot hold any.",) if chosen else ())
    offset = picture_offset(sound.source)
    tried = (*SOUND_INPUT, *_span(sound, offset), "-i", file_url(sound.source))
    kept, outputs, notes = _kept_sounds(sound.source, tried, kind, {number: sounds[number] for number in chosen}, out)
    words, copied, lost = _kept_subtitles(sound, kind, texts, offset, out)
    for place, number in enumerate(copied):
        outputs += ["-map", f"1:s:{number}", f"-c:s:{place}", "copy"]
    if not outputs and not words:
        return SoundPlan(notes=(*notes, *lost))
    if words:  # What is told of the text of one track has to be told of all tracks.
        for letter, numbers in (("a", kept), ("s", copied)):
            for place, number in enumerate(numbers):
                outputs += [f"-map_metadata:s:{letter}:{place}", f"1:s:{letter}:{number}"]
    lead = Fraction(0) if sound.start else _lead(sound.source, kept)
    # Chapters name moments of the source; of packets that begin before the cut, none is kept.
    tidy = ["-map_chapters", "-1", *(["-copypriorss", "0"] if sound.start else [])]
    return SoundPlan(
        inputs=(*SOUND_INPUT, *_span(sound, offset - lead), "-i", file_url(sound.source)),
        outputs=(*outputs, *tidy),
        notes=(*notes, *lost),
        texts=words,
        copied=len(copied),
        codec=kind.subtitles,
    )


def _chosen(sound: Sound, sounds: Sequence[Track]) -> list[int]:
    chosen = list(range(len(sounds)) if sound.tracks is None else sound.tracks)
    for number in chosen:
        if not 0 <= number < len(sounds):
            has = f"{len(sounds)} tracks, counted from 0" if sounds else "no sound"
            raise UsageError(f"{sound.source} has no track of sound number {number}: it has {has}.")
    return chosen


# --- track by track ---------------------------------------------------------------------------------------------------


def _kept_sounds(
    source: Path, inputs: tuple[str, ...], kind: Format, tracks: Mapping[int, Track], out: Path
) -> tuple[list[int], list[str], list[str]]:
    """Return the tracks of `inputs`, the options of the source, that can be kept, the options for that, and notes."""
    kept: list[int] = []
    outputs: list[str] = []
    lost: list[str] = []
    converted: set[str] = set()
    mixed: set[str] = set()
    damaged = False
    for number, track in tracks.items():
        how, told = _way(source, inputs, kind, number, track) if len(kept) < MOST_TRACKS else ((), None)
        if told is None:
            lost.append(f"{number + 1} ({track.codec})")  # Counted from 1, as in the notes of `probe`.
            continue
        outputs += ["-map", f"1:a:{number}", *(word.format(place=len(kept)) for word in how)]
        kept.append(number)
        damaged |= bool(_BROKEN.search(told.log))
        if "copy" not in how and track.codec not in kind.sounds:
            converted.add(track.codec)
        left = re.search(rb"^#channel_layout_name 0: ([\w .()+-]+)$", told.stdout, re.MULTILINE)
        layout = left[1].decode() if left else ""
        if "copy" not in how and Track(layout=layout).channels < track.channels:
            mixed.add(f"{track.channels} channels to {layout}")
    notes = [f"{out}: the sound is converted from {_listed(sorted(converted))}, which {kind.title} does not take."]
    notes = notes if converted else []
    if mixed:
        notes.append(
            f"{out}: the sound is mixed down from {_listed(sorted(mixed))}, which is what {kind.sound_encoder} takes."
        )
    if damaged:
        notes.append(f"The sound of {source} is damaged in places: what cannot be read of it is left out.")
    if lost:
        which = "has no sound: track" if not kept else "lacks sound of its source: track"
        notes.append(f"{out} {which} {_listed(lost)} holds nothing that this ffmpeg can read or convert.")
    return kept, outputs, notes


def _way(
    source: Path, inputs: tuple[str, ...], kind: Format, number: int, track: Track
) -> tuple[Sequence[str], Output | None]:
    """Return the first way to keep a track that works, and what ffmpeg said to it; None if nothing does."""
    copy = ("-c:a:{place}", "copy")
    copied = try_track(source, inputs, number, copy, muxer=kind.muxer) if track.codec in kind.sounds else None
    if copied is not None and not _BROKEN.search(copied.log):
        return copy, copied
    for filters, channels in _mixes(kind.sound_encoder, track):
        options = kind.sound_options.format(kbits=96 * max(1, channels)).split()
        of_track = [f"{word}:{{place}}" if word.startswith("-") else word for word in options]
        how = ("-c:a:{place}", kind.sound_encoder, "-filter:a:{place}", f"{_FILL}{filters}", *of_track)
        if (told := try_track(source, inputs, number, how)) is not None:
            return how, told
    return copy, copied


def _mixes(encoder: str, track: Track) -> Iterator[tuple[str, int]]:
    """Give filters, best first, that lead to channels which an encoder may take, and about how many these are."""
    if encoder != "libopus":  # It takes five channels only in the usual order; the others do not mind.
        yield "", track.channels
    yield f",aformat=channel_layouts={_LAYOUTS}", track.channels if track.channels <= 8 else 6
    if track.layout.startswith("ambisonic"):  # All around, and left against right.
        yield ",pan=stereo|c0=0.5*c0+0.5*c1|c1=0.5*c0-0.5*c1", 2
    left, right = ("+".join(f"c{number}" for number in range(first, track.channels, 2)) for first in (0, 1))
    yield f",pan=stereo|c0<{left}|c1<{right or left}", 2


def _kept_subtitles(
    sound: Sound, kind: Format, codecs: Sequence[str], offset: Fraction, out: Path
) -> tuple[dict[int, str], list[int], list[str]]:
    """Return the texts of tracks that are not copied, the numbers of those that are, and notes."""
    whole = sound.start is None and sound.end is None
    begin, length = (sound.start or 0) + offset, None if sound.end is None else sound.end - (sound.start or 0)
    copied = [number for number, codec in enumerate(codecs) if whole and codec == kind.subtitles]
    texts: dict[int, str] = {}
    guessed, unread = False, set()
    lost = sorted({codec for codec in codecs if codec not in {kind.subtitles, *TEXTS}})
    for number, codec in enumerate(codecs[:MOST_TRACKS]):
        if number in copied or codec not in {kind.subtitles, *TEXTS}:
            continue
        try:
            text, odd = read_subtitles(
                sound.source, number, codec=codec, options=SOUND_INPUT, begin=begin, length=length
            )
        except FfmpegFailed as error:
            if error.was_stopped:
                raise
            unread.add(number)
            continue
        guessed |= odd
        if text is not None:
            texts[number] = text
    notes = [f"{out} has no subtitles in {_listed(lost)}: {kind.title} cannot hold them."] if lost else []
    if unread:
        notes.append(
            f"{out} lacks subtitles of {sound.source}: track {_listed(sorted(map(str, unread)))} is unreadable."
        )
    if guessed:
        notes.append(f"Subtitles of {sound.source} that are not in UTF-8 are read as Windows-1252.")
    return texts, copied, notes


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
