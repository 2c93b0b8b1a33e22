"""Schedules: what a user writes, read as it is meant, or refused with the place that is wrong."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renderer.errors import UsageError
from renderer.motion.formula import FUNCTIONS, Formula
from renderer.motion.schedule import EASES, Schedule, parse


def read(spec: Any, *, seconds: float = 6.0, rate: Fraction = Fraction(24), **bounds: float) -> Schedule:
    return parse(spec, seconds=seconds, rate=rate, **bounds)


def test_a_number_stays() -> None:
    schedule = read(1.25)
    assert schedule(0) == schedule(5.9) == 1.25
    assert schedule.constant and read("2*pi").constant and not read("t").constant


@pytest.mark.parametrize(
    ("text", "t", "value"),
    [
        ("1.5 + 0.5*sin(t*tau/4)", 1.0, 2.0),
        ("t/T", 3.0, 0.5),
        ("lerp(1, 3, smoothstep(0, 4, t))", 2.0, 2.0),
        ("clamp(t, 1, 2) if t > 0.5 else -1", 0.25, -1.0),
        ("where(t >= 2 and t < 3, 7, 8)", 2.5, 7.0),
        ("2**-1 + 7//2 + 7%4 + max(1, 2, 3)", 0.0, 9.5),
        (" \n 1 +\n 2", 0.0, 3.0),
        ("log(e) + log(8, 2) + pow(2, 3) + abs(-1)", 0.0, 13.0),
    ],
)
def test_expressions_mean_what_they_say(text: str, t: float, value: float) -> None:
    assert read(text)(t) == pytest.approx(value, abs=1e-12)


@given(st.floats(-10, 10), st.floats(-10, 10), st.floats(0.1, 10))
def test_expressions_agree_with_python(a: float, b: float, c: float) -> None:
    text = f"({a!r}) * t - ({b!r}) / ({c!r}) + max({a!r}, {b!r})"
    assert read(text)(1.5) == a * 1.5 - b / c + max(a, b)


@pytest.mark.parametrize("ease", EASES)
def test_every_ease_meets_its_keys_and_stays_between_them(ease: str) -> None:
    schedule = read({"4s": 2.0, "1s": 1.0, "5000ms": 2.5, "ease": ease})
    assert [schedule(t) for t in (0, 1, 4, 5, 6)] == pytest.approx([1.0, 1.0, 2.0, 2.5, 2.5])
    path = [schedule(1 + 4 * k / 200) for k in range(201)]
    assert all(first <= second + 1e-12 for first, second in pairwise(path))
    assert min(path) >= 1.0 and max(path) <= 2.5


def test_eases_differ_as_named() -> None:
    halfway = {ease: read({"0s": 0, "2s": 1, "4s": 1, "ease": ease})(0.5) for ease in EASES}
    assert halfway["linear"] == 0.25 and halfway["step"] == 0.0 and halfway["smooth"] == pytest.approx(0.15625)
    assert read({"0s": 0, "2s": 1, "ease": "step"})(2.0) == 1.0
    curve = read({"0s": 0, "2s": 1, "4s": 4, "ease": "cubic"})
    before, after = (curve(2) - curve(2 - 1e-6)) / 1e-6, (curve(2 + 1e-6) - curve(2)) / 1e-6
    assert before == pytest.approx(after, rel=1e-3) and before > 0.5


def test_keyframes_take_shares_of_the_film() -> None:
    schedule = read({"0%": 0.0, "100%": 10.0}, seconds=20)
    assert schedule(5) == 2.5
    assert read({"0": 1, "0.1min": 7})(6) == 7


def test_deforum_strings_count_frames_at_the_rate_of_the_film() -> None:
    schedule = read("0:(1.0), 30:(1+0.02*sin(t/5))")
    assert schedule.per_frame == 24
    assert schedule(0) == 1.0
    assert schedule(15 / 24) == pytest.approx(1 + 0.01 * math.sin(6))
    assert schedule(30 / 24) == pytest.approx(1 + 0.02 * math.sin(6))
    assert schedule(41 / 24) == pytest.approx(1 + 0.02 * math.sin(41 / 5))
    assert read("0:(1), 24:(2)", rate=Fraction(12))(1.0) == 1.5


def test_a_deforum_expression_runs_until_the_next_key_and_a_number_leads_to_it() -> None:
    schedule = read('0: (t*2), 10: (-5) , "20": (5), max_f-1: 0,')
    frames = [schedule(k / 24) for k in (0, 3, 9, 10, 15, 20, 143)]
    assert frames == pytest.approx([0, 6, 18, -5, 0, 5, 0])
    assert read("12:(where(t%2 == 0, 1, 2))")(0) == 1, "before the first key its value holds"


@given(st.integers(0, 2000), st.sampled_from([Fraction(24), Fraction(30000, 1001), Fraction(25), Fraction(12)]))
def test_deforum_frames_are_whole_at_any_rate(frame: int, rate: Fraction) -> None:
    assert read("0:(t)", seconds=200, rate=rate)(float(frame / rate)) == frame


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("1 + foo(t)", "unknown function 'foo' at character 5"),
        ("1 + sine(t)", "did you mean 'sin'"),
        ("2 * time", "unknown name 'time' at character 5"),
        ("3 * sin", "without its parentheses 'sin' at character 5"),
        ("é + 1", "'é' at character 1"),
        ("1 + (2", "at character"),
        ("", "nothing where a number"),
        ("1 2", "cannot be read"),
        ("nan", "'nan'"),
        ("1e999", "not a finite number at character 1"),
        ("1 + True", "'True'"),
        ("2^3", "written **"),
        ("sin(1, 2)", "takes 1"),
        ("max(1)", "takes 2 or more"),
        ("min(*t)", "plain numbers"),
        ("min(a=1, b=2)", "plain numbers"),
        ("t is 1", "comparison"),
        ("t.real", "not allowed"),
        ("'a' * 3", "not a finite number"),
        ("(1).__class__", "'(1).__class__', which is not allowed in an expression at character 1"),
        ("__import__('os')", "unknown function '__import__'"),
        ("[t for t in (1, 2)]", "not allowed"),
        ("(lambda: 1)()", "cannot be read"),
        ("(t)(2)", "unknown function 't'"),
        ("-" * 400 + "1", "nested"),
        ("(" * 240 + "1" + ")" * 240, "cannot be read"),
        ("1+" * 300 + "1", "at most 500"),
        ("9**9**9**9", "no value at 0 s"),
        ("1/t", "no value at 0 s"),
        ("sqrt(t-1)", "no value at 0 s"),
        ("(t-1)**0.5", "no value at 0 s"),
        ("log(0)", "no value"),
        ("1e300*1e300*t", "must be a finite number"),
        (float("nan"), "finite"),
        (float("inf"), "finite"),
        (10**400, "too large"),
        (True, "none of"),
        (None, "none of"),
        ([1, 2], "none of"),
        ({}, "at least one"),
        ({"ease": "linear"}, "at least one"),
        ({"4x": 1.0}, "'4x' is not a time"),
        ({"-1s": 1.0}, "'-1s' is not a time"),
        ({"0s": "fast"}, "must be a number"),
        ({"0s": float("nan")}, "finite"),
        ({"1s": 1.0, "1000ms": 2.0}, "same time"),
        ({"0s": 1.0, "ease": "smoth"}, "did you mean 'smooth'"),
        ("0:(1.0), 30", "'30' at character 10"),
        ("0:(1.0), x:(2)", "unknown name 'x' at character 10"),
        ("0:(1.0), 30:(1+foo)", "unknown name 'foo' at character 16"),
        ("0:(1.0), 30:", "nothing where"),
        ("0:(1.0), 30:(2", "never closed"),
        ("-3:(1.0)", "expected a frame number"),
        (":", "nothing where"),
        (" , ", "cannot be read"),
    ],
)
def test_a_bad_schedule_is_refused_with_what_is_wrong(spec: object, said: str) -> None:
    with pytest.raises(UsageError) as refusal:
        read(spec)
    assert said in str(refusal.value)


@given(st.text(alphabet="0123456789.+-*/%()t,:e sinmax_f\"'\n#[]{}=<>!~é\x00", max_size=60))
def test_any_text_is_a_schedule_or_a_usage_error(text: str) -> None:
    try:
        assert math.isfinite(read(text)(1.0))
    except UsageError as error:
        assert str(error)


def test_a_value_out_of_bounds_is_refused_when_read() -> None:
    assert read("2+sin(t)", low=0.5, high=4)(1) > 2
    with pytest.raises(UsageError, match=r"allowed is 0\.5 to 4"):
        read("5*sin(t)", low=0.5, high=4)
    with pytest.raises(UsageError, match=r"0\.001 or more"):
        read(0, low=0.001)


def test_a_hole_between_the_checked_frames_is_found_while_rendering() -> None:
    schedule = read("1/(t-1.0101)")
    with pytest.raises(UsageError, match=r"no value at 1\.0101 s"):
        schedule(1.0101)


@pytest.mark.parametrize(("seconds", "rate"), [(0.0, Fraction(24)), (math.nan, Fraction(24)), (1.0, Fraction(0))])
def test_a_film_without_time_is_refused(seconds: float, rate: Fraction) -> None:
    with pytest.raises(UsageError):
        read(1.0, seconds=seconds, rate=rate)


def test_deforum_strings_know_what_numexpr_knows() -> None:
    for text, value in {
        "0:(s)": 9.0,
        "0:((t>3) & (t<20) | (t==0))": 1.0,
        "0:(~(t>3))": 0.0,
        "0:(5 & 6)": 4.0,
        "0:(-t % 7)": -5.0,
        "0:(where(t > 0, 1/t, 0))": 1 / 12,
        "0:(arctan2(t, 12) + sinh(0) + cosh(0) + arctanh(0))": math.pi / 4 + 1,
        "0:(fmod(-t, 7) + trunc(1.7) + expm1(0) + log1p(0))": -4.0,
        "0:(3 < t < 20)": 1.0,
        '"0": ("1.5"), "24": ("2.5")': 2.0,
    }.items():
        schedule = parse(text, seconds=4.0, rate=Fraction(24), seed=9)
        assert math.isclose(schedule(0.5), value), text
        assert pickle.loads(pickle.dumps(schedule))(0.5) == schedule(0.5)


def test_what_is_not_understood_is_named_with_its_place_and_a_long_string_is_cut() -> None:
    for text, said in {
        "0:(1), 9:(frac(t))": "unknown function 'frac' at character 11",
        "0:(1.5 & t)": "whole numbers, not 1.5",
        "0:(1 << t)": "'1 << t', which is not allowed in an expression at character 4",
        "s * 2": "unknown name 's'",
        ",".join(f"{frame}:(1)" for frame in range(1000)) + ", 7:(x)": "unknown name 'x' at character",
    }.items():
        with pytest.raises(UsageError) as refusal:
            read(text)
        assert said in str(refusal.value)
        assert len(str(refusal.value)) < 400


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_gives_a_number(name: str) -> None:
    first = "1.5" if name == "arccosh" else "0.5"
    numbers = ", ".join([first, "0.25", "0.75"][: FUNCTIONS[name].least])
    assert math.isfinite(Formula(f"{name}({numbers})", names=())())


def test_schedules_travel_to_other_processes() -> None:
    for spec in (1.5, "1+t/T", {"0s": 1, "2s": 3, "ease": "cubic"}, "0:(1), 30:(t*2)"):
        schedule = read(spec)
        assert pickle.loads(pickle.dumps(schedule))(1.25) == schedule(1.25)


def test_reading_schedules_loads_nothing_heavy() -> None:
    heavy = "('tensorflow', 'cv2', 'numpy')"
    code = f"import sys, renderer.motion.schedule; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
