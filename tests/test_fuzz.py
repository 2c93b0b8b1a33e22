"""A few of the cases that `python -m benchmarks.fuzz` tries for minutes: files damaged on purpose, and read."""

from __future__ import annotations

import time
from pathlib import Path

import fuzz_media
import fuzz_records
import fuzz_texts
import fuzzing
import pytest
from fuzzing import Case, Tally
from hypothesis import HealthCheck, Phase, given, settings

TEXTS = {"preset": 50, "set": 100, "jobs": 25, "recipe": 60, "journal": 25, "state": 40, "cuts": 40}
BUILDS = {**fuzz_texts.KINDS, **fuzz_records.KINDS, **fuzz_media.KINDS}
MEDIA = {"png": 20, "jpg": 20, "tiff": 20, "webp": 20, "gif": 8, "wav": 6, "mp4": 3, "mov": 3, "webm": 3, "mkv": 3}


def tried(kind: str, count: int, scratch: Path) -> Tally:
    """Try some cases of a kind, the same ones each time."""
    total, build = Tally(), BUILDS[kind]

    @settings(
        max_examples=count,
        derandomize=True,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=[*HealthCheck],
    )
    @given(fuzzing.cases(kind))
    def run(case: Case) -> None:
        total.add(fuzzing.attempt(build, case, scratch))

    run()
    return total


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [*TEXTS, *MEDIA])
def test_a_damaged_file_is_read_or_refused_in_a_sentence_soon_and_in_little_memory(kind, tmp_path):
    count = {**TEXTS, **MEDIA}[kind]
    total = tried(kind, count, tmp_path / "scratch")
    assert total.tried == count
    shown = [f"{len(found)} x {found[0]}" for found in total.by_kind().values()]
    assert not shown, "\n".join(shown)


@pytest.mark.filterwarnings("ignore")
def test_whole_files_are_taken_by_everything_that_the_fuzzer_lets_read_them(tmp_path):
    for kind, build in BUILDS.items():
        refused = fuzz_media.REFUSED.get(kind, 0)
        total = fuzzing.attempt_whole(build, kind, tmp_path / "scratch", refused=refused)
        assert not total.failures, str(total.failures[0])
        assert total.accepted


def test_the_fuzzer_tries_as_many_cases_as_is_asked():
    assert sum(TEXTS.values()) >= 300
    assert {**TEXTS, **MEDIA}.keys() == BUILDS.keys()


def test_the_fuzzer_notices_errors_hangs_memory_and_what_is_written_elsewhere(tmp_path, monkeypatch):
    def strays(folder):
        (folder.parent / fuzzing.CANARY).write_text("mine")

    ways = {
        "KeyError": lambda folder: {}["a"],
        "Wrong": lambda folder: fuzzing.tell_bug("This is a bug in Dreamreel: KeyError: 'a'."),
        "slow": lambda folder: time.sleep(30),
        "memory": lambda folder: bytes(range(250)) * 200_000,
        "wrote": strays,
    }
    monkeypatch.setattr(fuzzing, "MOST_SECONDS", 0.2)
    monkeypatch.setattr(fuzzing, "MOST_BYTES", 40_000_000)
    for name, way in ways.items():
        found = fuzzing.attempt(
            lambda _, folder, way=way: [("it", lambda: way(folder))], Case("x", 1, (1,)), tmp_path / "s"
        )
        assert [failure.kind.partition(" ")[0] for failure in found.failures] == [name]


def test_a_case_is_the_same_files_each_time(tmp_path):
    for kind, build in {"preset": fuzz_texts.KINDS["preset"], "png": fuzz_media.KINDS["png"]}.items():
        case = Case.parse(str(Case(kind, 5, (17, 23))))
        held = []
        for name in ("a", "b"):
            (tmp_path / kind / name).mkdir(parents=True)
            build(case, tmp_path / kind / name)
            held.append([path.read_bytes() for path in sorted((tmp_path / kind / name).iterdir())])
        assert held[0] == held[1] and held[0]
