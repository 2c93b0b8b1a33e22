"""TOML files that users write: read with care, told of by line, and values written back.

`tomllib` forgets where a value stood; `lines` finds it again, so that an error can name the line.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from renderer.errors import BadInput
from renderer.files import read_input

MAX_BYTES = 1 << 20
"""Largest file: more is a mistake, or malice."""

MAX_DEPTH = 50
"""How deep tables and lists may be nested, and how many parts a dotted name may have."""

MAX_NAME, MAX_DIGITS = 400, 100
"""Characters of the longest dotted name that is told with its line, and of the longest number."""


@dataclass(frozen=True)
class Document:
    """A file that was read: where it lies, its text, and what is in it."""

    path: Path
    text: str
    table: dict[str, Any]

    @classmethod
    def read(cls, path: Path, *, what: str) -> Document:
        """Read a file as `read_toml` does."""
        return cls(path, *read_toml(path, what=what))

    @cached_property
    def lines(self) -> Mapping[str, int]:
        """Dotted name -> line, see `lines`."""
        return lines(self.text)

    def place(self, key: str = "") -> str:
        """Say where a value stands, as the beginning of an error: "looks.toml, line 7", or the file alone."""
        line = _nearest(self.lines, key)
        return str(self.path) if line is None else f"{self.path}, line {line}"


def read_toml(path: Path, *, what: str) -> tuple[str, dict[str, Any]]:
    """Read a TOML file of a user's: its text and its table.

    Args:
        path: of the file.
        what: it is meant to be, for errors: "preset".

    Raises:
        BadInput: it cannot be read, is larger than `MAX_BYTES`, nested deeper than `MAX_DEPTH`, or is not TOML; the
            line is named where there is one.
    """
    text = read_text(path, what=what)
    if excess := _excess(text):
        raise BadInput(f"{path} is not valid TOML: {excess[1]} (at line {excess[0]}).")
    try:
        return text, tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise BadInput(f"{path} is not valid TOML: {reason.rstrip('.')}.") from None


def read_text(path: Path, *, what: str) -> str:
    """Read the text of such a file.

    Raises:
        BadInput: it cannot be read, is larger than `MAX_BYTES`, or is no text in UTF-8.
    """
    try:
        return read_input(path, expected=f"a {what}", limit=MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"{path} is no {what}: it is not text in UTF-8.") from None


def lines(text: str) -> dict[str, int]:
    """List where every table, key and member of a list stands, dotted name -> line from 1."""
    scanner = _Scanner(text)
    scanner.scan()
    return scanner.found


def to_value(value: Any) -> str:
    """Write a value as TOML, on one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_quote(str(k))} = {to_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(to_value, value)) + "]"
    return _quote(value) if isinstance(value, str) else repr(value)


def from_value(written: str) -> Any:
    """Read a value as TOML has it; what is no TOML is plain text, and so is a size like 0x90."""
    if re.match(r"\s*0[xob]", written) or _excess(written):
        return written.strip()
    try:
        table = tomllib.loads(f"value = {written}")
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        return written.strip()
    return table["value"] if len(table) == 1 else written.strip()


def _quote(text: str) -> str:
    def escape(character: str) -> str:
        if character in '"\\':
            return "\\" + character
        if character.isprintable() or "\ud800" <= character <= "\udfff":  # TOML cannot say a surrogate otherwise.
            return character
        return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"

    return '"' + "".join(map(escape, text)) + '"'


def _nearest(found: Mapping[str, int], key: str) -> int | None:
    while key and key not in found:
        key = key.rpartition(".")[0]
    return found.get(key)


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


# A string that is never closed reaches as far as it can: to look for its end from each of its quotes takes for ever.
_TOKENS = re.compile(
    r"""
    (?P<gap>[^\S\n]+ | \#[^\n]*)
    | (?P<newline>\n)
    | (?P<long>\"{3}(?:\\.|[^\\])*?(?:\"{3,5}|\\?\Z) | '{3}.*?(?:'{3,5}|\Z))
    | (?P<quoted>"(?:\\.|[^"\\\n])*"? | '[^'\n]*'?)
    | (?P<mark>[\[\]{}=,.])
    | (?P<bare>[^\s\[\]{}=,."'\#]+ | .)
    """,
    re.VERBOSE | re.DOTALL,
)


def _tokens(text: str) -> Iterator[_Token]:
    line = 1
    for match in _TOKENS.finditer(text):
        kind = str(match.lastgroup)
        if kind != "gap":
            yield _Token(kind, match[0], line)
        line += match[0].count("\n")
    yield _Token("end", "", line)


def _excess(text: str) -> tuple[int, str] | None:
    """Find what would take a parser for ever, or would pass the limits of Python: its line and what it is."""
    depth = parts = 0
    for kind, token, line in _tokens(text):
        if kind == "mark":
            depth += (token in "[{") - (token in "]}")
            parts = parts + 1 if token == "." else 0
        elif kind == "newline":
            parts = 0
        elif kind == "bare" and len(token) > MAX_DIGITS and token[0] in "+-0123456789":
            return line, f"a number of {len(token)} digits; at most {MAX_DIGITS}"
        if depth > MAX_DEPTH:
            return line, f"tables and lists are nested too deeply; at most {MAX_DEPTH}"
        if parts >= MAX_DEPTH:
            return line, f"a name of too many parts; at most {MAX_DEPTH}"
    return None


class _Scanner:
    """Walks over the tokens of a valid TOML text; of another it finds what it can."""

    def __init__(self, text: str) -> None:
        self.found: dict[str, int] = {}
        self._counts: dict[str, int] = {}  # [[table]] -> how many there were
        self._tokens = _tokens(text)
        self._now = next(self._tokens)

    def scan(self) -> None:
        above = ""
        while self._now.kind != "end":
            line = self._now.line
            if self._now.kind == "newline":
                self._next()
            elif self._takes("["):
                many = self._takes("[")
                above = self._header(self._key("]"), many=many, line=line)
                while self._now.kind not in ("newline", "end"):
                    self._next()
            else:
                self._pair(above, 0)

    def _next(self) -> _Token:
        token = self._now
        if token.kind != "end":
            self._now = next(self._tokens)
        return token

    def _takes(self, mark: str) -> bool:
        taken = self._now.kind == "mark" and self._now.text == mark
        if taken:
            self._next()
        return taken

    def _header(self, parts: list[str], *, many: bool, line: int) -> str:
        name = ""
        for place, part in enumerate(parts, start=1):
            name = self._note(name, part, line)
            last = place == len(parts)
            if last and many:
                self._counts[name] = self._counts.get(name, 0) + 1
            if name in self._counts:
                name = self._note(name, str(self._counts[name] - 1), line)
        return name

    def _pair(self, above: str, depth: int) -> None:
        line, name = self._now.line, above
        for part in self._key("="):
            name = self._note(name, part, line)
        self._value(name, depth)

    def _key(self, end: str) -> list[str]:
        """Read a dotted key and the mark after it."""
        parts = []
        while self._now.kind not in ("newline", "end") and not self._takes(end):
            token = self._next()
            if token.kind == "quoted":
                parts.append(str(from_value(token.text)))
            elif token.kind == "bare":
                parts.append(token.text)
        return parts

    def _value(self, name: str, depth: int) -> None:
        if depth < MAX_DEPTH and self._takes("{"):
            while not self._closes("}"):
                self._pair(name, depth + 1)
        elif depth < MAX_DEPTH and self._takes("["):
            count = 0
            while not self._closes("]"):
                self._value(self._note(name, str(count), self._now.line), depth + 1)
                count += 1
        else:
            while self._now.kind not in ("newline", "end") and self._now.text not in (",", "]", "}"):
                self._next()

    def _closes(self, mark: str) -> bool:
        """Step over line ends and commas, and over the closing mark if it is there."""
        while self._now.kind == "newline" or self._now.text == ",":
            self._next()
        return self._takes(mark) or self._now.kind == "end" or (self._now.text in ("]", "}") and bool(self._next()))

    def _note(self, above: str, part: str, line: int) -> str:
        name = f"{above}.{part}" if above else part
        if len(name) > MAX_NAME:  # No setting is called so; what lies there is told with the line around it.
            return above
        self.found.setdefault(name, line)
        return name
