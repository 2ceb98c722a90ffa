"""Shards: whoever computes them, the store ends the same, and nothing handed over is computed again."""

import pyarrow as pa
import pytest

from pipelines.errors import Stopped, UsageError
from pipelines.extract import shards
from pipelines.extract.extraction import Extraction, extract, extraction
from pipelines.extract.plan import plan
from pipelines.extract.settings import ExtractConfig, ShardConfig
from pipelines.extract.shards import MOST_SHARDS, cut, work
from pipelines.look.listing import failures
from stores.failures import Failures
from stores.features import FeatureStore
from stores.handover import Handover
from stores.manifest import Manifest
from stores.root import Root
from tests.conftest import contents, make_video
from tests.fake import FakeExtractor

pytestmark = pytest.mark.usefixtures("fake")
BOTH = ExtractConfig(("fake", "fake_still"), "d", same_errors=2)


@pytest.fixture
def whole(root, videos, tmp_path):
    """The same data set, extracted by the command."""
    other = Root(tmp_path / "whole")
    Manifest(other).write("d", Manifest(root).read("d"))
    extract(BOTH, other)
    return other


def in_shards(root: Root, size: int) -> Extraction:
    with extraction(BOTH, root) as run:
        for shard in cut(run.todo, BOTH, root, size):
            run.decoded += work(shard)
        run.collect()
    return run


@pytest.mark.parametrize("size", [2, 4, 6, 100])
def test_shards_give_the_rows_of_one_run(root, whole, size):
    report = in_shards(root, size).report()
    assert [(f.planned, f.extracted, f.failed) for f in report.features] == [(6, 6, 0)] * 2
    assert report.decoded == 6  # once for both features
    for name in ("fake", "fake_still"):
        assert contents(root, name) == contents(whole, name)
    assert root.names_in("handover/" + report.features[0].name) == []


def test_what_was_handed_over_is_not_computed_again_when_a_shard_is_run_again(root, videos, monkeypatch):
    with extraction(BOTH, root) as run:
        first, second = cut(run.todo, BOTH, root, 3)
        assert work(first) == 3
        assert work(first) == 0  # handed over
        run.collect()
        assert work(first) == 0  # in the store
        real, calls = FakeExtractor.__call__, []

        def dies(self, units):
            calls.append(1)
            if len(calls) == 2:
                raise MemoryError
            return real(self, units)

        monkeypatch.setattr(FakeExtractor, "__call__", dies)
        with pytest.raises(MemoryError):
            work(second)
        handed = Handover(root, run.todo.features[0].name).keys()
        assert len(handed) < 3
        assert work(second) >= 3 - len(handed)
        run.collect()
    assert [f.extracted for f in run.report().features] == [6, 6]


def test_the_next_run_takes_what_a_killed_one_had_handed_over(root, whole, monkeypatch):
    with extraction(BOTH, root) as run:
        for shard in cut(run.todo, BOTH, root, 100):
            work(shard)  # and nothing is collected: the run is killed here
    assert FeatureStore(root).find("fake").shape()[0] == 0
    monkeypatch.setattr(FakeExtractor, "__call__", lambda *a: pytest.fail("computed again"))
    report = extract(BOTH, root)
    assert [(f.planned, f.extracted, f.skipped) for f in report.features] == [(0, 0, 6)] * 2
    assert contents(root) == contents(whole)


def test_a_broken_video_is_a_failure_with_its_attempts(root, make_dataset, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no film")
    make_dataset([make_video(tmp_path / "good.mp4"), tmp_path / "broken.mp4"])
    config = ExtractConfig(("fake",), "d", retry_failed=True)
    for attempt in (1, 2):
        with extraction(config, root) as run:
            for shard in cut(run.todo, config, root, 100):
                work(shard)
            run.collect()
        assert run.report().features[0].failed == 1
        (failure,) = failures(root)
        assert (failure["error"], failure["attempts"]) == ("NotAVideo", attempt)


def test_a_shard_in_which_all_fail_alike_stops_and_quarantines_nothing(root, make_dataset, tmp_path):
    paths = [tmp_path / f"{i}.mp4" for i in range(4)]
    for i, path in enumerate(paths):
        path.write_bytes(b"no film %d" % i)
    make_dataset(paths)
    with extraction(BOTH, root) as run:
        with pytest.raises(Stopped, match="2 items in a row failed alike"):
            work(cut(run.todo, BOTH, root, 4)[0])
        run.collect()
    assert Failures(root).latest().num_rows == 0


def test_shards_too_small_to_see_identical_errors_are_refused(root, videos):
    config = ExtractConfig(("fake",), "d", same_errors=50)
    with pytest.raises(UsageError, match="A shard of 2 items cannot notice 50 identical errors"):
        cut(plan(config, root), config, root, 2)
    assert len(cut(plan(config, root), config, root, 6)) == 1  # one shard is the whole run


def test_never_more_than_a_thousand_shards_and_each_item_in_one(root, videos, monkeypatch):
    monkeypatch.setattr(shards, "MOST_SHARDS", 4)
    todo = plan(BOTH, root)
    pieces = cut(todo, BOTH, root, 1 + BOTH.same_errors - 2 + 1)
    assert len(pieces) <= 4
    assert pa.concat_tables([p.items for p in pieces]).equals(todo.missing)
    assert [p.number for p in pieces] == list(range(1, len(pieces) + 1))
    assert MOST_SHARDS == 1000


def test_a_worker_with_another_recipe_refuses(root, videos, monkeypatch):
    (shard,) = cut(plan(BOTH, root), BOTH, root, 100)
    monkeypatch.setattr("pipelines.extract.plan.probe_digest", lambda: "another FFmpeg")
    with pytest.raises(UsageError, match="its weights or its FFmpeg differ"):
        work(shard)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"size": 0}, "at least 1"),
        ({"runner": "ray"}, "local or dask, got 'ray'"),
        ({"cluster": "tcp://a:1"}, "set runner to dask"),
    ],
)
def test_settings_that_do_not_fit_are_one_line(settings, says):
    with pytest.raises(UsageError, match=says):
        ShardConfig(**settings)
