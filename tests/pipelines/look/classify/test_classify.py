"""`zsar classify` on real clips with real models: what it answers, whence, how fast again, and what it refuses."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import UsageError
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from pipelines.index.settings import IndexConfig
from pipelines.index.videos import index
from pipelines.look.classify.classify import answers_of, classify, object_evidence
from pipelines.look.classify.clip import own_root
from pipelines.look.classify.model import made
from pipelines.look.classify.names import checked
from pipelines.look.classify.page import page
from pipelines.look.settings import ClassifyConfig
from stores.features import FeatureStore
from stores.manifest import Manifest
from stores.root import Root
from stores.texts import Texts


def package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0])


@pytest.fixture(scope="module")
def clip() -> str:
    """A man stands on a block and swings one leg: the class `swinging legs` of Kinetics-400."""
    return str(package("Pose2Sim") / "Demo_SinglePerson" / "videos" / "cam04.mp4")


@pytest.fixture(scope="module")
def used(tmp_path_factory, clip) -> Root:
    """A root in which the clip was classified once."""
    root = Root(tmp_path_factory.mktemp("classify"))
    first = classify(ClassifyConfig(clip, ("swinging legs", "playing guitar")), root)
    assert first.computed == 2
    return root


LIST = ("swinging legs", "playing guitar", "baking cookies", "riding a horse", "balancing on one foot", "welding metal")


@pytest.mark.pack
def test_seen_classes_come_from_the_classifier_and_others_from_the_map(used, clip):
    report = classify(ClassifyConfig(clip, LIST), used)
    source = {answer.name: answer.source for answer in report.answers}
    assert [name for name in LIST if source[name] == "map"] == [
        "riding a horse",
        "balancing on one foot",
        "welding metal",
    ]
    assert sum(answer.probability for answer in report.answers) == pytest.approx(1)
    assert report.answers[0].name == "swinging legs"
    assert report.answers[0].rests_on == ("swinging legs",)
    assert report.computed == 0
    assert "400 Kinetics-400 classes" in report.learned_from
    assert report.nearest[0][0] == "swinging legs"


@pytest.mark.pack
def test_a_clip_whose_own_class_is_left_out_is_still_found_by_its_name(used, clip):
    report = classify(ClassifyConfig(clip, LIST, leave_out=("swinging legs",)), used)
    best = {answer.name: answer for answer in report.answers[:2]}  # the other is another name of what is seen
    assert best["swinging legs"].source == "map"
    assert "balancing on one foot" in best
    assert "swinging legs" not in best["swinging legs"].rests_on
    assert "399 Kinetics-400 classes" in report.learned_from


@pytest.mark.pack
def test_an_answer_leaves_nothing_in_the_lists(used):
    assert Manifest(used).datasets() == []
    assert FeatureStore(used).names() == []
    assert Texts.sets(used) == []
    assert Manifest(own_root(used)).datasets()


@pytest.mark.pack
def test_of_several_contents_the_answers_are_those_of_each(used, clip):
    key = Manifest(own_root(used)).read(Manifest(own_root(used)).datasets()[0])["key"][0].as_py()
    (answers,) = answers_of([key], LIST, own_root(used))
    assert answers == classify(ClassifyConfig(clip, LIST), used).answers


@pytest.mark.pack
def test_features_that_the_user_extracted_are_used(clip, tmp_path):
    root = Root(tmp_path / "root")
    folder = tmp_path / "films"
    folder.mkdir()
    (folder / "clip.mp4").write_bytes(Path(clip).read_bytes())
    index(IndexConfig((str(folder),), "mine"), root)
    extract(ExtractConfig(("i3d_k400", "efficientnet_lite0_objects"), "mine"), root)
    assert classify(ClassifyConfig(str(folder / "clip.mp4"), ("clapping", "yoga")), root).computed == 0
    assert Manifest(root).datasets() == ["mine"]


@pytest.mark.pack
def test_without_objects_the_order_is_the_classifiers_own(used, clip):
    names = ("swinging legs", "high kick", "playing guitar", "yoga")
    report = classify(ClassifyConfig(clip, names), used)
    assert {answer.objects for answer in report.answers} == {0.0}
    seen = FeatureStore(own_root(used)).find("i3d_k400")
    logits = dict(zip(seen.columns["logits"], seen.load(output="logits").mean()[0].tolist(), strict=True))
    assert [a.name for a in report.answers] == sorted(names, key=lambda name: -logits[name])


@pytest.mark.pack
def test_the_model_is_made_once_and_read_back_as_it_was(used):
    used = own_root(used)
    first, again = made(used), made(used)
    assert first.names == again.names
    assert np.array_equal(first.rows, again.rows)
    assert len(first.texts) == 5
    assert np.isnan(first.texts[-1]).any(1).sum() == 10  # Kinetics names without a word in GloVe, such as slacklining
    assert 0 < first.calibration.scale < 2
    assert first.calibration.error < 0.1
    assert len(used.names_in("maps")) == 1


@pytest.mark.pack
def test_a_second_call_imports_no_torch_no_tables_and_no_dictionary(used, clip, tmp_path):
    for name in ("torch", "transformers", "pandas", "simplemma"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise ImportError('{name} was imported')")
    command = [sys.executable, "-m", "pipelines.command.main", "classify", clip, "--json", "--root", used.url]
    classify(ClassifyConfig(clip, ("clapping", "welding metal")), used)
    done = subprocess.run(
        [*command, "--classes", "clapping, welding metal"],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{Path.cwd()}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert {answer["class"]: answer["source"] for answer in told["answers"]} == {
        "clapping": "classifier",
        "welding metal": "map",
    }
    assert set(told) == {"clip", "answers", "nearest", "objects", "learned_from", "computed", "seconds"}
    assert set(told["answers"][0]) == {"class", "probability", "source", "rests_on", "objects"}
    assert told["computed"] == 0


@pytest.mark.pack
def test_the_page_shows_frames_classes_sources_phrases_and_objects(used, clip):
    report = classify(ClassifyConfig(clip, LIST), used)
    html = Path(page(report, used).removeprefix("file://")).read_text()
    assert html.count("data:image/jpeg") == 6
    assert all(name in html for name in LIST)
    assert ">classifier</span>" in html
    assert ">map</span>" in html
    assert all(name in html for name, _ in report.nearest)
    assert all(name in html for name, _ in report.objects)


@pytest.mark.pack
@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("xqzzt", "clapping"), "No word of 'xqzzt' is in the vocabulary of glove_50d"),
        (("welding", "zzxqw vvrrt", "xqzzt"), "No word of 'zzxqw vvrrt', 'xqzzt'"),
    ],
)
def test_a_name_without_a_known_word_is_one_line(used, clip, classes, message):
    with pytest.raises(UsageError, match=message):
        classify(ClassifyConfig(clip, classes), used)


@pytest.mark.pack
def test_a_seen_class_needs_no_known_word(used, clip):
    report = classify(ClassifyConfig(clip, ("slacklining", "Swinging_Legs")), used)
    assert {answer.source for answer in report.answers} == {"classifier"}


@pytest.mark.pack
def test_only_what_is_there_can_be_left_out(used, clip):
    with pytest.raises(UsageError, match="flying to the moon is none of them"):
        classify(ClassifyConfig(clip, ("clapping",), leave_out=("flying to the moon",)), used)


@pytest.mark.pack
def test_a_broken_clip_is_one_line_each_time(used, tmp_path):
    (tmp_path / "text.mp4").write_text("no film here\n" * 50)
    for _ in range(2):
        with pytest.raises(UsageError, match=r"text\.mp4 gives no features: .*Give another file"):
            classify(ClassifyConfig(str(tmp_path / "text.mp4"), ("clapping",)), used)


@pytest.mark.pack
def test_a_changed_file_is_looked_at_anew(used, clip, tmp_path):
    copy = tmp_path / "clip.mp4"
    copy.write_bytes(Path(clip).read_bytes())
    assert classify(ClassifyConfig(str(copy), ("clapping", "yoga")), used).computed == 0  # the same content
    copy.write_text("no film any more")
    with pytest.raises(UsageError, match="gives no features"):
        classify(ClassifyConfig(str(copy), ("clapping", "yoga")), used)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ((), "No class names to choose from"),
        (("", "  "), "No class names to choose from"),
        (("juggling", "juggling"), "'juggling' twice"),
        (("Juggling Balls", "juggling_balls"), "'Juggling Balls' and 'juggling_balls', which are one class"),
        (("+++",), "holds no word"),
    ],
)
def test_names_that_are_none_are_one_line_before_anything_is_loaded(classes, message):
    with pytest.raises(UsageError, match=message):
        checked(classes)


def test_a_wrong_path_is_one_line_before_anything_is_loaded(root, tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        classify(ClassifyConfig(str(tmp_path / "none.mp4"), ("clapping",)), root)
    with pytest.raises(UsageError, match="is a folder"):
        classify(ClassifyConfig(str(tmp_path), ("clapping",)), root)
    assert not root.names_in("maps")


def test_objects_only_ever_add_and_only_to_what_goes_with_them():
    names = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)
    mean = names.mean(0)
    extra = object_evidence(names[3], np.stack([names[3], 2 * mean - names[3], mean]), names)
    assert extra[0] > 1
    assert extra[1:].tolist() == pytest.approx([0, 0], abs=1e-5)


@pytest.mark.shared
@pytest.mark.pack
@pytest.mark.heavy
def test_signers_are_found_by_a_name_that_was_never_trained_on(shared_data, tmp_path):
    root = Root(tmp_path)
    names = (
        "sign language interpreting",
        "playing guitar",
        "baking cookies",
        "mowing lawn",
        "surfing water",
        "bowling",
    )
    first = 0
    clips = sorted((shared_data / "videos" / "asl_signs").glob("*.mkv"))
    for path in clips:
        report = classify(ClassifyConfig(str(path), names, leave_out=("sign language interpreting",)), root)
        assert {a.name: a.source for a in report.answers}["sign language interpreting"] == "map"
        first += report.answers[0].name == "sign language interpreting"
    assert first >= 16
