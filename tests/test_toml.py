"""Lines of values in TOML texts, and values written so that TOML reads them back."""

from __future__ import annotations

import time
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renderer.errors import BadInput
from renderer.settings.document import Document, from_value, lines, to_value

TEXT = '''# A comment with [brackets] and a = 1
extends = "x" # after it = 2

[defaults]
about = """
[job]
not = 1"""
layers = { a = 1, "b c" = "x # y" }
list = [
  1,
  { z = 3 }, # ]
  [[1, 2], [3]],
]

[[job]]
input = 'a\\'
[job.set]
camera.zoom = 2
"camera.rotate" = 3

[[job]]
set = { camera = { zoom = 3 } }
[job.over]
when = 1979-05-27T07:32:00Z
'''


PLACES = {
    "extends": 2,
    "defaults": 4,
    "defaults.about": 5,
    "defaults.layers.a": 8,
    "defaults.layers.b c": 8,
    "defaults.list": 9,
    "defaults.list.0": 10,
    "defaults.list.1.z": 11,
    "defaults.list.2.1.0": 12,
    "job.0": 15,
    "job.0.input": 16,
    "job.0.set.camera.zoom": 18,
    "job.0.set.camera.rotate": 19,
    "job.1": 21,
    "job.1.set.camera.zoom": 22,
    "job.1.over.when": 24,
    "job.1.over.else": 23,
}


def test_a_value_is_found_in_its_line_and_what_is_missing_in_that_of_the_table_around_it(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text(TEXT)
    document = Document.read(path, what="preset")
    for key, line in PLACES.items():
        assert document.place(key) == f"{path}, line {line}"
    assert document.place("nowhere.at.all") == str(path)


def paths(value, above=()):
    """List every table, key and member of what tomllib read, as dotted names."""
    if above:
        yield ".".join(above)
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in members:
        yield from paths(inner, (*above, str(key)))


def test_every_value_that_tomllib_finds_has_a_line():
    assert set(paths(tomllib.loads(TEXT))) == set(lines(TEXT))


@given(st.text(alphabet="a.b=[]{}\"'\n#,1 \\", max_size=80))
def test_any_text_has_lines_and_those_of_good_toml_are_all_there(text):
    found = lines(text)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert {path for path in paths(table) if ".." not in path} <= {*found, ""}
    assert all(1 <= line <= text.count("\n") + 1 for line in found.values())


plain = st.recursive(
    st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None)
@given(plain)
def test_what_is_written_is_read_back(value):
    assert tomllib.loads(f"x = {to_value(value)}")["x"] == value
    assert from_value(to_value(value)) == value


def test_what_is_no_toml_is_text():
    for text in ("1 + t", "0x90", "a\nb = 1", "[1", ""):
        assert from_value(text) == text


def test_a_string_that_never_ends_is_refused_at_once(tmp_path):
    path, quote = tmp_path / "look.toml", '"'
    for text in (f"a = {quote}" + r"\"" * 400_000, f"a = {3 * quote}" + r"\"" * 400_000, "a = " + r"\"" * 400_000):
        path.write_text(text)
        began = time.process_time()
        with pytest.raises(BadInput, match=r"look\.toml"):
            Document.read(path, what="preset")
        assert lines(text)["a"] == 1
        assert time.process_time() - began < 5
