"""Skeletons on the page of a run: phrases are the head's own, pictures are of the parts they stand under."""

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import torch

from extractors.stgcn_network import STGCN_SMALL, segmented
from heads.jigsaw import JigsawNet
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from pipelines.index import pose_places
from pipelines.judge.evaluate import evaluate
from pipelines.judge.settings import EvaluateConfig
from pipelines.learn.fit import fit
from pipelines.learn.settings import FitConfig
from pipelines.look.run import inside as run_inside
from pipelines.look.run import poses as run_poses
from pipelines.look.run.page import run_page
from pipelines.look.run.poses import gallery
from pipelines.pages import stick_figures
from pipelines.texts.adding import add
from pipelines.texts.settings import TextsConfig
from stores.features import FeatureStore
from stores.root import Root
from stores.runs import Runs
from tests.pipelines.pages.browser import needs_browser, picture, width_in
from tests.pipelines.skeletons import CLASSES, body, index

pytestmark = pytest.mark.usefixtures("fake")
SEEN = CLASSES[:2]
DEFINED = {name: [f"to {name} low & <deep>", f"one who will {name} zz"] for name in CLASSES}
OPTIONS = ("epochs=1", "optimiser=adam", "batch=8", "schedule=constant")
RUNS = {
    "jigsaw": (*OPTIONS, "lr=1e-3", "heads=3", "texts=class+definition"),
    "devise": ("epochs=1", "texts=class+definition"),
    "relation": ("epochs=1", "texts=definition"),
}
Make = Callable[..., tuple[Root, str, list[dict]]]


@pytest.fixture
def made(root: Root, tmp_path: Path) -> Make:
    """Fit and judge a head on 24 sequences, each in a file of its own."""
    folder = tmp_path / "poses"
    for k, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for seed in range(6):
            np.save(folder / name / f"{name}{seed}.npy", body(k, seed))
    index(root, folder, layout="kinect-20")
    (tmp_path / "classes.txt").write_text("\n".join(CLASSES))
    add(TextsConfig((str(tmp_path / "classes.txt"),), "class", "p"), root)
    (tmp_path / "definitions.json").write_text(json.dumps(DEFINED))
    add(TextsConfig((str(tmp_path / "definitions.json"),), "definition", "p"), root)
    protocol = tmp_path / "own.json"
    protocol.write_text(json.dumps({"seen": SEEN, "unseen": CLASSES[2:]}))

    def make(head: str, segments: int = 3) -> tuple[Root, str, list[dict]]:
        feature = f"stgcn_small:segments={segments}"
        extract(ExtractConfig((feature,), "p", ("stgcn_small=random:0",), device="cpu", workers=1), root)
        named = FeatureStore(root).find("stgcn_small").name
        config = FitConfig(
            head, "p", named, str(protocol), encoder="fake_text", options=RUNS[head], k=0, device="cpu", workers=1
        )
        run = fit(config, root).run
        evaluate(EvaluateConfig(run), root)
        return root, run, Runs(root).read(run, "judged").to_pylist()

    return make


def page_of(root: Root, run: str) -> str:
    page = Path(unquote(urlsplit(run_page(run, root)).path)).read_text()
    return page.partition('id="poses"')[2].partition("</section>")[0]


def plain(part: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", part)).split())


def test_phrases_are_those_of_the_heads_own_alignment_and_their_mean_is_the_score(made):
    root, run, judged = made("jigsaw")
    of = run_inside.trained(run, 0, root)
    assert isinstance(of.head, JigsawNet)
    found = gallery(of, judged, root)
    assert found.phrases
    assert found.is_mean
    assert {q.label for q in found.sequences} <= set(CLASSES[2:])
    texts = of.study.texts
    said = [*texts.said["class"], *texts.said["definition"]]
    with torch.no_grad():
        phrases = of.head.text(torch.cat([texts.tensors.kinds[kind].features for kind in ("class", "definition")]))
    for q in found.sequences:
        row = of.study.videos.ids.index(q.video_id)
        with torch.no_grad():
            segments = of.head.groups(of.study.batch(np.array([row])))[1][0]
        assert len(q.parts) == q.told == 3
        own: dict[str, list[float]] = {name: [] for name in CLASSES[2:]}
        for x, part in enumerate(q.parts):
            best = {}
            for name in CLASSES[2:]:
                of_class = [p for p, text in enumerate(said) if text in (name, *DEFINED[name])]
                assert len(of_class) == 3
                similar = {said[p]: float(segments[x] @ phrases[p]) for p in of_class}
                text = max(similar, key=similar.__getitem__)
                best[name] = (text, similar[text])
                own[name].append(similar[text])
            shown = {s.class_name: s for s in part.said}
            assert {q.best, q.label, max(best, key=lambda name: best[name][1])} == set(shown)
            assert [s.similarity for s in part.said] == sorted((s.similarity for s in part.said), reverse=True)
            for name, s in shown.items():
                assert s.similarity == pytest.approx(best[name][1], abs=1e-5)
                assert s.text == best[name][0]
                assert s.part == ("class" if s.text in CLASSES else "definition")
                assert s.role == ("taken" if name == q.best else "own" if name == q.label else "other")
        assert q.score == pytest.approx(np.mean(own[q.best]), abs=1e-5)
        if q.wrong:
            assert q.own_score == pytest.approx(np.mean(own[q.label]), abs=1e-5)


def test_the_page_says_all_of_it(made):
    root, run, judged = made("jigsaw")
    found = gallery(run_inside.trained(run, 0, root), judged, root)
    page = page_of(root, run)
    assert page.count("<svg") == 3 * len(found.sequences)
    assert page.count("1 spine</text>") == len(found.sequences)
    assert page.count("25\u201375\u00a0% of the time</div>") == len(found.sequences)
    assert "<deep>" not in page
    told = plain(page)
    for q in found.sequences:
        title = f"{q.label}, taken for {q.best} score" if q.wrong else f"{q.label} score"
        assert title in told
        for part in q.parts:
            for s in part.said:
                score = f"{s.similarity:.3f}".replace("-", "\u2212")
                assert f"{s.part}: {s.text} {s.class_name} {score}" in told
    assert "is the mean over all segments" in told


def test_segments_are_when_the_network_pools_them(made):
    root, run, _ = made("jigsaw")
    of = run_inside.trained(run, 0, root)
    sampling = FeatureStore(root).find(of.study.videos.feature).recipe["sampling"]
    steps = STGCN_SMALL.steps(32)
    assert steps == 8
    pooled = segmented(torch.eye(steps)[None], 3)[0] > 0
    spans = [(4.0 * min(own), 4.0 * (max(own) + 1)) for own in (np.flatnonzero(row).tolist() for row in pooled)]
    assert run_poses._spans(of, sampling, 32) == spans


def test_only_the_sequences_shown_are_read(made, monkeypatch):
    root, run, judged = made("jigsaw")
    of = run_inside.trained(run, 0, root)
    read: list[str] = []
    real = pose_places.content_of
    monkeypatch.setattr(pose_places, "content_of", lambda path: read.append(path) or real(path))
    found = gallery(of, judged, root)
    assert sorted(Path(path).stem for path in read) == sorted(q.video_id for q in found.sequences)
    assert len(read) < len(judged) == 12
    assert gallery(of, judged, root) == found, "the same each time"


def test_a_sequence_that_is_gone_is_said_to_be_and_keeps_its_phrases(made):
    root, run, judged = made("jigsaw")
    of = run_inside.trained(run, 0, root)
    first, *others = gallery(of, judged, root).sequences
    gone = next(Path(root.url.removeprefix("file://")).parent.rglob(f"{first.video_id}.npy"))
    gone.unlink()
    again, *same = gallery(of, judged, root).sequences
    assert same == others
    assert again.why_not == "Unreachable: the file is not there (any more)"
    assert [part.said for part in again.parts] == [part.said for part in first.parts]
    assert all(part.drawing is None for part in again.parts)
    page = page_of(root, run)
    assert page.count("<svg") == 3 * len(others)
    assert "Not drawn. Unreachable" in page


def test_one_segment_is_a_strip_with_the_phrases_nearest_to_the_whole(made):
    root, run, judged = made("jigsaw", segments=1)
    of = run_inside.trained(run, 0, root)
    found = gallery(of, judged, root)
    assert not found.phrases
    for q in found.sequences:
        assert (len(q.parts), q.told) == (5, 1)
        assert all(part.drawing and not part.said for part in q.parts)
        row = of.study.videos.ids.index(q.video_id)
        assert {s.class_name: s.similarity for s in q.nearest} == {
            name: pytest.approx(run_inside.winners(of, row, name)[0][1], abs=1e-6) for name in CLASSES[2:]
        }
        assert q.nearest[0].class_name == q.best
    page = plain(page_of(root, run))
    assert "a picture for each fifth of its time" in page
    assert "No part of a sequence has a phrase of its own here" in page


def test_another_head_names_the_classes_nearest_in_its_space(made):
    root, run, judged = made("devise")
    of = run_inside.trained(run, 0, root)
    for q in gallery(of, judged, root).sequences:
        assert len(q.parts) == 3
        row = of.study.videos.ids.index(q.video_id)
        with torch.no_grad():
            video = of.head.embedded(of.study.batch(np.array([row])))[0].numpy()
            classes = of.head.prototypes(of.study.told(of.unseen)).numpy()
        wanted = {
            of.study.classes[k]: video @ own / np.linalg.norm(video) / np.linalg.norm(own)
            for k, own in zip(of.unseen, classes, strict=True)
        }
        assert {s.class_name: s.similarity for s in q.nearest} == pytest.approx(wanted, abs=1e-5)
        assert q.nearest[0].similarity == pytest.approx(max(wanted.values()), abs=1e-5)
        assert all(s.part == "first of 3 texts" and s.text == s.class_name for s in q.nearest)


def test_a_head_without_vectors_to_compare_names_no_text(made):
    root, run, judged = made("relation")
    found = gallery(run_inside.trained(run, 0, root), judged, root)
    assert not found.compares
    assert all(not q.nearest and all(not part.said for part in q.parts) for q in found.sequences)
    assert "so no text is named" in plain(page_of(root, run))


@pytest.mark.heavy
@needs_browser
@pytest.mark.parametrize("dark", [False, True])
def test_a_browser_draws_it_in_light_and_in_dark(made, tmp_path, dark):
    root, run, _ = made("jigsaw")
    page = run_page(run, root)
    assert width_in(page, tmp_path, 390) == 390
    pixels = picture(page, tmp_path, (1200, 6000), dark)
    assert (pixels[2, 2].mean() < 60) == dark
    for wanted in (stick_figures.LEFT, stick_figures.RIGHT):
        bgr = [int(wanted[i : i + 2], 16) for i in (5, 3, 1)]
        assert (pixels == bgr).all(-1).sum() > 1000, "limbs"
    ink = (0xEE, 0xE8, 0xE4) if dark else (0x30, 0x24, 0x1C)
    assert (pixels == ink).all(-1).sum() > 3000, "heads and trunks, and text"
