"""Judged videos on the page of a run: seen as what they are, and told what they were taken for."""

from pathlib import Path

import numpy as np

from pipelines.judge.evaluate import evaluate
from pipelines.judge.settings import EvaluateConfig
from pipelines.learn.fit import fit
from pipelines.look.run.clips import clips
from pipelines.look.run.page import run_page
from stores.runs import Runs
from tests.pipelines import studies


def judged(taken_for: dict[str, tuple[str, str]]) -> list[dict]:
    return [
        {"video_id": name, "label": label, "best": [best, "c", "d", "e"], "scores": [0.9, 0.5, 0.25, 0.1]}
        for name, (label, best) in taken_for.items()
    ]


def test_films_are_shown_as_frames_with_a_way_to_the_film(root, videos):
    rows = judged({"v0": ("a", "a"), "v1": ("a", "b"), "v2": ("b", "b")})
    videos[2].unlink()
    found = clips(rows, "d", False, root)
    assert [(each.video_id, each.wrong) for each in found] == [("v0", False), ("v2", False), ("v1", True)]
    assert [len(each.seen.frames) for each in found] == [3, 0, 3]
    assert len(set(found[0].seen.frames)) == 3
    assert found[0].seen.link == videos[0].as_uri()
    assert (found[1].seen.link, found[1].seen.why_not) == ("", "its file is not here")
    assert found[2].best == (("b", 0.9), ("c", 0.5), ("d", 0.25))
    assert clips(rows, "gone", False, root) == []


def test_a_run_of_captions_shows_what_they_say(tmp_path, fake):
    root = studies.made(tmp_path)
    run = fit(studies.config(tmp_path, "nearest", ()), root).run
    evaluate(EvaluateConfig(run), root)
    page = Path(run_page(run, root, 1).removeprefix("file://")).read_text()
    section = page.partition('<section id="clips">')[2].partition("</section>")[0]
    rows = [row for row in Runs(root).read(run, "judged").to_pylist() if row["split"] == 1 and row["setting"] == "zsl"]
    shown = {each.video_id: each for each in clips(rows, "d", True, root)}
    assert 0 < len(shown) <= 6
    own = {row["video_id"]: row for row in rows}
    said = {row["video"]: row["captions"] for row in studies.caption_rows()}
    for name, clip in shown.items():
        assert list(clip.texts) == said[name]
        assert all(f'<p class="quote">{text}</p>' in section for text in clip.texts)
        assert [best for best, _ in clip.best] == own[name]["best"][:3]
        assert np.allclose([score for _, score in clip.best], own[name]["scores"][:3])
        assert name in section
    assert section.count('<h3 class="wrong">') == sum(clip.wrong for clip in shown.values())
