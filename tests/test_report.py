"""The page of a batch, in a real browser; and what is found out about films to be shown on it."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import os
import threading
from fractions import Fraction
from pathlib import Path
from urllib.parse import unquote

import chromium
import cv2
import numpy as np
import pytest
from films import save_tiny_network
from PIL import Image
from typer.testing import CliRunner

from renderer.batch import film_summary, report
from renderer.batch.batch_journal import BatchJournal, FilmStatus
from renderer.batch.film_summary import middle
from renderer.batch.report import BatchReport, render_report, write_report
from renderer.batch.status import read_state
from renderer.cli.main import app
from renderer.errors import BadInput, DiskProblem, Interrupted, UsageError
from renderer.files import file_sha256
from renderer.films.recipe import parse_recipe, write_recipe
from renderer.films.render_setup import camera_of
from renderer.frame import Size
from renderer.measure.metrics import measure_briefly
from renderer.media.ffmpeg.encode import encode
from renderer.media.images import write_image
from renderer.media.recipe import read_recipe
from renderer.settings.presets import resolve

SIZE = Size(96, 64)
RATE = 12
SCRIPT = "<script>document.title='x'</script>"
QUOTED = "\"soft\" & 'low' <em>"
FAILURE = f"It <b>broke</b> {SCRIPT}: 100 % & 'so on'.\nAnd more."
LONG = "an-unbroken-name-" * 9


@pytest.fixture(scope="module")
def texture():
    """A picture of soft forms, larger than a film."""
    coarse = np.random.default_rng(5).uniform(0.1, 0.9, (12, 16, 3)).astype(np.float32)
    return np.clip(cv2.resize(coarse, SIZE, interpolation=cv2.INTER_CUBIC) * 255, 0, 255).astype(np.uint8)


def recipe_of(kind="zoom", *sets, frames=12, rate=RATE, inputs=None, facts=None):
    chosen = [f"film.size={SIZE}", f"film.fps={rate}", f"film.frames={frames}", *sets]
    return write_recipe(
        resolve(sets=chosen).settings,
        kind=kind,
        inputs=inputs or {},
        facts=facts or {},
        weights_sha256="",
        environment={"dreamreel": "9.9", "device": "an abacus"},
        pixel_key="p",
        film_key="f",
    )


def write_film(path, frames, *, rate=RATE, recipe=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    encode(frames, path, size=SIZE, rate=Fraction(rate), recipe=recipe or recipe_of(frames=len(frames), rate=rate))
    return path


def turning(texture, count=12):
    """Frames that differ from each other."""
    return [np.roll(texture, 3 * k, axis=1) for k in range(count)]


class Batch:
    """A batch whose journal is written by hand; the films in it are real."""

    def __init__(self, folder: Path, *, name="jobs") -> None:
        self.folder, self.batch = folder, folder / f".{name}.dreamreel-batch"
        self._file = folder / f"{name}.toml"
        self._jobs, self._entries = [], []

    def add(self, name, *, state="done", out=None, kind="zoom", preset="meadow", source="", seed=1, work=None, **told):
        length = {} if kind == "still" else {"fps": str(RATE), "frames": 12, "seconds": 1.0}
        known = {"name": name, "kind": kind, "preset": preset, "source": source, "seed": seed, "size": str(SIZE)}
        self._jobs.append(FilmStatus(**known, network="tiny", out=out, work=work, **length))
        place = None if out is None else str(out.relative_to(self.folder))
        entry = {"name": name, "out": place, "film_key": "f", "encode_key": "e", "at": "2026-03-01T04:05:06+01:00"}
        if state == "done":
            made = {"frames": 12, "rendered": 12, "took": 3.0, "bytes": 1000, "sha256": name, "strength": 0.5}
            self._entries.append({**entry, "kind": "done", **made, **told})
        elif state == "failed":
            self._entries.append({**entry, "kind": "failed", "exit_code": 4, "again": False, **told})
        elif state == "stopped":
            self._entries += [{**entry, "kind": "begun"}, {**entry, "kind": "stopped"}]

    def state(self, *, look=True):
        with BatchJournal(self.batch) as journal:
            journal.note_plan(self._file, self._jobs)
            journal.append({"kind": "start", "at": "2026-03-01T01:02:03+01:00", "executor": "serial"})
            for entry in self._entries:
                journal.append(entry)
            journal.append({"kind": "end", "at": "2026-03-01T04:05:07+01:00"})
        found = read_state(self.batch)
        for row in found.films:
            if look and row.state == "done":
                film_summary.show(row, self.batch)
        return found


@pytest.fixture(scope="module")
def batch(tmp_path_factory, texture):
    """One film of every kind that is shown in another way, names that nobody should have to think of, and failures."""
    folder = tmp_path_factory.mktemp("batch")
    made, frames = Batch(folder), turning(texture)
    films = folder / "films & 100% #1?"
    made.add("lost", state="failed", out=films / "lost.mp4", kind="video", error=FAILURE, preset=QUOTED)
    made.add(SCRIPT, out=write_film(films / f"{SCRIPT.replace('/', '')}.mp4", frames), took=9.0, preset=QUOTED)
    made.add("film 10", out=write_film(films / "10:a.webm", frames), took=2.0, strength=0.25, bytes=5)
    made.add("film 9", out=write_film(films / "9.gif", frames), took=4.0, strength=None)
    made.add("webp", out=write_film(films / "a.webp", frames), took=5.0)
    made.add("apng", out=write_film(films / "a.apng", frames), took=6.0)
    made.add("folder", out=write_film(films / "frames", frames), took=7.0)
    made.add("mov", out=write_film(films / "a.mov", frames), took=8.0, preset="")
    picture = folder / "still.png"
    write_image(texture, picture, recipe=recipe_of("still"))
    made.add("picture", kind="still", out=picture, frames=1, took=1.0)
    made.add(LONG, state="stopped", out=folder / "x.mp4")
    made.add("later", state="waiting", out=folder / "y.mp4")
    write_report(made.state())
    return made


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    program = chromium.find()
    if program is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    with chromium.Chromium(program, tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def page(browser, batch):
    """The page in a window as large as a desk has."""
    browser.screen(1280)
    browser.open((batch.folder / "report.html").as_uri())
    return browser


SHOWN = "[...document.querySelectorAll('.film')].filter((f) => f.checkVisibility()).map((f) => f.dataset.name)"


def choose(page, name, value):
    """Do what a person does at a field."""
    page.run(
        f"(() => {{ const field = document.querySelector('[name={name}]'); field.value = {json.dumps(value)};"
        "field.dispatchEvent(new Event('input', { bubbles: true })); })()"
    )


def until(page, condition):
    """Wait until the page says so."""
    return page.run(
        "new Promise((done, give_up) => { const began = performance.now(); const look = () => {"
        f"const found = ({condition}); if (found) done(found);"
        "else if (performance.now() - began > 20000) give_up(new Error('never so')); else setTimeout(look, 20); };"
        "look(); })"
    )


# --- in the browser --------------------------------------------------------------------------------------------------


def test_the_page_loads_without_an_error_or_a_request_to_the_network(page):
    until(page, "[...document.querySelectorAll('video')].every((v) => v.readyState > 0)")
    assert page.errors() == []
    asked = [url for url in page.requests() if not url.startswith("data:")]
    assert len(asked) == 6  # itself, two films, and three that are pictures
    assert all(url.startswith("file://") for url in asked)


def test_films_play_where_they_are_and_what_moves_as_a_picture_moves(page):
    lengths = until(
        page,
        "(() => { const found = [...document.querySelectorAll('video')].map((v) => v.duration);"
        "return found.every((d) => d > 0) && found; })()",
    )
    assert lengths == pytest.approx([1, 1], abs=0.1)
    until(page, "[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    page.run("document.querySelector('video').play()")
    until(page, "document.querySelector('video').currentTime > 0.1")
    assert page.run("document.querySelector('video').getAttribute('poster').startsWith('data:image/jpeg;base64,')")
    posters = page.run("[...document.querySelectorAll('.stage > a img')].map((image) => image.naturalWidth)")
    assert posters == [96, 96, 96]  # a folder, a film for editors and a picture, as stills


def test_every_film_is_linked_under_its_own_name_however_odd(page, batch):
    found = page.run("[...document.querySelectorAll('.film h3 a')].map((a) => a.href)")
    assert len(found) == 8
    there = {path.as_uri() for path in batch.folder.rglob("*")}
    assert {unquote(url) for url in found} <= {unquote(url) for url in there}


def test_failures_come_first_with_their_sentence(page):
    assert page.run("document.querySelector('main h2').innerText").split() == ["Failed", "1"]
    assert page.run("document.querySelector('.film .sentence').innerText") == FAILURE
    assert page.run("document.querySelector('.lead').innerText") == "8 of 11 films are made, 1 failed, 2 still to make."


def test_what_people_wrote_stays_text(page):
    assert page.run("document.title").startswith("jobs: 8 of 11")
    assert page.run("document.querySelectorAll('script').length") == 1
    assert page.run("document.querySelectorAll('.film b, .film em').length") == 0
    assert page.run(f"[...document.querySelectorAll('h3')].some((h) => h.innerText === {json.dumps(SCRIPT)})")
    choose(page, "preset", "=" + QUOTED)
    assert page.run(SHOWN) == ["lost", SCRIPT]


def test_words_state_kind_and_preset_choose_films(page):
    everything = page.run(SHOWN)
    assert len(everything) == 11
    for name, value, shown in [
        ("q", "10:A 96", ["film 10"]),
        ("q", "so ON", ["lost"]),
        ("state", "=failed", ["lost"]),
        ("kind", "=still", ["picture"]),
        ("preset", "=", ["mov"]),
    ]:
        choose(page, name, value)
        assert page.run(SHOWN) == shown
        assert page.run("document.getElementById('shown').innerText") == f"{len(shown)} of 11 films"
        assert page.run("[...document.querySelectorAll('main h2')].filter((h) => h.checkVisibility()).length") == 1
        choose(page, name, "")
        assert page.run(SHOWN) == everything


def test_when_nothing_is_chosen_it_says_so_and_gives_all_back(page):
    choose(page, "q", "no such thing")
    assert page.run(SHOWN) == []
    assert page.run("document.getElementById('nothing').checkVisibility()")
    page.run("document.getElementById('all').click()")
    assert len(page.run(SHOWN)) == 11
    assert not page.run("document.getElementById('nothing').checkVisibility()")


def test_films_are_sorted_within_their_part_and_what_is_not_known_comes_last(page):
    made = ["picture", "film 10", "film 9", "webp", "apng", "folder", "mov", SCRIPT]

    def order():
        found = page.run(SHOWN)
        assert (found[0], set(found[-2:])) == ("lost", {LONG, "later"})
        return found[1:-2]

    choose(page, "sort", "-took")
    assert order() == made[::-1]
    page.run("document.getElementById('turn').click()")
    assert order() == made
    choose(page, "sort", "-strength")
    assert (order()[0], order()[-1]) == ("film 10", "film 9")  # reversed still
    page.run("document.getElementById('turn').click()")
    assert order()[-2:] == ["film 10", "film 9"]
    choose(page, "sort", "name")
    assert order()[2:5] == ["film 9", "film 10", "folder"]


def test_the_choice_is_still_made_when_the_page_is_loaded_again(page, batch):
    choose(page, "q", "film")
    choose(page, "sort", "name")
    page.run("document.getElementById('turn').click()")
    chosen = page.run(SHOWN)
    url = page.run("location.href")
    page.open("about:blank")
    page.open(url)
    assert page.run(SHOWN) == chosen
    assert page.run("document.querySelector('[name=q]').value") == "film"
    assert page.errors() == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_fits_a_phone_by_day_and_by_night(browser, batch, dark):
    browser.screen(360, 740, scale=2, dark=dark, phone=True)
    browser.open((batch.folder / "report.html").as_uri())
    browser.run("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    assert browser.run("document.documentElement.scrollWidth") == 360
    beyond = browser.run(
        "[...document.querySelectorAll('body *')].filter((part) => part.checkVisibility()"
        "&& (part.getBoundingClientRect().right > 360.5 || part.getBoundingClientRect().left < 0))"
        ".map((part) => part.outerHTML.slice(0, 80))"
    )
    assert beyond == []
    small = browser.run(
        "[...document.querySelectorAll('main p, main dd, main dt, main summary, input, select, button')]"
        ".filter((part) => part.checkVisibility() && parseFloat(getComputedStyle(part).fontSize) < 12).length"
    )
    assert small == 0
    contrasts = browser.run(CONTRASTS)
    assert len(contrasts) > 50
    assert min(contrasts) >= 4.5
    brightness = browser.run(
        "luminance(getComputedStyle(document.documentElement.querySelector('body')).backgroundColor)"
    )
    assert (brightness < 0.1) is dark


CONTRASTS = """
(() => {
  const numbers = (colour) => (colour.match(/[\\d.]+/g) || []).map(Number);
  window.luminance = (colour) => numbers(colour).slice(0, 3)
    .map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const under = (part) => {
    for (; part; part = part.parentElement) {
      const colour = getComputedStyle(part).backgroundColor;
      if ((numbers(colour)[3] ?? 1) > 0) return colour;
    }
  };
  const texts = [...document.querySelectorAll("body *")].filter((part) => part.checkVisibility()
    && !part.closest(".stage, script, option") && [...part.childNodes].some((n) => n.nodeType === 3 && n.data.trim()));
  return texts.map((part) => {
    const pair = [luminance(getComputedStyle(part).color), luminance(under(part))].sort((a, b) => b - a);
    return (pair[0] + 0.05) / (pair[1] + 0.05);
  });
})()
"""


def test_everything_can_be_reached_by_keys_and_is_named_for_a_screen_reader(page):
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    roles = {"searchbox", "combobox", "button", "link", "image", "Video", "progressbar", "DisclosureTriangle"}
    found = [node for node in nodes if not node["ignored"] and node["role"]["value"] in roles]
    assert {node["role"]["value"] for node in found} >= {"searchbox", "combobox", "link", "image", "Video"}
    unnamed = [node for node in found if not node.get("name", {}).get("value") and "parentId" in node]
    assert [node["role"]["value"] for node in unnamed] == []
    for _ in range(7):
        for kind in ("keyDown", "keyUp"):
            page.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
    assert page.run("document.activeElement.closest('.film').dataset.name") == SCRIPT
    assert page.run("document.activeElement.tagName") == "VIDEO"


def test_nothing_moves_while_the_page_is_loaded(page):
    until(page, "[...document.images].every((image) => image.complete)")
    moved = page.run(
        "new Promise((done) => { let sum = 0; new PerformanceObserver((list) => {"
        "for (const entry of list.getEntries()) sum += entry.value; })"
        ".observe({ type: 'layout-shift', buffered: true });"
        "setTimeout(() => done(sum), 200); })"
    )
    assert moved == 0


def test_without_scripts_all_films_are_there_and_no_field_that_would_do_nothing(browser, batch):
    browser.screen(1280)
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open((batch.folder / "report.html").as_uri())
        assert len(browser.run(SHOWN)) == 11
        assert not browser.run("document.getElementById('tools').checkVisibility()")
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


def test_a_film_that_the_browser_cannot_play_says_so(browser, tmp_path, texture):
    made = Batch(tmp_path)
    out = write_film(tmp_path / "a.mp4", turning(texture))
    made.add("a", out=out)
    write_report(made.state())
    out.write_bytes(out.read_bytes()[:600])
    browser.screen(1280)
    browser.open((tmp_path / "report.html").as_uri())
    until(browser, "document.querySelector('.trouble').checkVisibility()")


def test_of_many_films_only_those_in_sight_are_opened(browser, tmp_path, texture):
    made = Batch(tmp_path)
    first = write_film(tmp_path / "000.mp4", turning(texture))
    for number in range(80):
        out = tmp_path / f"{number:03}.mp4"
        if number:
            os.link(first, out)
        made.add(f"film {number}", out=out, sha256="the same")
    made.add("moving picture", out=write_film(tmp_path / "last.gif", turning(texture)))
    write_report(made.state())
    browser.screen(1280)
    browser.open((tmp_path / "report.html").as_uri())
    until(browser, "document.querySelector('video').readyState > 0")
    opened = "[...document.querySelectorAll('video')].filter((v) => v.preload !== 'none').length"
    assert 0 < browser.run(opened) < 30
    assert not any(url.endswith(".gif") for url in browser.requests())
    browser.run("document.querySelectorAll('.film')[79].scrollIntoView()")
    until(browser, "[...document.querySelectorAll('video')].at(-1).duration > 0")
    until(browser, "document.querySelector('img[src$=gif]').naturalWidth > 0")
    assert browser.run(opened) < 70
    choose(browser, "q", "film 79")
    assert browser.run(SHOWN) == ["film 79"]
    assert browser.errors() == []


# --- the file --------------------------------------------------------------------------------------------------------


def test_the_page_names_no_other_file_but_films_and_nothing_on_the_network(batch):
    text = (batch.folder / "report.html").read_text()
    assert "http:" not in text
    assert "https:" not in text
    assert "<link" not in text.replace('<link rel="icon" href="data:,">', "")
    assert "@import" not in text
    assert "url(" not in text


def test_the_page_is_never_laid_over_a_file_that_is_not_this_batchs(tmp_path):
    mine, other = Batch(tmp_path), Batch(tmp_path, name="other")
    assert write_report(mine.state()) == tmp_path / "report.html"
    assert write_report(mine.state()) == tmp_path / "report.html"
    assert write_report(other.state()) == tmp_path / "report-other.html"
    (tmp_path / "report.html").write_text("my own notes")
    assert write_report(mine.state()) == tmp_path / "report-jobs.html"
    (tmp_path / "report-jobs.html").write_text("more of them")
    with pytest.raises(UsageError, match=r"report\.html and report-jobs\.html"):
        write_report(mine.state())
    assert (tmp_path / "report.html").read_text() == "my own notes"


def test_a_name_that_is_no_text_is_shown_as_well_as_may_be(tmp_path, texture):
    made = Batch(tmp_path)
    out = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    try:
        write_film(out, turning(texture))
    except OSError:
        pytest.skip("this file system takes only names in UTF-8")
    made.add(os.fsdecode(b"caf\xe9"), out=out)
    text = write_report(made.state(look=False)).read_text("utf-8")
    assert 'href="./caf%E9.mp4"' in text
    assert r">caf\xe9</a>" in text


def test_names_on_the_page_read_as_they_are_written(tmp_path):
    made = Batch(tmp_path)
    made.add("fdp\u202egnp.exe \x1b[31m", state="waiting")
    text = write_report(made.state(look=False)).read_text("utf-8")
    assert "\u202e" not in text and "\x1b" not in text
    assert r"fdp\u202egnp.exe \x1b[31m" in text


def test_a_page_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    made = Batch(tmp_path)
    before = write_report(made.state()).read_text()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(DiskProblem, match=r"report\.html"):
        write_report(made.state())
    monkeypatch.undo()
    assert (tmp_path / "report.html").read_text() == before
    assert not list(tmp_path.glob(".dreamreel-*"))


def test_a_batch_of_nothing_yet_has_a_page(tmp_path):
    made = Batch(tmp_path)
    made.add("a", state="waiting", out=tmp_path / "a.mp4")
    text = render_report(made.state())
    assert "0 of 1 film is made, 1 still to make." in text


# --- while it goes on ------------------------------------------------------------------------------------------------


def test_trouble_with_the_page_is_told_once_and_stops_nothing(tmp_path, texture, monkeypatch):
    made = Batch(tmp_path)
    made.add("a", out=write_film(tmp_path / "a.mp4", turning(texture)))
    row = made.state(look=False).films[0]
    told = []

    def broken(*_, **__):
        raise ZeroDivisionError("what nobody thought of")

    monkeypatch.setattr(report, "write_report", broken)
    with BatchReport(made.batch, tell=told.append) as page:
        page.film(row)
        page.film(row)
    assert page.path is None
    assert len(told) == 1
    assert "ZeroDivisionError: what nobody thought of" in told[0]


def test_a_stop_leaves_out_what_takes_time_and_still_writes_the_page(tmp_path, texture):
    made = Batch(tmp_path)
    made.add("a", out=write_film(tmp_path / "a.mp4", turning(texture)))
    row = made.state(look=False).films[0]
    with BatchReport(made.batch, tell=pytest.fail, should_stop=lambda: True) as page:
        page.film(row)
    assert film_summary.known(row, made.batch) is None
    assert "1 of 1 film is made" in page.path.read_text()


def test_many_films_that_end_at_once_do_not_write_the_page_each_time(tmp_path, monkeypatch):
    made = Batch(tmp_path)
    made.add("a", state="failed", out=tmp_path / "a.mp4", error="no")
    row = made.state().films[0]
    written, real = [], report.write_report
    monkeypatch.setattr(report, "PATIENCE", 1e6)
    monkeypatch.setattr(report, "write_report", lambda state: written.append(1) or real(state))
    with BatchReport(made.batch, tell=pytest.fail) as page:
        for _ in range(50):
            page.film(row)
        assert len(written) == 1
    assert len(written) == 2


@pytest.fixture(scope="module")
def tiny_batch(tmp_path_factory):
    """A jobs file of a zoom and a film that cannot be made."""
    folder = tmp_path_factory.mktemp("tiny")
    from renderer.runtime import prepare

    prepare()
    weights = save_tiny_network(folder / "tiny.keras")
    (folder / "jobs.toml").write_text(
        f"""
        [defaults]
        output = "{{name}}.mp4"
        [defaults.set]
        film = {{ size = "64x48", frames = 3, fps = 12 }}
        dream = {{ octaves = 1, first_steps = 1, steps = 1 }}
        network.weights = "{weights}"
        [[job]]
        name = "one"
        [[job]]
        name = "two"
        preset = "nowhere"
        """
    )
    return folder


def test_a_batch_writes_its_page_and_status_writes_it_again(tiny_batch):
    done = CliRunner().invoke(app, ["batch", str(tiny_batch / "jobs.toml")])
    assert done.exit_code == 3
    path = tiny_batch / "report.html"
    assert f"All of them on one page: {path}" in done.stderr
    text = path.read_text()
    assert "1 of 2 films are made, 1 failed." in text
    assert ", ended " in text
    assert "There is no preset" in text
    assert "data:image/jpeg;base64," in text
    assert "seed" in text
    path.unlink()
    done = CliRunner().invoke(app, ["status", str(tiny_batch), "--report", "--json"])
    assert json.loads(done.stdout.splitlines()[-2]) == {"event": "report", "path": str(path)}
    assert done.exit_code == 3
    assert "1 of 2 films are made, 1 failed." in path.read_text()
    one = read_state(tiny_batch).films[0]
    CliRunner().invoke(app, ["batch", str(tiny_batch / "jobs.toml"), "--only", "two"])
    again = read_state(tiny_batch).films[0]  # What is known of films that a run leaves out stays known.
    assert (again.state, again.seed, again.fps, again.frames) == ("done", one.seed, "12", 3)


def test_the_page_stays_whole_while_several_write_it_at_once(tmp_path, texture):
    made = Batch(tmp_path)
    write_image(texture, tmp_path / "a.png", recipe=recipe_of("still"))  # A picture is looked at in no time.
    made.add("a", kind="still", out=tmp_path / "a.png")
    state = made.state()
    page, errors = write_report(state), []

    def write():
        try:
            for _ in range(6):
                write_report(state)
                for kept in (made.batch / film_summary.FOLDER).iterdir():
                    kept.unlink(missing_ok=True)
                film_summary.show(state.films[0], made.batch)
        except Exception as error:
            errors.append(error)

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert page.read_text().rstrip().endswith("</html>")
    assert errors == []


# --- what is shown of a film -----------------------------------------------------------------------------------------


def test_a_film_is_looked_at_once(tmp_path, texture, monkeypatch):
    made = Batch(tmp_path)
    made.add("a", out=write_film(tmp_path / "a.mp4", turning(texture)))
    state = made.state()
    first = film_summary.known(state.films[0], made.batch)
    monkeypatch.setattr(film_summary, "middle", pytest.fail)
    assert film_summary.show(state.films[0], made.batch) == first
    other = state.films[0].updated(sha256="made anew")
    assert film_summary.known(other, made.batch) is None
    write_report(dataclasses.replace(state, films=(other,)))
    assert film_summary.known(state.films[0], made.batch) is None


def test_what_was_found_out_is_found_out_again_if_it_is_damaged(tmp_path, texture):
    made = Batch(tmp_path)
    made.add("a", out=write_film(tmp_path / "a.mp4", turning(texture)))
    state = made.state()
    first = film_summary.known(state.films[0], made.batch)
    (kept,) = (made.batch / film_summary.FOLDER).iterdir()
    kept.write_text(kept.read_text()[:50])
    assert film_summary.show(state.films[0], made.batch) == first


def test_a_film_that_cannot_be_read_is_shown_with_the_reason(tmp_path):
    made = Batch(tmp_path)
    (tmp_path / "a.mp4").write_bytes(b"no film")
    made.add("a", out=tmp_path / "a.mp4")
    state = made.state()
    assert str(tmp_path / "a.mp4") in film_summary.known(state.films[0], made.batch).trouble
    assert str(tmp_path / "a.mp4") in write_report(state).read_text()


def test_the_still_is_the_middle_of_the_film(tmp_path, texture):
    frames = [np.full_like(texture, 20 * k) for k in range(9)]
    for name in ("a.mp4", "a.gif", "a.webp", "frames"):
        assert middle(write_film(tmp_path / name, frames)).mean() == pytest.approx(80, abs=4)


def test_a_still_is_small_and_keeps_its_shape(tmp_path):
    write_image(np.full((300, 1200, 3), 90, np.uint8), tmp_path / "wide.png", recipe=recipe_of("still"))
    row = FilmStatus(name="a", kind="still", preset="", state="done", out=tmp_path / "wide.png", sha256="x")
    found = film_summary.show(row, tmp_path)
    assert Image.open(io.BytesIO(base64.b64decode(found.still))).size == (448, 112)


def test_the_recipe_shows_what_is_not_usual_as_lines_of_a_preset(tmp_path, texture):
    recipe = recipe_of("zoom", 'camera.zoom={"0s"=1, "1s"=2}', 'network.name="dreamnet"')
    row = FilmStatus(name="a", kind="zoom", preset="", state="done", sha256="x")
    found = film_summary.show(
        row.updated(out=write_film(tmp_path / "a.mp4", turning(texture), recipe=recipe)), tmp_path
    )
    assert 'camera.zoom = { "0s" = 1, "1s" = 2 }' in found.settings.splitlines()
    assert "network.name" not in found.settings
    assert found.made_by == "Dreamreel 9.9, an abacus"


def measured(path, **options):
    return measure_briefly(path, parse_recipe(read_recipe(path), source=path), **options)


def journey(texture, recipe, count):
    """What a camera sees of a picture: nothing changes but by its motion."""
    camera = camera_of(parse_recipe(recipe, source=Path("a.mp4")).settings)
    ways = [camera.matrix(k / RATE, 0, size=SIZE) for k in range(count)]
    return [cv2.warpPerspective(texture, way, SIZE, borderMode=cv2.BORDER_REFLECT) for way in ways]


def test_the_cameras_motion_is_no_unrest_and_flicker_is(tmp_path, texture):
    recipe = recipe_of("zoom", "camera.zoom=1.6", "camera.wander=0")
    calm = journey(texture, recipe, 12)
    flickering = [np.clip(frame.astype(int) + 12 * (-1) ** k, 0, 255).astype(np.uint8) for k, frame in enumerate(calm)]
    still = measured(write_film(tmp_path / "calm.mp4", calm, recipe=recipe)).unrest
    restless = measured(write_film(tmp_path / "flicker.mp4", flickering, recipe=recipe)).unrest
    standing = recipe_of("zoom", "camera.zoom=1", "camera.wander=0")
    unknown = measured(write_film(tmp_path / "unknown.mp4", calm, recipe=standing)).unrest
    assert still < 4 < unknown
    assert 18 < restless < 28


def test_a_video_is_as_steady_as_its_source_and_flicker_is_not(tmp_path, texture):
    frames = [np.roll(texture, k, axis=1) for k in range(10)]
    flickering = [
        np.clip(frame.astype(int) + 12 * (-1) ** k, 0, 255).astype(np.uint8) for k, frame in enumerate(frames)
    ]
    source = write_film(tmp_path / "source.mp4", frames)
    recipe = recipe_of("video", frames=10, inputs={"clip": (source, file_sha256(source))}, facts={"cuts": []})
    same = measured(write_film(tmp_path / "same.mp4", frames, recipe=recipe), source=source)
    restless = measured(write_film(tmp_path / "flicker.mp4", flickering, recipe=recipe), source=source)
    assert same.unrest == pytest.approx(same.source_unrest, abs=0.5)
    assert restless.source_unrest == pytest.approx(same.source_unrest, abs=0.5)
    assert restless.unrest > same.unrest + 10
    assert measured(tmp_path / "same.mp4", source=tmp_path / "flicker.mp4").unrest is None  # another than it was
    assert measured(tmp_path / "same.mp4", source=tmp_path / "gone.mp4").unrest is None


def test_a_cut_is_no_unrest(tmp_path, texture):
    frames = [texture] * 5 + [texture[::-1, ::-1].copy()] * 5
    source = write_film(tmp_path / "source.mp4", frames)
    held = {"clip": (source, file_sha256(source))}
    for name, cuts in (("known", [5]), ("unknown", [])):
        recipe = recipe_of("video", frames=10, inputs=held, facts={"cuts": cuts})
        write_film(tmp_path / f"{name}.mp4", frames, recipe=recipe)
    known, unknown = (measured(tmp_path / f"{name}.mp4", source=source).unrest for name in ("known", "unknown"))
    assert known < 2 < unknown


SLOW = 4
"""Frames a second where a film has to last a while: drift is told of whole seconds."""


def darkening(texture):
    return [(texture * (1 - 0.5 * k / 15)).astype(np.uint8) for k in range(16)]


def test_drift_is_what_strays_most_and_short_films_have_none(tmp_path, texture):
    darker = darkening(texture)
    assert measured(write_film(tmp_path / "long.mp4", darker, rate=SLOW)).drift > 0.2
    assert measured(write_film(tmp_path / "steady.mp4", [texture] * 16, rate=SLOW)).drift < 0.03
    assert measured(write_film(tmp_path / "short.mp4", darker)).drift is None


def test_drift_of_a_video_is_what_its_source_does_not_do_itself(tmp_path, texture):
    darker = darkening(texture)
    source = write_film(tmp_path / "source.mp4", darker, rate=SLOW)
    inputs = {"clip": (source, file_sha256(source))}
    recipe = recipe_of("video", frames=16, rate=SLOW, inputs=inputs, facts={"cuts": []})
    same = measured(write_film(tmp_path / "same.mp4", darker, rate=SLOW, recipe=recipe), source=source)
    assert same.drift < 0.03
    bright = measured(write_film(tmp_path / "bright.mp4", [texture] * 16, rate=SLOW, recipe=recipe), source=source)
    assert bright.drift > 0.2
    assert bright.drifting in ("luma", "contrast", "sharpness")
    assert measured(tmp_path / "same.mp4", source=tmp_path / "gone.mp4").drift is None


def test_measuring_stops_when_asked(tmp_path, texture):
    film = write_film(tmp_path / "a.mp4", turning(texture))
    with pytest.raises(Interrupted):
        measured(film, should_stop=lambda: True)


def test_a_film_without_frames_that_can_be_read_is_bad_input(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no film")
    with pytest.raises(BadInput, match=r"a\.mp4"):
        middle(tmp_path / "a.mp4")
