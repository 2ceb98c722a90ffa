"""Recognised objects: told as the head's paper tells them, and part of what a run is named by and says of itself."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from extractors import imagenet21k
from extractors.class_names import IMAGENET_1K, class_names
from pipelines.errors import UsageError
from pipelines.judge.evaluate import evaluate
from pipelines.judge.results import results
from pipelines.judge.settings import EvaluateConfig
from pipelines.learn.fit import fit
from pipelines.learn.runs import Run
from pipelines.learn.study import Study
from pipelines.learn.trained import run_name
from pipelines.texts.objects import told_of
from stores.features import FeatureStore, ItemRows
from stores.keys import key_array
from stores.manifest import Manifest
from stores.root import Root
from stores.texts import Texts
from tests.pipelines import studies

pytestmark = pytest.mark.usefixtures("fake")
NAMES = list(class_names(IMAGENET_1K))
OUTPUTS = {"ids": ((20,), "int32")}


def recognised(root: Root, key: str, shift: int = 0) -> str:
    """Objects of every video of `d` but the last, as one more extractor of ImageNet's 1,000 would give them."""
    keys = key_array(Manifest(root).read("d", ["key"])["key"].unique())
    name = f"efficientnet_lite0_objects@{key[:12]}"
    made = FeatureStore(root).create(name, {"extractor": "efficientnet_lite0_objects"}, key, OUTPUTS, {"ids": NAMES})
    made.append(
        [
            ItemRows(row.tobytes(), {"ids": ((np.arange(20)[None] * 7 + 3 * k + shift) % 1000).astype(np.int32)})
            for k, row in enumerate(keys[:-1])
        ]
    )
    return name


@pytest.fixture
def data(tmp_path: Path) -> Root:
    return studies.made(tmp_path)


def test_ers_text_of_a_video_is_name_and_gloss_of_each_object_and_jigsaws_the_names_alone():
    glosses = imagenet21k.glosses(1000)
    row = np.array([3, 0, 999])
    assert told_of("glossed", NAMES, row) == " ".join(f"{NAMES[k]}: {glosses[k]}" for k in row)
    assert told_of("joined", NAMES, row) == ", ".join(NAMES[k] for k in row)


@pytest.mark.parametrize(("head", "form"), [("er", "glossed"), ("coco", "glossed"), ("jigsaw", "joined")])
def test_a_head_reads_the_text_its_paper_has(data, tmp_path, head, form):
    name = recognised(data, "ab" * 32)
    study = Study(studies.config(tmp_path, head, (), objects=name), data)
    assert study.objects is not None
    parts = Texts(data, "d").read(["part", "text"], ("object",)).to_pylist()
    own = [row["text"] for row in parts if row["part"] == form]
    assert {row["part"] for row in parts} == {"one", form}, "the other form is not encoded for it"
    counts = {tuple(studies_vector(text)) for text in own}
    there = study.objects.of_video >= 0
    assert (~there).sum() == 1
    read = study.objects.features[study.objects.of_video[there]]
    assert {tuple(row) for row in read.tolist()} <= counts


def studies_vector(text: str) -> list[float]:
    """What `fake_text` makes of a text: its first 64 letters."""
    letters = [c for c in text.lower() if "a" <= c <= "z"][:64]
    return [*(float(letters.count(chr(97 + k))) for k in range(26)), float(len(letters))]


def test_other_objects_or_another_recogniser_make_another_run(data, tmp_path):
    without = run_name(Study(studies.config(tmp_path), data))
    (found,) = {recognised(data, "ab" * 32)}
    config = studies.config(tmp_path, objects="efficientnet_lite0_objects")
    first = run_name(Study(config, data))
    assert run_name(Study(config, data)) == first != without
    assert run_name(Study(dataclasses.replace(config, objects=""), data)) == without
    FeatureStore(data).drop(found)
    recognised(data, "cd" * 32)  # the same objects by another recipe
    other_recipe = run_name(Study(config, data))
    FeatureStore(data).drop("efficientnet_lite0_objects")
    recognised(data, "ab" * 32, shift=1)  # other objects by the same recipe
    other_objects = run_name(Study(config, data))
    assert len({first, without, other_recipe, other_objects}) == 4


def test_a_run_and_its_results_say_which_objects_and_what_saw_them(data, tmp_path):
    name = recognised(data, "ab" * 32)
    report = fit(studies.config(tmp_path, objects=name), data)
    told = Run(data, report.run).about()["objects"]
    assert (told["feature"], told["recipe"], told["told"], told["videos_without"]) == (name, "ab" * 32, "glossed", 1)
    assert told["pretraining"] == ["ImageNet-1k"]
    evaluate(EvaluateConfig(report.run), data)
    (row,) = [row for row in results(data) if row["run"]]
    assert row["state"] == "good"
    assert row["features"].endswith(f"(captions) + {name}")
    assert row["pretraining"].startswith("captioners, unknown, ImageNet-1k")
    FeatureStore(data).drop(name)
    recognised(data, "ab" * 32, shift=1)
    (row,) = [row for row in results(data) if row["run"]]
    assert row["state"].startswith("stale: features changed"), row["state"]


# -- objects by what they look like -----------------------------------------------------------------------------------


def looked_at(root: Root) -> str:
    """Two frames of each video of `d` but the last, as a network of objects sees them."""
    keys = key_array(Manifest(root).read("d", ["key"])["key"].unique())
    outputs = {"ids": ((20,), "int32"), "features": ((6,), "float32")}
    made = FeatureStore(root).create("objects_seen@1", {"extractor": "efficientnet_lite0_objects"}, "cd" * 32, outputs)
    drawn = np.random.default_rng(0)
    for row in keys[:-1]:
        shown = {"ids": np.zeros((2, 20), np.int32), "features": drawn.normal(size=(2, 6)).astype(np.float32)}
        made.append([ItemRows(row.tobytes(), shown)])
    return "objects_seen@1"


SMALL = ("hidden_size=8", "depth=1", "heads=2", "texts=class", "epochs=1")


def test_what_objects_look_like_stands_beside_where_and_when_they_were_seen(data, tmp_path):
    name = looked_at(data)
    study = Study(studies.config(tmp_path, "rest", SMALL, objects=name), data)
    regions = study.objects.regions
    assert regions.shape == (len(study.videos.ids), 2, 6 + 7)
    stored = FeatureStore(data).find(name)
    at = {key.tobytes(): k for k, key in enumerate(stored.keys())}
    for row, key in zip(regions, study.videos.keys, strict=True):
        if key.tobytes() not in at:
            assert np.isnan(row).all()
            continue
        assert np.array_equal(row[:, :6], stored.load(key[None], "features").values)
        assert np.array_equal(row[:, 6:], [[0, 0, 1, 1, 1, 1, 0.25], [0, 0, 1, 1, 1, 1, 0.75]])
    assert study.objects.without == 1


def test_a_network_of_objects_is_part_of_a_run_of_rest(data, tmp_path):
    name = looked_at(data)
    with_objects, without = (studies.config(tmp_path, "rest", SMALL, objects=each) for each in (name, ""))
    run = fit(with_objects, data).run
    assert run != fit(without, data).run
    about = Run(data, run).about()["objects"]
    assert (about["feature"], about["told"], about["videos_without"]) == (name, "seen", 1)
    assert about["pretraining"] == ["unknown"]
    assert 0 <= evaluate(EvaluateConfig(run), data).zsl["top1"][0] <= 1


def test_objects_that_a_recurrent_network_cannot_read_are_one_line(data, tmp_path):
    asked = studies.config(tmp_path, "rest", ("sequence=rnn", *SMALL), objects=looked_at(data))
    with pytest.raises(UsageError, match=r"^rest on .*: objects have no order .* take sequence=transformer\.$"):
        fit(asked, data)
