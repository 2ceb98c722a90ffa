"""The pages in a real browser, by clicks and keys: a phrase, a segment that plays, the plot, a class, a run."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.index.settings import IndexConfig
from pipelines.index.videos import index
from pipelines.look.given_labels import given_labels
from stores.manifest import Manifest
from stores.root import Root
from stores.runs import Runs
from stores.selections import Selections
from tests.pipelines import studies
from tests.pipelines.look.serve.conftest import TOLD_OF

pytest.importorskip("playwright", reason="playwright is not installed: `make` installs it")
pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")

SERVE = """
import extractors, sys
extractors.EXTRACTORS |= {"fake": "tests.fake:FakeExtractor", "fake_text": "tests.fake:FakeTextExtractor"}
from pipelines.command.main import main
sys.argv = ["zsar", "serve", "--port", "0", "--device", "cpu", "--root", *sys.argv[1:]]
main()
"""


@pytest.fixture
def url(served: Root, request: pytest.FixtureRequest) -> Iterator[str]:
    """The command, as a process of its own; Ctrl-C ends it without a word."""
    options = getattr(request, "param", ())
    here = Path(__file__).parents[4]
    environment = os.environ | {"PYTHONPATH": str(here)}
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, served.url, *options],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stderr is not None
    told = process.stderr.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+/", told)
    assert found, told + process.stderr.read()
    yield found[0]
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")


@pytest.fixture
def page(url: str) -> Iterator[Any]:
    """A page of the browser that fails the test where a script or a request does."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda told: faults.append(told.text) if "Security Policy" in told.text else None)
        page.on("response", lambda told: faults.append(f"{told.status} {told.url}") if told.status >= 400 else None)
        page.on(
            "request",
            lambda request: faults.append(request.url) if not request.url.startswith((url, "data:", "blob:")) else None,
        )
        page.goto(url)
        yield page
        browser.close()
    assert faults == []


def played(page: Any, film: Any, begins: float = 0.0) -> float:
    """Wait until a film has moved on from where it begins; gives where it began to play."""
    moved = "([film, at]) => film.played.length > 0 && film.currentTime > at + 0.05"
    page.wait_for_function(moved, arg=[film.element_handle(), begins])
    return float(film.evaluate("film => film.played.start(0)"))


class Plane:
    """The plot of a page: where its points are on the screen, and what is painted there."""

    def __init__(self, page: Any) -> None:
        self.page, self.canvas = page, page.locator("canvas.over")
        self.canvas.wait_for()
        self.canvas.scroll_into_view_if_needed()
        drawing = "document.querySelector('[data-from]').dataset.from"
        self.told = page.evaluate(f"async () => (await fetch({drawing})).json()")
        page.wait_for_timeout(100)

    def of(self, name: str) -> list[int]:
        """The numbers of the points of a video."""
        return [at for at, item in enumerate(self.told["item"]) if self.told["items"]["video_id"][item] == name]

    def place(self, at: int) -> tuple[float, float]:
        """Where a point is on the screen, where nothing was enlarged."""
        box = self.canvas.bounding_box()
        scale = box["width"] / self.told["width"]
        return box["x"] + self.told["x"][at] * scale, box["y"] + self.told["y"][at] * scale

    def chosen(self) -> int:
        """The number of the chosen point."""
        return int(self.canvas.get_attribute("data-chosen"))

    def colours(self) -> dict[int, tuple[int, ...]]:
        """What is painted where each point is, of those that no other one covers."""
        asked = [[x / self.told["width"], y / self.told["height"]] for x, y in self._places()]
        script = """places => {
            const canvas = document.querySelector(".canvases canvas"), pen = canvas.getContext("2d");
            return places.map(([x, y]) => [...pen.getImageData(x * canvas.width, y * canvas.height, 1, 1).data]);
        }"""
        found = self.page.evaluate(script, asked)
        apart = [
            at
            for at, one in enumerate(self._places())
            if all(abs(one[0] - a) + abs(one[1] - b) > 30 for n, (a, b) in enumerate(self._places()) if n != at)
        ]
        return {at: tuple(found[at]) for at in apart}

    def _places(self) -> list[tuple[float, float]]:
        return list(zip(self.told["x"], self.told["y"], strict=True))


def test_everything_can_be_clicked_through(page, served):
    # a phrase, typed without the pointer
    page.keyboard.press("Escape")
    page.locator("h1").click()
    page.keyboard.press("/")
    page.keyboard.type(studies.letters(0))
    page.keyboard.press("Enter")
    page.wait_for_url("**q=abc**")
    assert page.locator("article.card").count() == 12

    # the film of a caption plays
    page.fill("input[name=label]", "archery")
    page.fill("input[name=k]", "100")
    page.click("button.main")
    page.wait_for_url("**label=archery**")
    own = page.locator("article.card", has_text=TOLD_OF).first
    own.focus()
    page.keyboard.press("Enter")
    assert played(page, own.locator("video")) < 0.1

    # a point of the plot shows its clip, which plays at its time
    page.click("nav >> text=Plot")
    page.select_option("select[name=feature]", index=0)
    page.click("button.main")
    plane = Plane(page)
    third = plane.of("f2")[2]
    page.mouse.click(*plane.place(third))
    beside = page.locator("#beside article")
    beside.wait_for()
    assert "f2" in beside.inner_text()
    film = beside.locator("video")
    begins = float(re.search(r"#t=([\d.]+)", film.get_attribute("src"))[1])  # type: ignore[index]
    assert begins > 0.5
    film.evaluate("film => film.play()")
    assert played(page, film, begins) >= begins - 0.05
    assert page.locator("#point").inner_text() == "f2: archery"

    # by keys: an arrow leads to another point, Enter shows it
    plane.canvas.focus()
    for key in ("ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown"):
        page.keyboard.press(key)
        if plane.chosen() != third:
            break
    assert plane.chosen() != third
    page.keyboard.press("Enter")
    named = page.locator("#point").inner_text().split(":")[0]
    page.wait_for_function("name => document.querySelector('#beside').innerText.includes(name)", arg=named)

    # a label alone is lit: other points are grey and cannot be chosen
    before = plane.colours()
    page.click(".labels button:has-text('golf')")
    page.wait_for_timeout(100)
    after = plane.colours()
    assert {at for at in before if before[at] != after[at]} == set(before) - set(plane.of("old"))
    page.mouse.click(*plane.place(third))
    assert plane.chosen() != third

    # more like this, of a film that browsers do not play: its segment is made anew and begins at nought
    page.mouse.click(*plane.place(plane.of("old")[0]))
    page.wait_for_function("() => document.querySelector('#beside').innerText.includes('old')")
    film = beside.locator("video")
    assert "/segment/" in film.get_attribute("src")
    film.evaluate("film => film.play()")
    assert played(page, film) < 0.1
    beside.locator("text=more like this").click()
    page.wait_for_url("**like=old**")
    assert page.locator("h1").inner_text().startswith("like old@")

    # a class, and a run that judged it
    page.click("nav >> text=Classes")
    page.click("main >> text=golf")
    page.wait_for_url("**/class?name=golf")
    (run,) = Runs(served).names()
    page.click(f"text={run}")
    page.wait_for_url("**/run?name=**")
    assert page.locator("h1").inner_text() == run
    assert page.locator("#confusion svg").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_phone_and_follow_light_and_dark(page, url, scheme, served):
    (run,) = Runs(served).names()
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 390, "height": 800})
    for place in (
        "",
        "?q=abc",
        "plot",
        "classes",
        "audit?dataset=films",
        "class?name=archery",
        "data",
        "runs",
        f"run?name={run}",
        "failures",
    ):
        page.goto(url + place)
        if place == "plot":
            plane = Plane(page)
            assert len(set(plane.colours().values())) > 2
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, place
        ink, paper = page.evaluate(
            "['color', 'backgroundColor'].map(name => Number(getComputedStyle(document.body)[name].match(/\\d+/)[0]))"
        )
        assert (ink < 128 < paper) if scheme == "light" else (paper < 128 < ink), place


# -- marking ----------------------------------------------------------------------------------------------------------


def marked(page: Any) -> int:
    """How many the tray counts."""
    text = page.locator("#marked").inner_text() if page.locator("#tray").is_visible() else "0"
    return int(text.split()[0])


def around(plane: Plane, names: tuple[str, ...]) -> list[tuple[float, float]]:
    """The corners of a rectangle around the points of some videos, on the screen."""
    places = [plane.place(at) for name in names for at in plane.of(name)]
    (left, right), (top, bottom) = ((min(each) - 6, max(each) + 6) for each in zip(*places, strict=True))
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def within(plane: Plane, corners: list[tuple[float, float]]) -> set[int]:
    """The points inside a rectangle on the screen."""
    (left, top), _, (right, bottom), _ = corners
    places = {at: plane.place(at) for at in range(len(plane.told["x"]))}
    return {at for at, (x, y) in places.items() if left < x < right and top < y < bottom}


def test_points_are_marked_by_keys_a_rectangle_and_a_lasso(page, url):
    page.goto(url + "plot?feature=fake")
    plane = Plane(page)
    plane.canvas.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press(" ")
    assert marked(page) == 1
    assert page.locator("#point").inner_text().endswith(", marked")
    page.keyboard.press(" ")
    assert marked(page) == 0

    page.click("[data-tool=rectangle]")
    corners = around(plane, ("f0",))
    page.mouse.move(*corners[0])
    page.mouse.down()
    page.mouse.move(*corners[2], steps=4)
    page.mouse.up()
    inside = within(plane, corners)
    assert marked(page) == len(inside) >= 3
    page.check("[name=away]")
    page.mouse.move(*corners[2])
    page.mouse.down()
    page.mouse.move(*corners[0], steps=4)
    page.mouse.up()
    assert marked(page) == 0
    page.uncheck("[name=away]")

    page.click("[data-tool=lasso]")
    (x, y) = plane.place(plane.of("f0")[0])  # a triangle about one point alone
    near = [at for at in range(18) if abs(plane.place(at)[0] - x) < 9 and abs(plane.place(at)[1] - y) < 9]
    page.mouse.move(x - 9, y + 6)
    page.mouse.down()
    for corner in ((x, y - 9), (x + 9, y + 6)):
        page.mouse.move(*corner, steps=3)
    page.mouse.up()
    assert 1 <= marked(page) <= len(near)

    # what is not lit is not taken
    page.click("#tray summary")
    page.click("#unmark")
    page.click(".labels button:has-text('golf')")
    page.click("[data-tool=rectangle]")
    box = plane.canvas.bounding_box()
    page.mouse.move(box["x"] + 1, box["y"] + 1)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 1, box["y"] + box["height"] - 1, steps=3)
    page.mouse.up()
    assert marked(page) == len(plane.of("old")) == 3

    # closer, and a drag moves what is seen
    page.click("[data-tool=point]")
    page.click("[data-zoom='1.5']")
    page.click("[data-zoom='1.5']")
    assert "near" in page.locator(".canvases").get_attribute("class")
    before = page.evaluate("document.querySelector('.canvases canvas').toDataURL()")
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 120, box["y"] + 160, steps=3)
    page.mouse.up()
    page.wait_for_timeout(100)
    assert page.evaluate("document.querySelector('.canvases canvas').toDataURL()") != before


def test_a_finger_draws_a_lasso(page, url):
    phone = page.context.browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    page = phone.new_page()
    page.goto(url + "plot?feature=fake")
    plane = Plane(page)
    page.tap("[data-tool=lasso]")
    plane.canvas.scroll_into_view_if_needed()
    box = plane.canvas.bounding_box()
    edge = [(3, 3), (box["width"] - 3, 3), (box["width"] - 3, box["height"] - 3), (3, box["height"] - 3)]
    touch = phone.new_cdp_session(page)

    def send(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": box["x"] + x, "y": box["y"] + y} for x, y in places]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    scrolled = page.evaluate("scrollY")
    send("touchStart", edge[0])
    for corner in edge[1:]:
        send("touchMove", corner)
    send("touchEnd")
    page.wait_for_selector("#tray:not([hidden])")
    assert marked(page) == 18
    assert page.evaluate("scrollY") == scrolled
    page.tap("[data-tool=point]")
    page.touchscreen.tap(*plane.place(plane.of("f2")[0]))
    page.wait_for_function("() => document.querySelector('#beside article')")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    phone.close()


def test_marks_are_kept_labelled_and_taken_out_as_a_table(page, url, served, tmp_path):
    assert page.locator("#tray").is_hidden()
    page.goto(url + "?like=f0&feature=fake&k=50")
    own = page.locator("article.card", has_text="f1").first
    own.focus()
    page.keyboard.press(" ")
    page.locator("article.card", has_text="f2").first.locator(".mark").click()
    assert marked(page) == 2
    assert own.locator(".mark").get_attribute("aria-pressed") == "true"
    page.click("#tray summary")
    page.fill("#labelling input", 'open, a "door"')
    page.click("#give")
    assert page.locator("#give").is_disabled()

    page.goto(url + "class?name=golf")  # they are kept from page to page
    assert marked(page) == 2
    page.click("#mark-all") if page.locator("#mark-all").count() else page.click(".card .mark")
    page.click("#tray summary")
    several = marked(page)
    assert several > 2
    assert page.locator("#groups details").count() == 2
    assert page.locator("#saving button").count() == 0
    with page.expect_download() as download:
        page.click("#csv")
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    rows = given_labels(str(path)).to_pylist()
    assert {(row["dataset"], row["video_id"], row["label"]) for row in rows} >= {
        ("films", "f1", 'open, a "door"'),
        ("films", "f2", 'open, a "door"'),
        ("films", "old", "golf"),
    }
    assert all(row["start_s"] is None for row in rows)
    page.fill("#saving [name=name]", "doors")
    command = page.locator("#command").inner_text()
    ran(command, tmp_path)
    assert Selections(served).names() == ["doors"]
    labels = Manifest(served).read("doors")
    held = dict(zip(labels["video_id"].to_pylist(), labels["label"].to_pylist(), strict=True))
    assert (held["f1"], held["old"]) == ('open, a "door"', "golf")

    # each segment an item of its own: times, which `zsar index` reads too
    page.check("[name=parts]")
    with page.expect_download() as download:
        page.click("#csv")
    download.value.save_as(path)
    rows = [row for row in given_labels(str(path)).to_pylist() if row["video_id"] in ("f1", "f2")]
    assert all(0 <= row["start_s"] < row["end_s"] for row in rows)
    films = next(
        Path(uri).parent for uri in Manifest(served).read("films")["uri"].to_pylist() if uri.endswith("f1.mp4")
    )
    reading = read_layout(str(films), str(path))
    assert reading["f1#0"] == reading["f2#0"] == 'open, a "door"'
    assert reading["old"] == "golf"

    page.locator("#groups summary", has_text="open").click()
    page.locator("#groups >> text=take this label off").click()
    assert page.locator("#give").is_enabled()
    page.click("#unmark")
    assert page.locator("#tray").is_hidden()
    page.reload()
    assert page.locator("#tray").is_hidden()


def ran(command: str, folder: Path) -> None:
    """Run a command that a page tells, in the folder where its file lies."""
    own = f"cd {folder} && {sys.executable} -m pipelines.command {command.removeprefix('zsar ')}"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[4])}
    done = subprocess.run(["bash", "-c", own], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def read_layout(folder: str, labels: str) -> dict[str, str | None]:
    """What `zsar index FOLDER --labels LABELS` makes of the films there: item to label."""
    with tempfile.TemporaryDirectory() as scratch:
        index(IndexConfig((folder,), "again", labels=(labels,)), Root(scratch))
        rows = Manifest(Root(scratch)).read("again").to_pylist()
    return {row["video_id"]: row["label"] for row in rows}


@pytest.mark.parametrize("url", [("--edit",)], indirect=True)
def test_started_with_edit_the_page_saves(page, url, served):
    page.goto(url + "?like=f0&feature=fake&k=50")
    page.click("#mark-all")
    page.click("#tray summary")
    page.fill("#labelling input", "a film")
    page.click("#give")
    page.fill("#saving [name=name]", "mine")
    page.click("#saving button")
    page.wait_for_function("() => document.querySelector('#saved').innerText.includes('mine@1')")
    own = Manifest(served).read("mine")
    assert set(own["label"].to_pylist()) == {"a film"}
    assert {"f1", "f2", "f3", "old"} <= set(own["video_id"].to_pylist())
    page.goto(url + "data")
    assert "mine@1" in page.locator("main").inner_text()


@pytest.mark.parametrize("url", [("--edit",)], indirect=True)
def test_doubts_of_an_audit_are_decided(page, url, served, tmp_path):
    page.click("nav >> text=Audit")
    page.select_option("select[name=dataset]", "films")
    page.click("button.main")
    page.wait_for_url("**dataset=films**")
    doubts = page.locator(".doubt")
    assert page.locator("#decided").is_hidden()
    names = [json.loads(each.get_attribute("data-about"))["video_id"] for each in doubts.all()]
    first = names[0]
    doubts.first.locator("[name=label]").fill("a, dance")
    doubts.first.locator("[value=label]").check()
    assert page.locator("#count").inner_text() == "1 other label, 0 left out, 0 kept as they are"
    page.reload()  # what was decided is there again
    assert doubts.first.locator("[value=label]").is_checked()
    assert doubts.first.locator("[name=label]").input_value() == "a, dance"
    page.fill("#decided [name=name]", "clean")
    page.click("#decided button.main")
    page.wait_for_function("() => document.querySelector('#kept').innerText.includes('clean@1')")
    own = Manifest(served).read("clean@1")
    assert dict(zip(own["video_id"].to_pylist(), own["label"].to_pylist(), strict=True))[first] == "a, dance"

    # the same by the command, and left out
    doubts.first.locator("[value=out]").check()
    assert page.locator("#count").inner_text() == "0 other labels, 1 left out, 0 kept as they are"
    with page.expect_download() as download:
        page.click("#decisions")
    download.value.save_as(tmp_path / download.value.suggested_filename)
    ran(page.locator("#cleaning").inner_text(), tmp_path)
    own = Manifest(served).read("clean@2")
    films = Manifest(served).read("films")["video_id"].to_pylist()
    assert set(own["video_id"].to_pylist()) == set(films) - {first}
    page.click("#undo")
    assert page.locator("#decided").is_hidden()


@pytest.mark.parametrize("url", [("--password", "a long word")], indirect=True)
def test_who_has_the_password_is_let_in(url):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 800})
        assert page.goto(url + "class?name=archery").status == 401
        page.fill("input[name=password]", "a wrong word")
        page.click("button")
        page.wait_for_selector("text=This is not the password.")
        page.fill("input[name=password]", "a long word")
        page.click("button")
        page.wait_for_url("**/class?name=archery")
        assert page.locator("h1").inner_text() == "archery"
        assert page.evaluate("document.cookie") == ""  # which no script reads
        other = browser.new_page()
        assert other.context != page.context
        other.goto(url + "classes?token=a+long+word")
        other.wait_for_url(url + "classes")
        assert other.locator("h1").inner_text() == "Classes"
        browser.close()
