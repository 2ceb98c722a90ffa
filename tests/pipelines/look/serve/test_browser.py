"""The pages in a real browser, by clicks and keys: a phrase, a segment that plays, the plot, a class, a run."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stores.root import Root
from stores.runs import Runs
from tests.pipelines import studies
from tests.pipelines.look.serve.conftest import TOLD_OF

pytest.importorskip("playwright", reason="playwright is not installed: `make` installs it")
pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")

SERVE = """
import extractors, sys
extractors.EXTRACTORS |= {"fake": "tests.fake:FakeExtractor", "fake_text": "tests.fake:FakeTextExtractor"}
from pipelines.command.main import main
sys.argv = ["zsar", "serve", "--port", "0", "--device", "cpu", "--root", sys.argv[1]]
main()
"""


@pytest.fixture
def url(served: Root) -> Iterator[str]:
    """The command, as a process of its own; Ctrl-C ends it without a word."""
    here = Path(__file__).parents[4]
    environment = os.environ | {"PYTHONPATH": str(here)}
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, served.url],
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
            lambda request: faults.append(request.url) if not request.url.startswith((url, "data:")) else None,
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
    page.wait_for_selector("circle")
    point = page.locator("circle", has=page.locator("title", has_text=re.compile("^f2: ")))
    point.nth(2).dispatch_event("click")
    beside = page.locator("#beside article")
    beside.wait_for()
    assert "f2" in beside.inner_text()
    film = beside.locator("video")
    begins = float(re.search(r"#t=([\d.]+)", film.get_attribute("src"))[1])  # type: ignore[index]
    assert begins > 0.5
    film.evaluate("film => film.play()")
    assert played(page, film, begins) >= begins - 0.05

    # by keys: an arrow leads to another point, Enter shows it
    page.locator("#drawing svg").focus()
    first = page.locator("#point").inner_text()
    for key in ("ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown"):
        page.keyboard.press(key)
        if page.locator("circle.chosen").get_attribute("data-card") != point.nth(2).get_attribute("data-card"):
            break
    page.keyboard.press("Enter")
    named = page.locator("#point").inner_text().split(":")[0]
    page.wait_for_function("name => document.querySelector('#beside').innerText.includes(name)", arg=named)
    assert first

    # a label alone is lit
    page.click(".labels button:has-text('golf')")
    assert page.locator("circle.lit").count() == 3

    # more like this, of a film that browsers do not play: its segment is made anew and begins at nought
    page.locator("circle.lit").first.dispatch_event("click")
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
    for place in ("", "?q=abc", "plot", "classes", "class?name=archery", "data", "runs", f"run?name={run}", "failures"):
        page.goto(url + place)
        if place == "plot":
            page.wait_for_selector("circle")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, place
        ink, paper = page.evaluate(
            "['color', 'backgroundColor'].map(name => Number(getComputedStyle(document.body)[name].match(/\\d+/)[0]))"
        )
        assert (ink < 128 < paper) if scheme == "light" else (paper < 128 < ink), place
