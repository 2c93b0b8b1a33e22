"""Damage done on purpose, for the fuzzer: to trees of values, to text, to bytes.

Every function takes a `random.Random` and nothing else that could vary, so that a number repeats a case.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

CANARY = "canary.txt"
"""Beside the folder of a case: what is written to it was written where nothing may be written."""


# --- strange values --------------------------------------------------------------------------------------------------


class Raw(str):
    """Text that stands in a written tree as it is, without quotes."""


@dataclass(frozen=True)
class Bomb:
    """A value nested `depth` times, of lists or tables; too deep to be built as a value."""

    depth: int
    table: bool


NUMBERS = (
    *(0, -1, 1, 2, 3, 7, 255, 256, 65536, 10**6, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, -(2**63), 2**64, 10**30),
    *(0.0, -0.0, 0.5, -1.5, 1e-9, 1e-308, 5e-324, 1e9, 1e18, 1e308, -1e308, math.inf, -math.inf, math.nan),
)
RAW_NUMBERS = ("1e999", "9" * 5000, "-" + "9" * 400, "0x" + "f" * 5000, "0b" + "1" * 20000, "1" + "_0" * 900, "NaN")
_WORDS = """
. .. / // ./. ../canary.txt ../../etc/passwd /etc/passwd /dev/zero /dev/stdin /dev/full /dev/tty /proc/self/mem
/proc/self/environ /sys ~ ~nobody/x a.toml box.mp4 a.h5 a.keras a.npz file:///etc/passwd http://127.0.0.1:9/x pipe:0 -
-y concat:a|b subfile,,start,0,end,0,,:a a'b"c`d;e|f&g $(id) `id` a=b:c=d,e[f] %s%n%d %05d.png {name} {name.__class__}
{0} { } {index:99999999} {name!r:>99999999} {stem}{seed}{preset} * ** **/* /**/* [ [!] ../* 0x0 1x1 2x2 16x16
99999x99999 -1x5 1e9x1 640x x360 640×360 65536x65536 16384x16384 1/0 0/1 24000/1001 1/1000000000 10000000000/1 1e400
nan inf -inf 0 00 ١٢ t t/T 1/t 1/(t-1) 9**9**9**9 9**99999 exp(1000) 1e308*10 log(-1) sqrt(-t) 0^0 f%0 s max_f
where(t>1,2,3) [1,2][0] 'a'*99999999 (1).real __import__('os').system('id') ().__class__.__bases__ t;t 0:(9**9**9)
objects=1 objects=1,objects=2 guide@parts=1 @ a@b@c objects=nan objects:0-99999999999 goldfish 1,2,3
"""
TEXTS = (
    *_WORDS.split(),
    *("", " ", "\0", "\n", "a\nb", "a\r\nb", "\x1b[31mred\x1b[0m\x07", "\x9b31m", "\u202eexe.gpj", "\u2066x\u2069"),
    *("\ud800", "\udcff.mp4", "\ufeff", "e\u0301" * 40, "\U0001f300", "x" * 300, "x" * 5000, "x/" * 3000),
    *(
        "y" * 200_000,
        "~" + "a" * 300,
        "?" * 200,
        "*a" * 200,
        "{a,b}" * 30,
        "1.5 + 0.5*sin(t)",
        "1 if t else 2",
        "lambda: 0",
    ),
    *("t\nt", "(" * 300 + "t" + ")" * 300, "0:(1), 10:(2)", "0:(1)," * 3000, "1 -> 2", "0: 1, 0: 2, -1: 3", "t-" * 400),
    *("sin(" * 60 + "t" + ")" * 60, "-" * 500 + "1", "+".join("t" * 900), "objects#" + "1," * 5000, "1," * 9000),
)
KEYS = (
    *("__class__", "__init__", "__dict__", "__proto__", "self", "cls", "", " ", ".", "a.b", "a" * 3000, "\u202e", "\0"),
    *("overwrite", "work_dir", "restart", "allow_env_change", "out", "settings", "found", "own_size", "evolution"),
    *("picture", "clip", "mask", "cuts", "weights", "guide", "style", "second guide", "source", "path", "sha256"),
    *("kind", "name", "recipe", "version", "meta", "size", "rate", "frames", "first", "extends", "for", "set", "over"),
    *("seed", "film", "film.size", "dream", "dream.layers", "jobs", "at", "state", "traceback", "seams", "\ud800"),
)


def strange(rng: Random) -> Any:
    """Return a value that somebody might have put where another was expected."""
    kind = rng.randrange(12)
    if kind < 3:
        return rng.choice(NUMBERS)
    if kind < 7:
        return rng.choice(TEXTS)
    if kind == 7:
        return Raw(rng.choice(RAW_NUMBERS))
    if kind == 8:
        return Bomb(rng.choice((20, 101, 990, 5000, 100_000)), rng.random() < 0.5)
    if kind == 9:
        return [rng.choice(TEXTS + NUMBERS) for _ in range(rng.choice((0, 1, 2, 3, 10)))]
    if kind == 10:
        return {rng.choice(KEYS): rng.choice(TEXTS + NUMBERS) for _ in range(rng.choice((0, 1, 3)))}
    return rng.choice((None, True, False, [], {}, [[]], [{}], [None], {"": {}}, [0] * 5000, ["x"] * 3000))


# --- trees -----------------------------------------------------------------------------------------------------------


def copied(tree: Any) -> Any:
    """Return a copy of a tree whose containers are its own."""
    if isinstance(tree, dict):
        return {key: copied(value) for key, value in tree.items()}
    return [copied(value) for value in tree] if isinstance(tree, list) else tree


def damage_tree(tree: Any, rng: Random, *, known: Callable[[Random], tuple[str, Any]] | None = None) -> Any:
    """Change one thing in a tree of dicts and lists, in place; return the tree.

    Args:
        tree: its top stays a container of its kind but in one case of fifty.
        rng: decides.
        known: gives a key and a value that mean something where the tree is read.
    """
    slots = [*_slots(tree)]
    if not slots or rng.random() < 0.02:
        return strange(rng)
    inside, key = rng.choice(slots)
    value, change = inside[key], rng.randrange(13)
    if change < 3:
        inside[key] = strange(rng)
    elif change < 6:
        inside[key] = _tweaked(value, rng)
    elif change == 6:
        del inside[key]
    elif change == 7:
        other, name = rng.choice(slots)
        inside[key], other[name] = other[name], copied(value)
    elif change == 8:
        inside[key] = [value] if rng.random() < 0.5 else {rng.choice(KEYS): value}
    elif change == 9 and isinstance(inside, dict):
        inside[rng.choice(KEYS)] = inside.pop(key)
    elif change == 10 and isinstance(inside, list):
        inside[:] = inside * rng.choice((2, 3, 50))
    else:
        tables = [one for one, _ in slots if isinstance(one, dict)] or [{}]
        table = rng.choice(tables)
        name, held = known(rng) if known is not None and rng.random() < 0.7 else (rng.choice(KEYS), strange(rng))
        table[name] = held
    return tree


def _slots(tree: Any) -> Iterator[tuple[Any, Any]]:
    members = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in members:
        yield tree, key
        yield from _slots(value)


def _tweaked(value: Any, rng: Random) -> Any:
    """Return a value of the same kind, somewhat off."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice((-value, value + 1, value - 1, value * 1000, value << 40, float(value), str(value), ~value))
    if isinstance(value, float):
        return rng.choice((-value, value * 1e6, value * 1e-6, value + 1, int(value) if math.isfinite(value) else 0))
    if isinstance(value, str):
        place = rng.randint(0, len(value))
        other = rng.choice(TEXTS)
        return rng.choice(
            (value[:place], value[place:], value[:place] + other + value[place:], value * 2, value.upper(), value[::-1])
        )
    if isinstance(value, list):
        return rng.choice(
            ([], value[::-1], value + value, value[:1], value * 40, {str(i): v for i, v in enumerate(value)})
        )
    if isinstance(value, dict):
        return rng.choice(
            (
                {},
                [*value],
                [*value.values()],
                {k: strange(rng) for k in value},
                {k.upper(): v for k, v in value.items()},
            )
        )
    return strange(rng)


def to_json(tree: Any) -> str:
    """Write a tree as JSON, with whatever is in it that JSON cannot hold."""
    held: list[str] = []

    def plain(value: Any) -> Any:
        if isinstance(value, Raw | Bomb):
            held.append(value if isinstance(value, Raw) else _nested(value, '{"a":'))
            return f"\x01held{len(held) - 1}\x01"
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items()}
        return [plain(one) for one in value] if isinstance(value, list) else value

    text = json.dumps(plain(tree), sort_keys=True, separators=(",", ":"))
    for number, raw in enumerate(held):
        text = text.replace(f'"\\u0001held{number}\\u0001"', raw)
    return text


def _nested(bomb: Bomb, opening: str) -> str:
    if bomb.table:
        return opening * bomb.depth + "1" + "}" * bomb.depth
    return "[" * bomb.depth + "]" * bomb.depth


def to_toml(tree: Any) -> str:
    """Write a tree as TOML: tables and lists of tables under their headings, all else in one line each."""
    if not isinstance(tree, dict):
        return f"value = {_toml(tree)}\n"
    tables = {key: value for key, value in tree.items() if isinstance(value, dict)}
    lists = {
        key: value
        for key, value in tree.items()
        if isinstance(value, list) and value and all(isinstance(one, dict) for one in value)
    }
    lines = [
        f"{_toml_key(key)} = {_toml(value)}" for key, value in tree.items() if key not in tables and key not in lists
    ]
    for heading, name, table in (
        *(("[{}]", key, table) for key, table in tables.items()),
        *(("[[{}]]", key, table) for key, held in lists.items() for table in held),
    ):
        lines += [
            "",
            heading.format(_toml_key(name)),
            *(f"{_toml_key(key)} = {_toml(value)}" for key, value in table.items()),
        ]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, Raw):
        return value
    if isinstance(value, Bomb):
        return _nested(value, "{a=")
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml_key(key)} = {_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool) or value is None:
        return str(value).lower()  # There is no null in TOML: a word without quotes is a mistake that people make.
    return json.dumps(value) if isinstance(value, str) else repr(value)


def _toml_key(key: str) -> str:
    return key if key and key.replace("_", "").replace(".", "").isalnum() and key.isascii() else json.dumps(key)


# --- bytes -----------------------------------------------------------------------------------------------------------

FIELDS = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def damage_bytes(data: bytes, rng: Random, *, other: bytes = b"") -> bytes:
    """Change some bytes: flip, set, cut off, leave out, put in, repeat, splice with `other`, set as if a length."""
    size = len(data)
    if not size:
        return rng.randbytes(rng.choice((1, 4, 100)))
    at = rng.randrange(size)
    end = min(size, at + rng.choice((1, 2, 4, 8, 16, 64, 256, 4096)))
    change = rng.randrange(10)
    if change < 2:
        out = bytearray(data)
        for _ in range(rng.choice((1, 1, 1, 2, 8, 64))):
            out[rng.randrange(size)] ^= 1 << rng.randrange(8)
        return bytes(out)
    if change == 2:
        return data[:at] + bytes([rng.choice((0, 0xFF, 0x7F, 0x80, rng.randrange(256)))]) * (end - at) + data[end:]
    if change == 3:
        return data[:at]
    if change == 4:
        return data[:at] + data[end:]
    if change == 5:
        return data[:at] + rng.randbytes(rng.choice((1, 2, 4, 16, 256))) + data[at:]
    if change == 6:
        return data[:end] + data[at:end] * rng.choice((1, 2, 30)) + data[end:]
    if change == 7 and other:
        place = rng.randrange(len(other))
        return data[:at] + other[place : place + rng.choice((8, 64, 1024, 65536))] + data[end:]
    return with_number(data, at, rng)


def with_number(data: bytes, at: int, rng: Random) -> bytes:
    """Write a number that may be a length, a count or a size over the bytes from `at` on."""
    width = rng.choice((1, 2, 4, 4, 4, 8))
    value = rng.choice((*FIELDS, len(data), len(data) - at, rng.getrandbits(32))) & ((1 << 8 * width) - 1)
    number = value.to_bytes(width, rng.choice(("big", "little")))
    return data[:at] + number + data[at + width :]


def damage_text(text: bytes, rng: Random, *, other: bytes = b"") -> bytes:
    """Change a text by its lines and words, or its bytes."""
    lines = text.split(b"\n")
    at, change = rng.randrange(len(lines)), rng.randrange(10)
    if change == 0:
        del lines[at]
    elif change == 1:
        lines[at:at] = [lines[at]] * rng.choice((1, 2, 200))
    elif change == 2:
        there = rng.randrange(len(lines))
        lines[at], lines[there] = lines[there], lines[at]
    elif change == 3:
        lines[at:at] = rng.choice(other.split(b"\n")).split(b"\n")
    elif change in (4, 5):
        place = rng.randint(0, len(lines[at]))
        word = rng.choice(TEXTS).encode("utf-8", "surrogatepass")
        lines[at] = lines[at][:place] + word + lines[at][place:]
    elif change == 6:
        lines[at] = b"".join(
            rng.choice((b"-", b"9" * 30, b"1e999", b"", b"0")) if c in b"0123456789" else bytes([c]) for c in lines[at]
        )
    elif change == 7:
        return rng.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b"\r", b"#", b"\xe2\x80\xae")) + text
    else:
        return damage_bytes(text, rng, other=other)
    return b"\n".join(lines)
