"""The videos of a data set as a head sees them: nothing stands in for what is missing."""

import dataclasses
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from pipelines.errors import UsageError
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from pipelines.index.captions import index_captions
from pipelines.index.settings import IndexConfig
from pipelines.learn.protocols.met_before import met_before, trained_on
from pipelines.learn.samples import features as videos
from pipelines.learn.samples.features import learned_from
from stores.errors import NotInStore
from stores.features import FeatureStore
from stores.keys import key_array
from stores.manifest import Manifest
from stores.root import Root
from tests.pipelines import studies

pytestmark = pytest.mark.usefixtures("fake")
NAMES = ("archery", "bowling", "cricket")

RECORDS = [
    {"video": "a", "class": "Archery", "captions": ["a bow", "an arrow"]},
    {"video": "b", "class": "bowling", "captions": ["the lane", "a bow"]},
    {"video": "c", "captions": ["no label", "at all"]},
    {"video": "d", "class": "bowling", "captions": ["one", "two", "three"]},
    {"video": "e", "class": "bowling", "captions": ["alone"]},
    {"video": "f", "class": "cricket", "captions": ["a bat", "123"]},
    {"video": "g", "class": "archery", "captions": ["a bow", "an arrow"]},
]


def vector(text: str) -> list[float]:
    """What `fake_text` makes of a text."""
    counts = [text.count(chr(97 + k)) for k in range(26)]
    return [*counts, sum(counts)]


def told(root: Root, folder: Path, records: list[dict[str, object]], encode: bool = True) -> None:
    path = studies.json_lines(folder / "captions.jsonl", records)
    index_captions(IndexConfig((path,), "d", kind="captions"), root)
    if encode:
        extract(ExtractConfig(("fake_text",), "d", workers=1), root)


@pytest.fixture
def data(root: Root, tmp_path: Path) -> Root:
    studies.classes(root, tmp_path, NAMES)
    told(root, tmp_path, RECORDS)
    return root


def read(root: Root, segments: int = 0, feature: str = "fake_text") -> videos.VideoFeatures:
    return videos.read("d", feature, "d", root, segments)


def test_segments_are_the_captions_in_their_order(data):
    found = read(data)
    assert found.of_captions
    assert (found.dataset, found.feature) == ("d", FeatureStore(data).find("fake_text").name)
    assert found.ids == ("a", "b", "d", "e", "g")
    assert found.classes == NAMES
    assert found.labels.tolist() == [0, 1, 1, 1, 0]
    assert found.segments.dtype == np.float32
    for at in (0, 1, 4):
        (captions,) = [r["captions"] for r in RECORDS if r["video"] == found.ids[at]]
        assert found.segments[at].tolist() == [vector(text) for text in captions]


def test_a_group_with_a_caption_that_failed_is_missing_counted_and_named(data):
    found = read(data)
    assert found.missing == ("f",)
    assert found.missing_labels.tolist() == [2]
    assert len(found.ids) == len(found.segments) == len(found.keys) == len(found.labels) == 5
    assert (found.segments.sum((1, 2)) > 0).all()  # nothing stands in its place


def test_videos_with_another_number_of_segments_are_resampled_and_counted(data):
    found = read(data)
    assert found.segments.shape == (5, 2, 27)  # two, as most have
    assert found.resampled == 2
    for m in (0, 1, 2, 3, 4, 7):
        found = read(data, m)
        counts = [len(r["captions"]) for name in found.ids for r in RECORDS if r["video"] == name]
        assert found.segments.shape[1] == (m or 2)
        assert found.resampled == sum(count != (m or 2) for count in counts)
        assert found.repeated == sum(count < (m or 2) for count in counts)
        for at, name in enumerate(found.ids):
            (captions,) = [r["captions"] for r in RECORDS if r["video"] == name]
            picked = [captions[math.floor((j + 0.5) * len(captions) / (m or 2))] for j in range(m or 2)]
            assert found.segments[at].tolist() == [vector(text) for text in picked]


def test_unlabelled_videos_are_left_out_and_counted(data):
    found = read(data)
    assert found.unlabelled == 1
    assert "c" not in found.ids + found.missing


def test_labels_that_the_set_does_not_know_are_refused_by_name(data, tmp_path):
    more = [{"video": "x", "class": "zumba", "captions": ["a"]}, {"video": "y", "class": "chess", "captions": ["b"]}]
    told(data, tmp_path, [*RECORDS, *more])
    with pytest.raises(
        UsageError, match=r"^2 labels of 'd' mean no class of the set 'd': chess, zumba\. Add them: `zsar texts add"
    ):
        read(data)


def test_what_is_not_there_is_one_line(root, tmp_path):
    studies.classes(root, tmp_path, NAMES)
    extract(ExtractConfig(("fake_text",), set="d", workers=1), root)
    with pytest.raises(NotInStore, match="No data set is called 'd'"):
        read(root)
    told(root, tmp_path, RECORDS, encode=False)
    with pytest.raises(
        UsageError,
        match=r"^None of the 6 labelled items of 'd' has a feature in fake_text@.*`zsar extract fake_text --d",
    ):
        read(root)
    with pytest.raises(NotInStore, match="fake_other"):
        read(root, feature="fake_other")
    with pytest.raises(NotInStore, match="No set of classes is called 'other'"):
        videos.read("d", "fake_text", "other", root)


def test_the_digest_is_told_without_reading_and_changes_with_a_label_or_a_row(data, tmp_path):
    first = read(data).digest
    assert videos.digest_of("d", "fake_text", "d", data) == first == read(data).digest

    def changed(number: int, **fields: object) -> str:
        records = [dict(record) for record in RECORDS]
        records[number] |= fields
        told(data, tmp_path, records)
        found = read(data)
        assert videos.digest_of("d", "fake_text", "d", data) == found.digest
        return found.digest

    digests = [
        first,
        changed(0, **{"class": "cricket"}),
        changed(0, captions=["a bow", "an owl"]),
        changed(0, captions=["an arrow", "a bow"]),
        changed(0, video="z"),
        changed(2, **{"class": "bowling"}),
        changed(5, captions=["a bat", "a ball"]),
    ]
    assert len(set(digests)) == len(digests)
    assert changed(0, score=3) == first


def test_the_digest_changes_where_a_rows_bytes_do(data):
    first = read(data).digest
    array = FeatureStore(data).find("fake_text").array("digest")[:]
    feature_set = FeatureStore(data).find("fake_text")
    keys = key_array(pa.chunked_array([pa.array([k.tobytes() for k in feature_set.keys()], pa.binary(32))]))
    one = videos.content_digest(feature_set, keys)

    class Other:
        def keys(self) -> np.ndarray:
            return feature_set.keys()

        def array(self, name: str) -> np.ndarray:
            other = array.copy()
            other[0, 0] ^= 1
            return other

    assert videos.content_digest(Other(), keys) != one
    assert videos.content_digest(Other(), keys[1:]) == videos.content_digest(feature_set, keys[1:])
    assert read(data).digest == first


def test_videos_themselves_have_the_rows_of_their_clips(root, tmp_path, videos):
    from pipelines.learn.samples import features as reading

    studies.classes(root, tmp_path, NAMES)
    table = Manifest(root).read("d")
    labels = pa.array(["archery", "bowling", None, "cricket", "archery", "bowling"], pa.string())
    Manifest(root).write("d", table.set_column(table.schema.get_field_index("label"), "label", labels))
    captions = [{"video": "v0", "class": "archery", "captions": ["a bow"]}]  # not what `fake` reads
    told(root, tmp_path, captions, encode=False)
    videos[3].write_bytes(b"broken")
    report = extract(ExtractConfig(("fake",), "d", workers=1, decoders=1), root)
    assert report.features[0].failed == 1
    found = reading.read("d", "fake", "d", root)
    assert not found.of_captions
    assert found.ids == ("v0", "v1", "v4", "v5")
    assert (found.missing, found.missing_labels.tolist(), found.unlabelled) == (("v3",), [2], 1)
    assert found.segments.shape == (4, 3, 12)
    assert found.resampled == 0
    feature_set = FeatureStore(root).find("fake")
    for key, segments in zip(found.keys, found.segments, strict=True):
        assert np.array_equal(feature_set.load(key[None]).values.astype(np.float32), segments)
    assert reading.digest_of("d", "fake", "d", root) == found.digest
    middle = reading.read("d", "fake", "d", root, 1)
    assert middle.resampled == 4
    assert np.array_equal(middle.segments[:, 0], found.segments[:, 1])
    assert middle.digest == found.digest
    assert found.of(np.array([0])).tolist() == [0, 2]
    assert dataclasses.is_dataclass(found)


def test_a_data_set_of_captions_alone_has_no_videos(data, videos):
    from pipelines.learn.samples import features as reading

    extract(ExtractConfig(("fake",), "d", workers=1, decoders=1), data)
    Manifest(data).write("d", Manifest(data).read("d").slice(0, 0))
    told(data, Path(videos[0]).parent, RECORDS, encode=False)
    with pytest.raises(
        UsageError, match=r"^Data set 'd' has no videos, which fake@.* Run `zsar index PATH --dataset d`"
    ):
        reading.read("d", "fake", "d", data)


def test_random_weights_were_trained_on_nothing_whatever_their_extractor_is_published_with():
    random, published, own = (
        SimpleNamespace(recipe=recipe)
        for recipe in (
            {"weights": "random:0", "preprocessing": {"trained_on": None}},
            {"weights": "ab12", "preprocessing": {}},
            {"weights": "ab12", "preprocessing": {"trained_on": {"dataset": "d", "classes": ["a"]}}},
        )
    )
    told = learned_from(random)
    assert trained_on("i3d_k400@0", told) == ("nothing, the weights are random",)
    assert met_before(["abseiling"], trained_on("i3d_k400@0", told), told, "d") == ()
    assert (learned_from(published), learned_from(own)["classes"]) == ({}, ["a"])
