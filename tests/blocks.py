"""Damage done on purpose to media files, for the fuzzer: by their boxes, elements, chunks and segments."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from mutations import FIELDS, damage_bytes, with_number

LARGEST = 100_000
"""Bytes of a damaged file."""


@dataclass(frozen=True)
class Block:
    """A box, element, chunk or segment of a file.

    Attributes:
        start: of all of it.
        end: after all of it.
        at: of the number that says how long it is.
        width: bytes of that number.
        order: of its bytes, "big" or "little".
        inside: where what it holds begins.
    """

    start: int
    end: int
    at: int
    width: int
    order: Any
    inside: int


def damage_media(data: bytes, rng: Random, *, other: bytes = b"") -> bytes:
    """Change a media file by its blocks: their lengths, their kinds, the numbers in them, their order; or its bytes."""
    blocks = [*blocks_of(data)]
    if not blocks or rng.random() < 0.3:
        return damage_bytes(data, rng, other=other)
    out = _damage_block(data, rng.choice(blocks), rng, blocks)
    return _with_sums(out) if out[:4] == b"\x89PNG" and rng.random() < 0.8 else out


def _damage_block(data: bytes, block: Block, rng: Random, blocks: list[Block]) -> bytes:
    change, whole = rng.randrange(13), data[block.start : block.end]
    if change < 4:
        return _with_length(data, block, rng)
    if change < 7 and block.end > block.inside:
        return with_number(data, block.inside + rng.randrange(block.end - block.inside) // 2 * 2, rng)
    if change == 7:
        return data[: block.start] + data[block.end :]
    if change == 8:
        return data[: block.end] + whole * rng.choice((1, 2, 20)) + data[block.end :]
    if change == 9:  # As many as fit: what costs more than one each adds up.
        short = min(blocks, key=lambda one: one.end - one.start) if rng.random() < 0.5 else block
        again = data[short.start : short.end] or b"\0"
        return data[: short.end] + again * max(1, (LARGEST - len(data)) // len(again)) + data[short.end :]
    if change == 10:  # A few blocks alone: small files that promise much.
        kept = sorted(rng.sample(blocks, min(len(blocks), rng.choice((1, 2, 3)))), key=lambda one: one.start)
        return data[: blocks[0].inside] + b"".join(data[one.start : one.end] for one in kept)
    if change == 11:  # Cut off in the head of what the block holds, which says that it holds next to nothing.
        cut = rng.choice((0, 1, 4, 8, 12, 16, 24))
        number = rng.choice((0, 0, 1, cut)).to_bytes(block.width, block.order)
        return data[: block.at] + number + data[block.at + block.width : block.inside + cut]
    there = rng.choice(blocks)
    return data[: block.start] + data[there.start : there.end] + data[block.end :]


def _with_length(data: bytes, block: Block, rng: Random) -> bytes:
    """Make a block say another length: one off, none, all, more than there is, one that leads back to its start."""
    length = int.from_bytes(data[block.at : block.at + block.width], block.order)
    back = -(block.inside - block.start)
    value = rng.choice(
        (*FIELDS, length + 1, length - 1, length * 2, len(data), len(data) - block.start, back, 2 * back)
    )
    number = (value & ((1 << 8 * block.width) - 1)).to_bytes(block.width, block.order)
    return data[: block.at] + number + data[block.at + block.width :]


def _with_sums(data: bytes) -> bytes:
    """Return a PNG whose check sums are right again, as far as its chunks can be followed."""
    out = bytearray(data)
    for block in _chunks(data):
        if block.end <= len(out):
            out[block.end - 4 : block.end] = struct.pack(">I", zlib.crc32(data[block.at + 4 : block.end - 4]))
    return bytes(out)


def blocks_of(data: bytes) -> Iterator[Block]:
    """Find the blocks of a file of a known kind, those inside others too; none in a file of another kind."""
    if data[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"):
        return _boxes(data, 0, len(data))
    if data[:4] == b"\x1aE\xdf\xa3":
        return _elements(data, 0, len(data))
    if data[:4] == b"\x89PNG":
        return _chunks(data)
    if data[:4] == b"RIFF":
        return _riff(data)
    if data[:3] == b"GIF":
        return _gif(data)
    if data[:2] == b"\xff\xd8":
        return _segments(data)
    if data[:4] in (b"II*\0", b"MM\0*"):
        return _tags(data)
    return iter(())


_BOXES = b"moov trak mdia minf stbl udta edts dinf meta ilst mvex moof traf gmhd".split()


def _boxes(data: bytes, at: int, end: int) -> Iterator[Block]:
    while at + 8 <= end:
        length, kind = struct.unpack_from(">I4s", data, at)
        stop = at + length
        if length < 8 or stop > end:
            return
        yield Block(at, stop, at, 4, "big", at + 8)
        if kind in _BOXES:
            yield from _boxes(data, at + (12 if kind == b"meta" else 8), stop)
        at = stop


_MASTERS = {
    *("18538067", "1654ae6b", "ae", "e0", "e1", "1f43b675", "1549a966", "1c53bb6b", "bb", "b7", "114d9b74", "4dbb"),
    *("a0", "1254c367", "7373", "67c8", "1a45dfa3", "6d80", "6240", "5034", "55b0", "55d0"),
}


def _elements(data: bytes, at: int, end: int) -> Iterator[Block]:
    while at < end:
        id_width = 9 - data[at].bit_length() if data[at] else 9
        place = at + id_width
        if id_width > 4 or place >= end or not data[place]:
            return
        width = 9 - data[place].bit_length()
        length = int.from_bytes(data[place : place + width], "big") & ((1 << 7 * width) - 1)
        inside = place + width
        stop = min(end, inside + length)
        yield Block(at, stop, place, width, "big", inside)
        if data[at:place].hex() in _MASTERS:
            yield from _elements(data, inside, stop)
        at = stop


def _chunks(data: bytes) -> Iterator[Block]:
    at = 8
    while at + 12 <= len(data):
        stop = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if stop > len(data):
            return
        yield Block(at, stop, at, 4, "big", at + 8)
        at = stop


def _riff(data: bytes) -> Iterator[Block]:
    yield Block(0, len(data), 4, 4, "little", 12)
    at = 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        stop = min(len(data), at + 8 + length + (length & 1))
        yield Block(at, stop, at + 4, 4, "little", at + 8)
        at = at + 24 if kind == b"ANMF" else at + 12 if kind == b"LIST" else stop


def _gif(data: bytes) -> Iterator[Block]:
    def table(flags: int) -> int:
        return 3 << ((flags & 7) + 1) if flags & 0x80 else 0

    yield Block(6, 13, 6, 2, "little", 6)
    at = 13 + table(data[10]) if len(data) > 13 else len(data)
    while at + 10 < len(data) and data[at] in (0x21, 0x2C):
        yield Block(at, min(len(data), at + 10), at + 1, 2, "little", at + 1)
        at += 2 if data[at] == 0x21 else 11 + table(data[at + 9])
        while at < len(data) and data[at]:
            stop = min(len(data), at + 1 + data[at])
            yield Block(at, stop, at, 1, "little", at + 1)
            at = stop
        at += 1


def _segments(data: bytes) -> Iterator[Block]:
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        stop = min(len(data), at + 2 + int.from_bytes(data[at + 2 : at + 4], "big"))
        yield Block(at, stop, at + 2, 2, "big", at + 4)
        at = max(stop, at + 4)


def _tags(data: bytes) -> Iterator[Block]:
    order = "little" if data[:2] == b"II" else "big"

    def number(at: int, width: int) -> int:
        return int.from_bytes(data[at : at + width], order)  # type: ignore[arg-type]

    at, seen = number(4, 4), set[int]()
    yield Block(4, 8, 4, 4, order, 4)
    while 8 <= at + 2 <= len(data) and at not in seen and len(seen) < 50:
        seen.add(at)
        count = number(at, 2)
        yield Block(at, at + 2, at, 2, order, at)
        for place in range(at + 2, min(len(data) - 12, at + 2 + 12 * count), 12):
            yield Block(place, place + 12, place + 4, 4, order, place + 8)
        at = number(at + 2 + 12 * count, 4)
