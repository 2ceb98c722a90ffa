"""Pages on their one base: what each has, that one file is all of it, and that a page of somebody else is one too."""

import base64
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace as Record

import cv2
import numpy as np
import pytest
from jinja2 import UndefinedError

from pipelines.look.classify.classify import Answer, ClassifyReport
from pipelines.look.demo import DemoClip
from pipelines.pages import page as pages
from pipelines.pages.page import frame, render
from pipelines.texts.adding import TextsReport
from tests.pipelines.pages.browser import needs_browser, picture, width_in

TEMPLATES = Path(pages.__file__).parent / "templates"
TOY = """{% extends "_base.html" %}
{% from "_parts.html" import row %}
{% block title %}Toys{% endblock %}
{% block body %}{% for name, share in toys.items() %}{{ row(name, share, "so much") }}{% endfor %}{% endblock %}
"""
LONG = "_".join(["a_name_without_any_blank"] * 4)
WIDE = np.zeros((120, 320, 3), np.uint8)


def classify() -> str:
    answers = (Answer(LONG, 0.7, "map", (LONG, "b", "c"), 0.1), Answer("welding metal", 0.3, "classifier", ("b",), 0.0))
    report = ClassifyReport("c.mp4", answers, ((LONG, 0.5),), (("thing", 0.9),), "names", 0, 1.0)
    return render("classify", report=report, frames=[frame(WIDE)] * 6, file=f"{LONG}.mp4")


def demo() -> str:
    clip = DemoClip(LONG, (("a class of Kinetics", 0.5),), (("thing", 0.9),), ((LONG, 0.5, "map"),))
    sets = [Record(name=LONG, key="0" * 64, snapshot=LONG, recipe=Record(weights="0" * 64))]
    return render("demo", cards=[{"clip": clip, "frames": [frame(WIDE)] * 4}], sets=sets, snapshots="s", videos=1)


def extraction() -> str:
    texts = TextsReport(9, 8, 1, 0, 8, (LONG, "b"), 1, {LONG: 1}, ((f"/data/{LONG}", 7, "no JSON"),), {LONG: 2})
    recipe = {"weights": "0" * 64, "sampling": {"clips": 8, "stride": None}}
    counts = Record(planned=5, extracted=4, failed=1, quarantined=0, skipped=2)
    made = {"items": 4, "rows": 4, "megabytes": 0.5, "recipe": recipe, "key": "0" * 64, "snapshot": LONG}
    lost = Record(file=f"/data/{LONG}", feature=LONG, error="NotAVideo", reason=f"{LONG} ends early", attempts=3)
    return render(
        "extraction",
        config=Record(dataset=LONG, precision="fp32", device="cpu"),
        report=Record(decoded=5, seconds=2.0),
        root=f"/data/{LONG}",
        texts=texts,
        when="today",
        sets=[{"name": LONG, "environment": {"torch": LONG}, "counts": counts, **made}],
        rate=2.0,
        reasons=[{"name": LONG, "count": 1, "share": 1.0}],
        lost=[lost],
        more=1,
    )


def phrases() -> str:
    names = [f"{LONG} {k}" for k in range(60)]
    cells = [{"x": k, "y": 59 - k, "count": 1, "a": names[k], "b": names[59 - k]} for k in range(60)]
    shared = [("run up", tuple(names)), (LONG, (names[0],))]
    given = {"shared": shared, "phrases": 2, "by_class": {name: ["run up"] for name in names}}
    return render("phrases", name=LONG, classes=60, linked=names, cells=cells, most=1, **given)


def toy(folder: Path) -> str:
    (folder / "toy.html").write_text(TOY)
    return render(folder / "toy.html", toys={"ball": 0.25, "<kite>": 1.5})


PAGES = {made.__name__: made for made in (classify, demo, extraction, phrases)}


def test_a_page_from_outside_is_one_template_and_stands_on_the_base(tmp_path):
    page = toy(tmp_path)
    assert "<title>zsar: Toys</title>" in page
    assert "<h1>Toys</h1>" in page
    assert re.findall(r"<span>(.*?)</span>.*?width:([\d.]+)%", page) == [("ball", "25.0"), ("&lt;kite&gt;", "100.0")]
    own = demo()
    for shared in (r"<style>.*?@media print", r"<p>Written by zsar[^<]*</p>"):
        assert re.search(shared, page, re.S)[0] == re.search(shared, own, re.S)[0]


def test_no_page_has_a_head_or_colours_of_its_own():
    there = sorted(path.stem for path in TEMPLATES.glob("[!_]*.html"))
    assert there == sorted([*PAGES, "audit", "network", "query", "run", "table"])
    for name in there:
        text = (TEMPLATES / f"{name}.html").read_text()
        assert text.startswith('{% extends "_base.html" %}')
        assert not re.search(r"<(head|style|main|footer|h1)\b|#[0-9a-f]{3,6}\b|prefers-color-scheme", text)


def test_pages_that_lead_to_one_another_have_the_same_look():
    there = [path for path in (TEMPLATES / "serve").glob("*.html") if "extends" in path.read_text()]
    assert len(there) > 8
    for path in there:
        parent = "_base.html" if path.stem == "_page" else "serve/_page.html"
        assert path.read_text().startswith(f'{{% extends "{parent}" %}}')
        assert not re.search(r"<(head|style|main|footer|h1)\b|#[0-9a-f]{3,6}\b|prefers-color-scheme", path.read_text())


def test_control_characters_are_spelt_out(tmp_path):
    (tmp_path / "toy.html").write_text(TOY)
    page = render(tmp_path / "toy.html", toys={"a\x1b[31m\u202eb": 0.25, "two\nlines": 0.5})
    assert "a\\x1b[31m\\u202eb" in page
    assert "two\nlines" in page
    assert not re.search("[\x1b\u202e]", page)


@pytest.mark.parametrize("told", ["{{ toys.count }}", "{% if toys.count != 1 %}s{% endif %}", "{{ lacking }}"])
def test_what_a_template_names_and_is_not_given_is_an_error(tmp_path, told):
    (tmp_path / "toy.html").write_text(told)
    with pytest.raises(UndefinedError):
        render(tmp_path / "toy.html", toys={"a": 1})
    (tmp_path / "toy.html").write_text("{% if lacking %}there{% else %}not{% endif %}")
    assert render(tmp_path / "toy.html") == "not"


@pytest.mark.parametrize("made", PAGES.values(), ids=PAGES)
def test_a_page_is_one_file_that_loads_nothing(made: Callable[[], str]):
    page = made()
    assert not re.search(r"<(script|link|iframe)\b|@import|url\(|\b(src|href)=(?!\"data:)", page)
    assert page.count("<html") == page.count("<style>") == page.count("<h1>") == page.count("<footer>") == 1
    assert "<h1></h1>" not in page


def test_a_frame_is_a_picture_of_the_quality_asked_for():
    rgb = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    rgb[:20] = (250, 10, 10)
    fine, coarse = frame(rgb), frame(rgb, 20)
    assert len(fine) > 1.5 * len(coarse)
    read = cv2.imdecode(np.frombuffer(base64.b64decode(fine.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)
    assert read.shape == rgb.shape
    assert np.abs(read[4, 4].astype(int) - [10, 10, 250]).max() < 12, "red is red"


@pytest.mark.heavy
@needs_browser
@pytest.mark.parametrize("made", PAGES.values(), ids=PAGES)
def test_a_page_fits_a_phone_and_follows_light_and_dark(made: Callable[[], str], tmp_path):
    (tmp_path / "page.html").write_text(made())
    url = (tmp_path / "page.html").as_uri()
    assert [width_in(url, tmp_path, width) for width in (390, 1280)] == [390, 1280]
    corner = [picture(url, tmp_path, (1280, 900), dark)[2, 2].mean() for dark in (False, True)]
    assert corner[0] > 230
    assert corner[1] < 60
