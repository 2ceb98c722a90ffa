"""The page of a run: what it shows is what was judged and what the head computes, recomputed here in plain loops."""

import html
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from heads.coco import CoCo
from heads.jigsaw import JigsawNet
from heads.nearest import Nearest
from pipelines.command.main import app
from pipelines.errors import UsageError
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from pipelines.index.captions import index_captions
from pipelines.index.settings import IndexConfig
from pipelines.judge.evaluate import evaluate
from pipelines.judge.settings import EvaluateConfig
from pipelines.learn.fit import fit
from pipelines.learn.settings import FitConfig
from pipelines.look.listing import kind_of
from pipelines.look.run import composed as run_composed
from pipelines.look.run import inside as run_inside
from pipelines.look.run import picture as run_picture
from pipelines.look.run.page import Segment, ShownVideo, class_scores, confusion, run_page, shown_videos
from pipelines.pages import figures, matrices
from pipelines.pages.page import frame
from pipelines.texts import phrases
from pipelines.texts.adding import add
from pipelines.texts.settings import TextsConfig
from stores.errors import NotInStore
from stores.keys import text_key
from stores.manifest import Manifest
from stores.root import Root
from stores.runs import Runs
from tests.pipelines import studies
from tests.pipelines.pages.browser import needs_browser, picture, width_in

pytestmark = pytest.mark.usefixtures("fake")
LONG = "hold an extraordinarily long & <winding> name without any end in sight"
CLASSES = ["jump rope", "walk dog", "ski hill", "brush teeth", "play piano", LONG]
SEEN = CLASSES[:3]
PHRASES = {name: [f"{word} {name[::-1]}" for word in ("lift", "turn", "buzz")] for name in CLASSES}
OPTIONS = ("epochs=1", "schedule=constant", "optimiser=adam", "lr=1e-3", "batch=8")
RUNS = {"jigsaw": (*OPTIONS, "heads=3"), "coco": (*OPTIONS, "warmup_steps=0"), "nearest": ("texts=class",)}
RUNS["transfer"] = ("constraints=II+III", "theta=0.9", "rho=2")


def add_texts(root: Root, folder: Path) -> None:
    (folder / "classes.txt").write_text("\n".join(CLASSES))
    add(TextsConfig((str(folder / "classes.txt"),), "class", "d"), root)
    (folder / "phrases.json").write_text(json.dumps(PHRASES))
    add(TextsConfig((str(folder / "phrases.json"),), "phrase", "d"), root)
    said = {name: [f"somebody {name}s", f"they {name} quickly"] for name in CLASSES}
    (folder / "said.json").write_text(json.dumps(said))
    add(TextsConfig((str(folder / "said.json"),), "description", "d"), root)
    rows = [(text_key(text), text, text, name) for name in CLASSES for text in PHRASES[name]]
    table = pa.Table.from_pylist(
        [dict(zip(phrases.SCHEMA.names, row, strict=True)) for row in rows], schema=phrases.SCHEMA
    )
    root.write_table(table, "phrases", "d.parquet")
    (folder / "protocol.json").write_text(json.dumps({"seen": SEEN, "unseen": CLASSES[3:]}))


@pytest.fixture
def judged(root: Root, tmp_path: Path) -> Callable[[str], str]:
    """Fit and judge a head on 24 videos of two captions each."""
    add_texts(root, tmp_path)
    lines = []
    for number in range(24):
        name, other = CLASSES[number % 6], CLASSES[3 + number % 7 % 3]
        captions = [f"a person {name} zz{'qz'[number % 2]}", f"then {other} {other} mm {chr(97 + number)}"]
        lines.append({"video": f"v{number:02d}", "class": name, "captions": captions})
    path = tmp_path / "captions.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    index_captions(IndexConfig((str(path),), "d"), root)
    extract(ExtractConfig(("fake_text",), "d"), root)

    def make(head: str) -> str:
        protocol = str(tmp_path / "protocol.json")
        config = FitConfig(head, "d", "fake_text", protocol, options=RUNS[head], k=0, device="cpu", workers=1)
        run = fit(config, root).run
        evaluate(EvaluateConfig(run), root)
        return run

    return make


def rows_of(root: Root, run: str) -> list[dict]:
    return Runs(root).read(run, "judged").to_pylist()


def section(page: str, name: str) -> str:
    return page.partition(f'id="{name}"')[2].partition("</section>")[0]


def cells_of(part: str) -> list[list[str]]:
    """The cells of a table's body, as text."""
    bodies = "".join(re.findall(r"<tbody>(.*?)</tbody>", part, re.S))
    rows = re.findall(r"<tr>(.*?)</tr>", bodies, re.S)
    return [
        [html.unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in re.findall(r"<td.*?>(.*?)</td>", row, re.S)]
        for row in rows
    ]


def read(url: str) -> str:
    return Path(unquote(urlsplit(url).path)).read_text()


def test_bars_say_what_was_judged(root, judged):
    run = judged("jigsaw")
    page = read(run_page(run, root))
    shown = cells_of(section(page, "classes"))
    widths = [float(w) for w in re.findall(r"width:([\d.]+)%", section(page, "classes"))]
    assert len(shown) == 3
    for (name, _, percent, n, taken_for), width in zip(shown, widths, strict=True):
        own = [row for row in rows_of(root, run) if row["label"] == name]
        right = sum(row["best"][0] == name for row in own)
        assert (int(n), width) == (len(own), pytest.approx(100 * right / len(own), abs=0.05))
        assert percent == f"{width:.1f}\u00a0%"
        others = [row["best"][0] for row in own if row["best"][0] != name]
        if others:
            count = max(others.count(other) for other in others)
            assert taken_for in {f"{other} ({count})" for other in others if others.count(other) == count}
        else:
            assert taken_for == "never"
    assert widths == sorted(widths, reverse=True)
    assert len({row["best"][0] == row["label"] for row in rows_of(root, run)}) == 2, "some right, some wrong"


def test_the_matrix_counts_every_judged_video_once(root, judged):
    run = judged("jigsaw")
    rows = rows_of(root, run)
    page = section(read(run_page(run, root)), "confusion")
    told = re.findall(r"<rect [^>]*><title>(.*?): (\d+) of (\d+)</title>", page)
    found = {tuple(html.unescape(pair).split(" as ")): (int(count), int(n)) for pair, count, n in told}
    wanted: dict = {}
    for row in rows:
        pair = (row["label"], row["best"][0])
        wanted[pair] = (wanted.get(pair, (0,))[0] + 1, sum(other["label"] == row["label"] for other in rows))
    assert found == wanted
    assert confusion(rows).sum() == len(rows) == 12
    assert [score.right for score in class_scores(rows)] == np.diag(confusion(rows)).tolist()


def test_attention_adds_up_to_one_and_is_that_of_the_equation(root, judged):
    run = judged("coco")
    of = run_inside.trained(run, 0, root)
    assert isinstance(of.head, CoCo)
    with torch.no_grad():
        seen, unseen = (of.head.class_vectors(of.study.told(k)).double() for k in (of.seen, of.unseen))
    tau, names = of.head.options.tau, [of.study.classes[k] for k in of.seen]
    told = run_inside.attention(of, top=2)
    assert [a.name for a in told] == names
    for j, a in enumerate(told):
        assert sum(weight for _, weight in a.top) + a.others == pytest.approx(1)
        there = [float(torch.exp(seen[j] @ z / tau)) for z in unseen]
        forward = sum(w / sum(there) * z for w, z in zip(there, unseen, strict=True))
        back = [float(torch.exp(forward @ z / tau)) for z in seen]
        wanted = sorted(((b / sum(back), n) for b, n in zip(back, names, strict=True)), reverse=True)[:2]
        assert [name for name, _ in a.top] == [name for _, name in wanted]
        assert [weight for _, weight in a.top] == pytest.approx([w for w, _ in wanted], abs=1e-5)
    page = cells_of(section(read(run_page(run, root)), "attention"))
    assert [row[0] for row in page] == names
    assert all(
        sum(float(re.search(r"([\d.]+)\D*$", cell)[1]) for cell in row[1:]) == pytest.approx(100, abs=0.3)
        for row in page
    )


def test_the_phrase_that_won_is_the_most_similar_one(root, judged):
    run = judged("jigsaw")
    of = run_inside.trained(run, 0, root)
    assert isinstance(of.head, JigsawNet)
    page = html.unescape(section(read(run_page(run, root)), "segments"))
    videos = shown_videos(of, rows_of(root, run), root)
    assert {video.wrong for video in videos} == {True, False}
    for video in videos:
        row = of.study.videos.ids.index(video.video_id)
        assert len(video.segments) == 2
        with torch.no_grad():
            segments = of.head.groups(of.study.batch(np.array([row])))[1][0]
        texts = of.study.texts
        for x, segment in enumerate(video.segments):
            for name, phrase, similarity in (
                (video.best, segment.phrase, segment.similarity),
                (video.label, segment.own_phrase, segment.own_similarity),
            ):
                of_class = [p for p, said in enumerate(texts.said["phrase"]) if said in PHRASES[name]]
                with torch.no_grad():
                    projected = of.head.text(texts.tensors.kinds["phrase"].features[of_class])
                similar = [float(segments[x] @ g) for g in projected]
                assert len(similar) == 3
                assert phrase == texts.said["phrase"][of_class[int(np.argmax(similar))]]
                assert similarity == pytest.approx(max(similar), abs=1e-5)
                assert phrase in page
        assert video.segments[0].caption.startswith(f"a person {video.label}")
        assert video.segments[1].caption.startswith("then")


def test_distances_are_those_to_the_nearest_seen_classes(root, judged):
    of = run_inside.trained(judged("nearest"), 0, root)
    texts = of.study.texts.tensors.kinds["class"]

    def vector(name: str) -> np.ndarray:
        k = of.study.classes.index(name)
        mean = np.mean(
            [texts.features[int(t)].numpy() for t, o in zip(texts.text, texts.owner, strict=True) if o == k], 0
        )
        return mean / np.linalg.norm(mean)

    names = CLASSES[3:]
    wanted = [[1 - float(vector(u) @ vector(s)) for s in SEEN] for u in names]
    np.testing.assert_allclose(run_inside.distances(of, names), wanted, atol=1e-6)
    page = section(read(run_page(judged("nearest"), root)), "distance")
    told = re.findall(r"<span>([^<]*) → ([^<]*)</span>.*?<span class=\"n\">([\d.]+)</span>", page)
    closest = sorted((min(row), u, SEEN[int(np.argmin(row))]) for u, row in zip(names, wanted, strict=True))
    found = [(html.unescape(u), s, float(d)) for u, s, d in told]
    assert found == [(u, s, pytest.approx(d, abs=5e-4)) for d, u, s in closest]


@pytest.mark.parametrize("head", RUNS)
def test_the_joint_space_holds_unit_vectors_of_all_classes_and_looks_the_same_twice(root, judged, head):
    of = run_inside.trained(judged(head), 0, root)
    space = run_inside.joint_space(of)
    assert sorted(space.names) == sorted(CLASSES)
    assert {n for n, unseen in zip(space.names, space.is_unseen, strict=True) if unseen} == set(CLASSES[3:])
    for vectors in (space.videos, space.texts):
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(6), abs=1e-5)
    first, again = run_inside.flattened(space), run_inside.flattened(space)
    assert first[0].shape == first[1].shape == (6, 2)
    np.testing.assert_array_equal(np.concatenate(first), np.concatenate(again))
    if head == "nearest":
        own = of.study.videos.of(np.array([of.study.classes.index(space.names[0])]))
        each = of.study.videos.segments[own].mean(1)
        mean = (each / np.linalg.norm(each, axis=1, keepdims=True)).mean(0)
        assert space.videos[0] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)


def test_what_composes_each_unseen_class_is_shown_as_it_was_solved(root, judged):
    run = judged("transfer")
    of = run_inside.trained(run, 0, root)
    told = run_composed.relations(of)
    unseen = [of.study.classes[k] for k in of.unseen]
    wanted = {}
    for j, name in enumerate(unseen):
        taken = [i for i in range(3) if bool(told.chosen[j, i])]
        total = sum(float(told.matrix[j, i]) for i in taken)
        for i in taken:
            share = f"{100 * float(told.matrix[j, i]) / total:.0f} %"
            wanted[name, told.seen[i]] = "kept, nothing was left" if bool(told.kept_nearest[j]) else share
    assert 0 < int(told.kept_nearest.sum()) < 3, "one kind of row each"
    page = section(read(run_page(run, root)), "composed")
    matrix, mask = page.split("</svg>")[:2]
    cells = re.findall(r"<title>([^<]*) of ([^<]*): ([^<]*)</title>", mask)
    assert {tuple(map(html.unescape, cell[:2])): cell[2] for cell in cells} == wanted
    cells = re.findall(r"<title>([^<]*) ~ ([^<]*): (-?[\d.]+)(, taken)?</title>", matrix)
    assert len(cells) == 9
    for row, column, value, taken in cells:
        j, i = unseen.index(html.unescape(row)), told.seen.index(html.unescape(column))
        assert float(value) == pytest.approx(float(told.matrix[j, i]), abs=6e-4)
        assert bool(taken) == bool(told.chosen[j, i])
    kept = [name for name, is_kept in zip(unseen, told.kept_nearest, strict=True) if is_kept]
    assert f"The constraints left nothing for {len(kept)} class" in page
    assert all(html.escape(name) in page for name in kept)


@pytest.mark.parametrize("head", RUNS)
def test_unseen_videos_are_drawn_about_what_stands_for_their_classes(root, judged, head):
    run = judged(head)
    page = section(read(run_page(run, root)), "clouds")
    of = run_inside.trained(run, 0, root)
    own = run_composed.cloud(of)
    unseen = [of.study.classes[k] for k in of.unseen]
    assert own.names == tuple(unseen)
    assert np.bincount(own.of).tolist() == [4, 4, 4]
    with torch.no_grad():
        stars = of.head.class_vectors(of.study.told(of.unseen)).numpy()
    assert own.stars == pytest.approx(stars / np.linalg.norm(stars, axis=1, keepdims=True), abs=1e-6)
    dots = {
        html.unescape(n): d.count("h0") for d, n in re.findall(r'<path d="([^"]*)"[^>]*><title>videos of (.*?)<', page)
    }
    assert dots == dict.fromkeys(unseen, 4)
    assert page.count("<polygon") == 3
    assert "nan" not in page


def test_a_head_that_compares_in_no_space_and_composes_nothing_has_neither_picture(root, judged, monkeypatch):
    run = judged("nearest")
    monkeypatch.setattr(Nearest, "class_vectors", lambda head, classes: None)
    page = read(run_page(run, root))
    assert 'id="confusion"' in page
    assert 'id="clouds"' not in page
    assert 'id="composed"' not in page


def test_of_many_classes_few_are_drawn_and_the_page_says_so():
    rng = np.random.RandomState(0)
    values = rng.uniform(-0.3, 0.9, (160, 100))
    chosen = values > 0.85
    names = [[f"{side} number {k}" for k in range(n)] for side, n in (("unseen", 160), ("seen", 100))]
    drawn = str(matrices.related(values, *names, chosen))
    assert len(drawn) < 450_000
    cells = drawn.count("<title>") + drawn.count("h8") + drawn.count("h9")
    assert cells >= values.size
    key = [float(tick) for tick in re.findall(r'font-size="10" text-anchor="middle">(-?[\d.]+)<', drawn)]
    assert key[0] <= values.min() < values.max() <= key[-1]


def test_names_are_escaped_and_cut_in_drawings(root, judged):
    page = read(run_page(judged("nearest"), root))
    assert "<winding>" not in page
    labels = [html.unescape(label) for label in re.findall(r"<text [^>]*>([^<]*)", section(page, "confusion"))]
    assert max(map(len, labels)) <= 26
    assert html.escape(LONG) in section(page, "confusion")
    assert "<script" not in page
    assert len(page) < 300_000


def test_a_run_whose_texts_changed_keeps_what_was_judged(root, judged, tmp_path):
    run = judged("coco")
    (tmp_path / "more.json").write_text(json.dumps({SEEN[0]: ["one more"]}))
    add(TextsConfig((str(tmp_path / "more.json"),), "description", "d"), root)
    page = read(run_page(run, root))
    assert "stale: texts" in page
    assert 'id="confusion"' in page
    assert 'id="attention"' not in page


def test_frames_stand_for_segments_where_there_are_videos(root, videos, tmp_path):
    add_texts(root, tmp_path)
    table = Manifest(root).read("d")
    Manifest(root).write("d", table.set_column(table.schema.get_field_index("label"), "label", [CLASSES]))
    extract(ExtractConfig(("fake",), "d"), root)
    protocol = str(tmp_path / "protocol.json")
    options = RUNS["jigsaw"]
    config = FitConfig("jigsaw", "d", "fake", protocol, encoder="fake_text", options=options, device="cpu", workers=1)
    run = fit(config, root).run
    evaluate(EvaluateConfig(run), root)
    of = run_inside.trained(run, 0, root)
    shown = shown_videos(of, rows_of(root, run), root)
    assert len(shown) == 3
    assert all(s.frame.startswith("data:image/jpeg;base64,/9j/") for v in shown for s in v.segments)
    assert len({s.frame for s in shown[0].segments}) == 3
    videos[CLASSES.index(shown[0].label)].unlink()
    assert {s.frame for s in shown_videos(of, rows_of(root, run), root)[0].segments} == {""}
    assert 'id="segments"' in read(run_page(run, root))
    with Image.open(run_picture.picture(run, root, tmp_path / "figure.png")) as drawn:
        assert drawn.size[0] == 2 * (2 * 24 + 250 + 3 * (168 + 12))


def test_segments_and_their_phrases_are_one_picture(root, judged, tmp_path):
    run = judged("jigsaw")
    with Image.open(run_picture.picture(run, root, tmp_path / "figure.png")) as drawn:
        assert drawn.size[0] == 2 * (2 * 24 + 250 + 2 * (168 + 12))
    with pytest.raises(UsageError, match=r"--png must end in .png, got '.*figure.jpg'"):
        run_picture.picture(run, root, tmp_path / "figure.jpg")
    with pytest.raises(UsageError, match="cannot be written: No such file or directory"):
        run_picture.picture(run, root, tmp_path / "nowhere" / "figure.png")
    with pytest.raises(UsageError, match="has no segments with phrases of their own to draw"):
        run_picture.picture(judged("nearest"), root, tmp_path / "figure.png")


def test_a_picture_holds_the_frames_where_they_belong_and_tells_right_from_wrong():
    colours = [np.full((84, 84, 3), colour, np.uint8) for colour in ((200, 30, 30), (30, 30, 200))]
    cells = tuple(Segment("", frame(each, 95), "wave an arm", 0.5, "bow", 0.1) for each in colours)
    right, wrong = (ShownVideo("v", "bow down", best, cells, 2) for best in ("bow down", "wave"))
    one, both = (np.asarray(run_picture.draw("a run", told)) for told in ([right], [right, wrong]))
    first = 2 * (24 + 24 + 3 * 17)
    for place, colour in enumerate(colours):
        left = 2 * (24 + 250 + place * 180)
        assert np.abs(one[first + 4 : first + 200, left + 4 : left + 220].astype(int) - colour[0, 0]).max() < 12

    def has(sheet: np.ndarray, colour: tuple[int, int, int]) -> bool:
        return bool((np.abs(sheet.astype(int) - colour).max(2) < 4).any())

    green, orange = (26, 127, 55), (179, 89, 0)
    assert (has(one, green), has(one, orange)) == (True, False)
    assert (has(both, green), has(both, orange)) == (True, True)


def test_mistakes_are_said_in_one_line(root, judged):
    run = judged("nearest")
    with pytest.raises(UsageError, match="was not judged on split 7; it was on 0"):
        run_page(run, root, 7)
    with pytest.raises(NotInStore, match=rf"No feature set matches 'nope'.*fake_text@.*No run .*{run}"):
        kind_of(root, "nope")
    assert kind_of(root, "fake_text") == "feature set"
    assert kind_of(root, "nearest") == "run"
    shutil.copytree(studies.folder_of(root, run), studies.folder_of(root, "fake_text"))
    assert kind_of(root, "fake_text") == "feature set"
    (studies.folder_of(root, run) / "judged.parquet").unlink()
    with pytest.raises(UsageError, match="zsar evaluate"):
        run_page(run, root)


def test_the_command_prints_a_table_or_the_page(root, judged):
    run = judged("nearest")

    def call(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["show", *arguments, "--root", root.url])
        assert done.exit_code == 0, done.output
        return done.output

    shown = json.loads(call("nearest", "--json"))
    assert (shown["run"], shown["state"], len(shown["results"])) == (run, "good", 1)
    assert shown["about"]["config"]["head"] == "nearest"
    assert "top1" in call(run)
    page = json.loads(call(run, "--html", "--split", "0", "--json"))["page"]
    assert page.endswith(f"reports/run-{run}.html")
    assert page in call(run, "--html")
    for arguments in (["fake_text", "--html"], [run, "--split", "7"], ["nope"]):
        assert CliRunner().invoke(app, ["show", *arguments, "--root", root.url]).exit_code == 1


@pytest.mark.parametrize("classes", [1, 2, 3])
def test_a_few_classes_are_drawn_too(classes):
    names = CLASSES[:classes]
    counts = np.eye(classes, dtype=int)
    assert str(matrices.heat_map(counts, names)).count("<title>") >= classes
    flat = np.zeros((classes, 2))
    assert "nan" not in str(figures.pairs(flat, flat, ["k"] * classes, np.ones(classes, bool)))
    values = np.full((classes, 2), 0.5)
    assert "nan" not in str(matrices.related(values, names, CLASSES[:2], values > 1))
    assert "nan" not in str(matrices.masked(values, names, CLASSES[:2], values > 0, np.ones(classes, bool)))
    assert "nan" not in str(figures.clouds(flat, np.arange(classes), flat, names))
    same = np.full(classes, 0.5)
    assert "nan" not in str(figures.scatter(same, same, ["k"] * classes, names, ("x", "y"), fit=False))
    space = run_inside.Space(tuple(names), np.ones(classes, bool), np.eye(classes, 4), np.eye(classes, 4) + 0.1)
    assert np.isfinite(np.concatenate(run_inside.flattened(space))).all()


@pytest.mark.parametrize(
    ("low", "high", "ticks"), [(0.12, 0.34, [0.1, 0.15, 0.2, 0.25, 0.3, 0.35]), (0.5, 0.5, None), (3, 41, None)]
)
def test_ticks_are_round_and_enclose(low, high, ticks):
    found = figures.nice_ticks(low, high)
    assert found[0] <= low <= high <= found[-1]
    assert 2 <= len(found) <= 10
    assert ticks is None or found == ticks


def test_a_large_matrix_stays_small():
    counts = np.random.RandomState(0).randint(1, 9, (160, 160)) * (np.random.RandomState(1).rand(160, 160) < 0.3)
    drawn = str(matrices.heat_map(counts, [f"class number {k}" for k in range(160)]))
    assert len(drawn) < 250_000
    assert drawn.count("<rect") >= 1000
    lines = re.findall(r'd="((?:M[\d.]+ [\d.]+h5)+)"', drawn)
    cells = drawn.count("<title>") + sum(line.count("M") for line in lines)
    assert cells == np.count_nonzero(counts)


@pytest.mark.heavy
@needs_browser
@pytest.mark.parametrize("head", ["jigsaw", "coco", "transfer"])
def test_a_browser_draws_it(root, judged, tmp_path, head):
    page = run_page(judged(head), root)
    assert [width_in(page, tmp_path, width) for width in (390, 1280)] == [390, 1280]
    pixels = picture(page, tmp_path, (1200, 3000))
    colours = {tuple(colour) for colour in pixels[::3, ::3].reshape(-1, 3).tolist()}
    assert len(colours) > 30
    for wanted in (figures.BLUE, figures.ORANGE):
        bgr = [int(wanted[i : i + 2], 16) for i in (5, 3, 1)]
        assert (pixels == bgr).all(-1).sum() > 50
