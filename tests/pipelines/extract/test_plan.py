"""The plan: what is missing, whatever happened before, without a model."""

import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pytest

from extractors.errors import ExtractorError, UnknownExtractor
from pipelines.extract.extraction import extract
from pipelines.extract.plan import plan
from pipelines.extract.settings import ExtractConfig
from stores.errors import NotInStore
from stores.failures import Failure, Failures
from stores.manifest import Manifest
from tests.conftest import make_video

pytestmark = pytest.mark.usefixtures("fake")


def test_everything_is_missing_from_an_empty_store_in_manifest_order(root, videos):
    todo = plan(ExtractConfig(("fake",), "d"), root)
    assert [item.places[0][0] for item in todo.items()] == [str(v) for v in videos]
    assert (todo.features[0].planned, todo.features[0].skipped) == (6, 0)


def test_nothing_is_missing_after_extraction(root, videos):
    extract(ExtractConfig(("fake",), "d"), root)
    todo = plan(ExtractConfig(("fake",), "d"), root)
    assert list(todo.items()) == []
    assert (todo.features[0].planned, todo.features[0].skipped) == (0, 6)


def test_each_feature_lacks_its_own(root, videos, make_dataset, tmp_path):
    extract(ExtractConfig(("fake",), "d"), root)
    make_dataset([*videos, make_video(tmp_path / "new.mp4", seed=99)])
    todo = plan(ExtractConfig(("fake", "fake_still"), "d"), root)
    assert [f.planned for f in todo.features] == [1, 7]
    lacking = {item.video_id: [n.partition("@")[0] for n in item.features] for item in todo.items()}
    assert lacking["new"] == ["fake", "fake_still"]
    assert lacking["v3"] == ["fake_still"]


def test_twins_are_one_content_with_two_places(root, make_dataset, tmp_path):
    one = make_video(tmp_path / "one.mp4")
    two = tmp_path / "two.mp4"
    two.write_bytes(one.read_bytes())
    make_dataset([one, two])
    (item,) = plan(ExtractConfig(("fake",), "d"), root).items()
    assert {uri for uri, _ in item.places} == {str(one), str(two)}


def test_another_option_is_another_feature_set(root, videos):
    extract(ExtractConfig(("fake",), "d"), root)
    todo = plan(ExtractConfig(("fake", "fake:clips=5,jitter_seed=3,fps=none"), "d"), root)
    assert [f.planned for f in todo.features] == [0, 6]
    assert todo.features[1].extractor.sampling.clips == 5
    assert todo.features[1].extractor.sampling.jitter_seed == 3


def test_a_changed_weights_file_is_another_feature_set(root, videos, tmp_path, monkeypatch):
    from tests.fake import FakeExtractor

    weights = tmp_path / "weights.bin"
    monkeypatch.setattr(FakeExtractor, "weights_path", lambda self: weights)
    weights.write_bytes(b"one")
    first = plan(ExtractConfig(("fake",), "d"), root).features[0].name
    assert plan(ExtractConfig(("fake",), "d"), root).features[0].name == first
    weights.write_bytes(b"other")
    assert plan(ExtractConfig(("fake",), "d"), root).features[0].name != first


def failed(root, videos, error: str, when_ns: int | None = None) -> None:
    feature = plan(ExtractConfig(("fake",), "d"), root).features[0]
    key = Manifest(root).read("d")["key"].to_pylist()[2]
    Failures(root).append([Failure(key, "v2", "d", feature.recipe.key, feature.name, "decode", error, "why", 1)])


def test_the_quarantined_are_left_out_until_asked_for(root, videos):
    failed(root, videos, "Corrupt")
    feature = plan(ExtractConfig(("fake",), "d"), root).features[0]
    assert (feature.planned, feature.quarantined) == (5, 1)
    feature = plan(ExtractConfig(("fake",), "d", retry_failed=True), root).features[0]
    assert (feature.planned, feature.quarantined) == (6, 0)


def test_what_could_not_be_reached_is_tried_again_once_it_is_indexed_again(root, videos, make_dataset):
    failed(root, videos, "Unreachable")
    assert plan(ExtractConfig(("fake",), "d"), root).features[0].planned == 5
    time.sleep(0.01)
    make_dataset(videos)
    assert plan(ExtractConfig(("fake",), "d"), root).features[0].planned == 6


def test_changed_bytes_lift_a_quarantine(root, videos, make_dataset):
    failed(root, videos, "Corrupt")
    make_video(videos[2], seed=55)
    make_dataset(videos)
    assert plan(ExtractConfig(("fake",), "d"), root).features[0].planned == 6


@pytest.mark.parametrize(
    ("features", "weights", "error", "message"),
    [
        (("r2plus1d_99",), (), UnknownExtractor, "No extractor is called 'r2plus1d_99'. There are: .*i3d_k400"),
        (("fake:clip=3",), (), ExtractorError, "no option is called 'clip'; there are: clips, frames"),
        (("fake:clips=many",), (), ExtractorError, "clips must be of type int, got 'many'"),
        (("fake:resize=8x8x8",), (), ExtractorError, "resize must be a number of pixels, or HEIGHTxWIDTH, got '8x8x8'"),
        (("fake:crop=0",), (), ExtractorError, "crop must be a number of pixels"),
        (("fake:clips",), (), ExtractorError, "Expected NAME=VALUE, got 'clips'"),
        (("fake",), ("other=x.pth",), ExtractorError, "--weights names 'other', which is not extracted here"),
    ],
)
def test_a_feature_that_cannot_be_is_refused_in_one_line(root, videos, features, weights, error, message):
    with pytest.raises(error, match=message) as caught:
        plan(ExtractConfig(features, "d", weights=weights), root)
    assert "\n" not in str(caught.value)


def test_options_after_the_colon_are_sampling_and_geometry(root, videos):
    (feature,) = plan(ExtractConfig(("fake:clips=2,fps=none,stride=1.5,resize=36x48,crop=30",), "d"), root).features
    sampling, geometry = feature.extractor.sampling, feature.extractor.geometry
    assert (sampling.clips, sampling.fps, sampling.stride) == (2, None, 1.5)
    assert (geometry.resize, geometry.crop) == ((36, 48), 30)
    assert feature.recipe.preprocessing["resize"] == (36, 48)
    (plain,) = plan(ExtractConfig(("fake:clips=2,stride=1.5",), "d"), root).features
    assert plain.recipe.key != feature.recipe.key


def test_a_data_set_never_indexed_is_named(root, videos):
    with pytest.raises(
        NotInStore, match="No data set is called 'kinetics'.*indexed: d.*zsar index PATH --dataset kinetics"
    ):
        plan(ExtractConfig(("fake",), "kinetics"), root)


def test_planning_imports_no_torch():
    modules = "pipelines.extract.plan, pipelines.extract.extraction, pipelines.command.main"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_keys_of_the_plan_are_those_of_the_manifest(root, videos):
    todo = plan(ExtractConfig(("fake",), "d"), root)
    assert [item.key for item in todo.items()] == Manifest(root).read("d")["key"].to_pylist()
    assert todo.contents == len(np.unique([item.key for item in todo.items()]))


def test_items_of_other_kinds_are_not_the_extractors(root, videos):
    table = Manifest(root).read("d")
    kinds = pa.array(["video", "pose", "video", "text", "video", "video"])
    Manifest(root).write("d", table.set_column(table.schema.get_field_index("kind"), "kind", kinds))
    todo = plan(ExtractConfig(("fake",), "d"), root)
    assert [item.video_id for item in todo.items()] == ["v0", "v2", "v4", "v5"]
    assert todo.contents == 4
