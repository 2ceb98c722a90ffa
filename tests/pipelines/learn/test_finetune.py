"""Training ST-GCN: on seen classes alone, killed and gone on with in the same bits, and used by the extractor after."""

import dataclasses
import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from extractors import options, stgcn_network
from extractors.base import TextExtractor
from extractors.errors import ExtractorError
from extractors.joints import KINECT_20, NTU_25
from extractors.pose_weights import About, about
from extractors.poses import Form
from pipelines.command.main import app
from pipelines.errors import Stopped, UsageError
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from pipelines.judge.evaluate import evaluate
from pipelines.judge.results import results
from pipelines.judge.settings import EvaluateConfig
from pipelines.learn import engine as training
from pipelines.learn import finetune as stage
from pipelines.learn import parts
from pipelines.learn.begun import keeps_back, sample, trained_on_now
from pipelines.learn.finetune import FinetuneReport, finetune
from pipelines.learn.fit import fit
from pipelines.learn.protocols.fifths import fifths
from pipelines.learn.protocols.splits import furthest, nearest
from pipelines.learn.runs import Run
from pipelines.learn.samples import features as videos
from pipelines.learn.samples import items
from pipelines.learn.samples import sequences as pose_training
from pipelines.learn.samples.sequences import PoseSet, augmented, read
from pipelines.learn.settings import FinetuneConfig, FitConfig
from pipelines.learn.study import Study
from pipelines.look.listing import failures, kind_of, runs
from pipelines.machine import cores_here
from pipelines.texts.adding import add
from pipelines.texts.settings import TextsConfig
from stores.errors import Damaged, NotInStore
from stores.features import FeatureStore
from stores.manifest import Manifest
from stores.root import Root
from tests.extractors.test_pose_files import kinetics, person
from tests.pipelines.skeletons import CLASSES, body, dataset, index, many

FORM = Form(8, 1)


def config(**more: object) -> FinetuneConfig:
    fields = {"frames": 8, "epochs": 3, "batch": 8, "threads": 1, "device": "cpu", "lr": 0.05}
    return FinetuneConfig("stgcn_small", "p", **(fields | more))  # type: ignore[arg-type]


def protocol(folder: Path, *unseen: tuple[str, ...]) -> str:
    """A file of splits by their unseen classes."""
    splits = [{"seen": [name for name in CLASSES if name not in own], "unseen": list(own)} for own in unseen]
    (folder / "own.json").write_text(json.dumps(splits))
    return str(folder / "own.json")


def named(asked: FinetuneConfig, root: Root) -> str:
    """The name of the run of some settings."""
    trained = stage.trainable(asked, root)
    return stage.run_name(asked, trained, parts.named(asked, trained, root))


def weights(report: FinetuneReport, number: int = 0) -> dict[str, np.ndarray]:
    return load_file(report.weights[number])


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)


def given_nothing(monkeypatch: pytest.MonkeyPatch, classes: tuple[str, ...]) -> None:
    """Make the sequences of some classes NaN as they are read."""

    def poisoned(*args: object) -> PoseSet:
        found = read(*args)  # type: ignore[arg-type]
        of = np.isin(np.array(found.labels, object), classes)
        for values in (found.drawn, found.whole):
            values[of] = np.nan
        return found

    monkeypatch.setattr(pose_training, "read", poisoned)


# -- what is trained --------------------------------------------------------------------------------------------------


def test_it_learns_and_says_how_well_on_other_subjects(root, tmp_path):
    dataset(root, tmp_path, each=9)
    report = finetune(config(epochs=16, train=("subject=1,2",), test=("subject=3",)), root)
    assert report.top1 is not None
    assert report.top1 > 0.9
    assert (report.trained, report.sequences, report.failed, report.notes) == (1, 36, 0, ())
    told = json.loads(Path(report.weights[0]).with_name("split.json").read_text())
    assert (told["trained_on"], told["tested_on"], told["classes"]) == (24, 12, list(CLASSES))
    again = finetune(config(epochs=16, train=("subject=1,2",), test=("subject=3",)), root)
    assert (again.run, again.top1, again.trained) == (report.run, report.top1, 0)


def test_no_unseen_class_is_trained_on(root, tmp_path, monkeypatch):
    dataset(root, tmp_path, each=2)
    asked = config(protocol=protocol(tmp_path, ("bow",), ("dive", "clap")))
    clean = finetune(asked, root)
    assert clean.top1 is None
    assert [len(weights(clean, split)["fcn.bias"]) for split in (0, 1)] == [3, 2]
    for split, unseen in enumerate((("bow",), ("dive", "clap"))):
        other = Root(tmp_path / f"other-{split}")
        index(other, tmp_path / "many.npz")
        given_nothing(monkeypatch, unseen)
        found = finetune(dataclasses.replace(asked, splits=str(split)), other)
        assert found.run == clean.run
        assert same(weights(found, split), weights(clean, split))
    given_nothing(monkeypatch, ("fence",))
    other = Root(tmp_path / "other")
    index(other, tmp_path / "many.npz")
    with pytest.raises(Stopped, match="The loss is no longer finite in epoch 1"):
        finetune(asked, other)


def test_classes_of_the_data_set_to_judge_on_are_not_trained_on(root, tmp_path, monkeypatch):
    dataset(root, tmp_path, each=3)
    (tmp_path / "q.txt").write_text("Clap\njuggle")
    add(TextsConfig((str(tmp_path / "q.txt"),), "class", "q"), root)
    everything = finetune(config(epochs=1), root)
    given_nothing(monkeypatch, ("clap",))
    report = finetune(config(epochs=1, judge=("q",), tau=0.0), root)
    assert report.run != everything.run
    assert report.notes == ("1 classes are classes of q, and left out: clap",)
    told = Run(root, report.run, "finetune")
    assert told.about()["removed"] == ["clap"]
    assert told.told(0)["classes"] == [name for name in CLASSES if name != "clap"]
    assert len(weights(report)["fcn.bias"]) == 3


def test_of_a_part_no_other_class_and_no_other_sequence_is_trained_on(root, tmp_path):
    dataset(root, tmp_path, each=9)
    whole = finetune(config(epochs=1), root)
    report = finetune(config(epochs=1, part=("classes=2", "share=0.5")), root)
    assert report.run != whole.run
    told, all_of = (Run(root, run, "finetune").told(0) for run in (report.run, whole.run))
    assert len(told["classes"]) == 2
    assert set(told["classes"]) < set(all_of["classes"])
    assert 2 < told["trained_on"] < 16
    assert len(weights(report)["fcn.bias"]) == 2


def test_the_views_of_one_performance_are_kept_back_together(root, tmp_path):
    dataset(root, tmp_path, each=9)

    def name(**more: object) -> str:
        return stage.run_name(config(**more), trained, parts.named(config(), trained, root))

    trained = stage.trainable(config(), root)
    plain, before = name(), name(gzsl=True)
    splits = tuple({**split, "recording": f"take {k // 3}"} for k, split in enumerate(trained.items.splits))
    trained.items = dataclasses.replace(trained.items, splits=splits)
    kept = parts.kept_back(trained.items).reshape(-1, 3)
    assert (kept == kept[:, :1]).all()
    assert 0 < kept.sum() < kept.size / 2
    assert (name(), name(gzsl=True) != before) == (plain, True)


def test_what_gzsl_keeps_back_is_not_trained_on_and_fit_asks_for_it(root, tmp_path, monkeypatch):
    """A backbone that saw the videos that judge would flatter every head on top of it."""
    dataset(root, tmp_path, each=9)
    asked = config(protocol=protocol(tmp_path, ("bow",)), gzsl=True, epochs=1)
    clean = finetune(asked, root)
    found = read("p", root, "", FORM)
    kept = fifths(found.ids, found.keys) == 0
    other = Root(tmp_path / "other")
    index(other, tmp_path / "many.npz")

    def poisoned(*args: object) -> PoseSet:
        given = read(*args)  # type: ignore[arg-type]
        for values in (given.drawn, given.whole):
            values[kept] = np.nan
        return given

    monkeypatch.setattr(pose_training, "read", poisoned)
    assert same(weights(finetune(asked, other)), weights(clean))
    with pytest.raises(Stopped, match="no longer finite"):
        finetune(dataclasses.replace(asked, gzsl=False), other)
    monkeypatch.undo()
    (tmp_path / "classes.txt").write_text("\n".join(CLASSES))
    add(TextsConfig((str(tmp_path / "classes.txt"),), "class", "p"), root)
    judged = FitConfig("eszsl", "p", "stgcn_small", asked.protocol, encoder="glove_50d", gzsl=True)
    for report, fits in ((clean, True), (finetune(dataclasses.replace(asked, gzsl=False), root), False)):
        given = (f"stgcn_small={report.weights[0]}",)
        feature = extract(ExtractConfig(("stgcn_small",), "p", given, workers=1, device="cpu"), root).features[0].name
        told = dataclasses.replace(judged, feature=feature)
        if not fits:
            with pytest.raises(UsageError, match=r"Seen videos to judge on were trained on.*finetune --gzsl"):
                Study(told, root)
        else:
            assert (Study(told, root).kept_back == kept).all()


def test_what_was_trained_on_is_refused_where_recordings_told_later_would_have_it_judge(root, tmp_path):
    """Which fifth is kept back follows from recordings: told otherwise later, weights have seen what judges now."""
    dataset(root, tmp_path, each=9)
    (tmp_path / "classes.txt").write_text("\n".join(CLASSES))
    add(TextsConfig((str(tmp_path / "classes.txt"),), "class", "p"), root)
    asked = config(protocol=protocol(tmp_path, ("bow",)), gzsl=True, epochs=1)
    path = finetune(asked, root).weights[0]
    given = (f"stgcn_small={path}",)
    feature = extract(ExtractConfig(("stgcn_small",), "p", given, workers=1, device="cpu"), root).features[0].name
    judged = FitConfig("ridge", "p", feature, asked.protocol, encoder="random_vectors", options=("texts=class",))
    judged = dataclasses.replace(judged, gzsl=True, hold_out=0.5)
    run = fit(judged, root).run
    assert Study(judged, root).notes == []
    manifest = Manifest(root).read("p")
    told = [f"recording=take {(k * 7) % 9}" for k in range(manifest.num_rows)]
    Manifest(root).write("p", manifest.set_column(manifest.schema.get_field_index("split"), "split", pa.array(told)))
    for again in (lambda: fit(judged, root), lambda: evaluate(EvaluateConfig(run), root)):
        with pytest.raises(UsageError, match=r"were trained on videos that --gzsl keeps back now, [1-9]\d* of the \d+"):
            again()
    with pytest.raises(ExtractorError, match=r"was trained on some of it \([1-9]\d* of the \d+ items it names\)"):
        finetune(dataclasses.replace(asked, weights=path), root)
    fit(dataclasses.replace(judged, gzsl=False), root)  # nothing is kept back then


def test_weights_that_kept_back_before_they_said_which_are_told(root, tmp_path, monkeypatch):
    dataset(root, tmp_path, each=9)
    (tmp_path / "classes.txt").write_text("\n".join(CLASSES))
    add(TextsConfig((str(tmp_path / "classes.txt"),), "class", "p"), root)
    monkeypatch.setattr(stage, "sample", lambda keys: True)  # as files of before have it
    asked = config(protocol=protocol(tmp_path, ("bow",)), gzsl=True, epochs=1)
    given = (f"stgcn_small={finetune(asked, root).weights[0]}",)
    feature = extract(ExtractConfig(("stgcn_small",), "p", given, workers=1, device="cpu"), root).features[0].name
    judged = FitConfig("eszsl", "p", feature, asked.protocol, encoder="random_vectors", gzsl=True)
    assert Study(judged, root).notes == []  # no recording is told: the fifth is as it always was
    manifest = Manifest(root).read("p")
    told = pa.array([f"recording=take {k % 9}" for k in range(manifest.num_rows)])
    Manifest(root).write("p", manifest.set_column(manifest.schema.get_field_index("split"), "split", told))
    (note,) = Study(judged, root).notes
    assert "do not say which videos they kept back" in note


def test_what_weights_were_before_counts_too():
    """Weights that went on from others on another data set have seen what those saw."""
    first = {"dataset": "p", "classes": ["clap"], "kept_back": False}
    then = {"dataset": "q", "classes": ["bow"], "kept_back": False, "before": first}
    assert not keeps_back(then, "p")
    assert not keeps_back(then, "q")
    keys = [bytes([k]) * 32 for k in range(9)]
    kept = {"dataset": "q", "classes": ["bow"], "kept_back": False, "before": first | {"kept_back": sample(keys)}}
    assert keeps_back(kept, "p")
    assert trained_on_now(kept, "p", keys[4:6]) == (2, 9)
    assert trained_on_now(kept, "p", [b"other" * 8]) == (0, 9)
    assert trained_on_now(kept, "q", keys) == (0, 0)


def test_the_weights_say_what_they_were_trained_on_and_the_extractor_takes_their_form(root, tmp_path):
    dataset(root, tmp_path, each=2, layout="auto")
    report = finetune(config(protocol=protocol(tmp_path, ("bow",)), epochs=1, people=2), root)
    assert about(Path(report.weights[0])) == About("kinect-20", Form(8, 2), "p", ("clap", "dive", "fence"))
    names = stgcn_network.shapes(stgcn_network.STGCN_SMALL, 20, 3)
    found = stgcn_network.read(Path(report.weights[0]), stgcn_network.STGCN_SMALL)
    assert {name: values.shape for name, values in found.items()} == names
    given = (f"stgcn_small={report.weights[0]}",)
    done = extract(ExtractConfig(("stgcn_small:segments=2",), "p", given, workers=1, device="cpu"), root).features[0]
    assert (done.extracted, done.failed) == (8, 0)
    feature_set = FeatureStore(root).find("stgcn_small")
    assert feature_set.recipe["sampling"] | {"frames": 8, "people": 2} == feature_set.recipe["sampling"]
    seen = {"dataset": "p", "classes": ["clap", "dive", "fence"], "kept_back": False}
    assert feature_set.recipe["preprocessing"]["trained_on"] == seen


def test_features_of_trained_weights_feed_a_head(root, tmp_path, fake):
    dataset(root, tmp_path, each=3)
    asked = protocol(tmp_path, ("bow", "dive"))
    report = finetune(config(protocol=asked, epochs=1), root)
    given = (f"stgcn_small={report.weights[0]}",)
    name = extract(ExtractConfig(("stgcn_small",), "p", given, workers=1, device="cpu"), root).features[0].name
    (tmp_path / "classes.txt").write_text("\n".join(CLASSES))
    add(TextsConfig((str(tmp_path / "classes.txt"),), "class", "p"), root)
    options = ("epochs=1", "batch=4")
    fitted = fit(
        FitConfig("er", "p", name, asked, encoder="fake_text", options=options, k=0, workers=1, device="cpu"), root
    )
    assert (fitted.splits, fitted.fitted) == (1, 1)
    judged = evaluate(EvaluateConfig(fitted.run), root)
    assert (judged.overlap, judged.near) == ((), ())
    (row,) = results(root)
    assert (row["pretraining"], row["n"]) == ("p (2 classes)", 6)
    found = videos.read("p", name, "p", root)
    assert found.trained_on == ("clap", "fence")
    videos.refuse_trained_on(found, ("bow", "dive"), "Split 0")
    with pytest.raises(UsageError, match="Split 1 has unseen classes that the weights of .* were trained on: clap. "):
        videos.refuse_trained_on(found, ("bow", "clap"), "Split 1")
    random = extract(ExtractConfig(("stgcn_small",), "p", ("stgcn_small=random:0",), workers=1), root).features[0].name
    assert videos.read("p", random, "p", root).trained_on == ()


def test_sequences_that_are_trained_on_are_no_test(root, tmp_path):
    sequences = [body(k, seed) for k in range(2) for seed in range(3)]
    labels = [0, 0, 0, 1, 1, 1]
    views = [f"v{1 + i % 3}" for i in range(6)]
    (tmp_path / "m.npz").write_bytes(
        many([*sequences, sequences[0]], [*labels, 0], [*views, "v3"])  # the first one again, as another view
    )
    index(root, tmp_path / "m.npz")
    report = finetune(config(epochs=1, train=("subject=1,2",), test=("subject=v3",)), root)
    assert report.notes == ("split 0: 1 sequences to test are also trained on, and left out",)
    told = json.loads(Path(report.weights[0]).with_name("split.json").read_text())
    assert (told["trained_on"], told["tested_on"], told["twins"]) == (4, 2, 1)


def test_what_cannot_be_used_is_named_and_the_rest_is_trained_on(root, tmp_path):
    lost = body(1, 9)
    lost[:, 5] = 0
    sequences = [body(k, seed) for k in range(2) for seed in range(3)]
    (tmp_path / "m.npz").write_bytes(many([*sequences, lost], [0, 0, 0, 1, 1, 1, 1]))
    (tmp_path / "k.json").write_bytes(kinetics({i: [person(0.1 * i)] for i in range(4)}))
    index(root, tmp_path)
    with pytest.raises(
        UsageError, match=r"of several layouts \(kinect-20, openpose-18\). Name the network's: --layout"
    ):
        finetune(config(), root)
    report = finetune(config(epochs=1, layout="kinect-20"), root)
    assert (report.sequences, report.failed) == (6, 2)
    found = {Path(row["file"]).name: row["error"] for row in failures(root) if row["stage"] == "finetune"}
    assert found == {"m.npz#6,kinect-20": "JointNeverSeen", "k.json#openpose-18": "LayoutMismatch"}


# -- drawn by class vectors -------------------------------------------------------------------------------------------

MANY = tuple(f"{limb} {how}" for limb in ("arm", "hand", "leg", "foot") for how in ("up", "down", "round"))
LABELS = tuple(name.replace(" ", "_") for name in MANY)  # the data set spells them otherwise than the set of texts


def many_classes(root: Root, folder: Path) -> None:
    """The data set `p` of 12 classes of 2 sequences, and the set `p` with names, and a definition a class."""
    sequences = [body(k % 4, seed=2 * k + i) for k in range(12) for i in range(2)]
    (folder / "many.npz").write_bytes(many(sequences, [k for k in range(12) for _ in range(2)], names=LABELS))
    index(root, folder / "many.npz")
    (folder / "classes.txt").write_text("\n".join(reversed(MANY)))
    add(TextsConfig((str(folder / "classes.txt"),), "class", "p"), root)
    told = [{"class": name, "definition": f"what {name} means"} for name in MANY]
    (folder / "told.json").write_text(json.dumps(told))
    add(TextsConfig((str(folder / "told.json"),), "definition", "p"), root)


def drawn_by(encoder: str, texts: list[str]) -> tuple[str, ...]:
    """The classes that are drawn where each is told by one of these texts."""
    extractor = options.asked(encoder, None, "fp32")
    assert isinstance(extractor, TextExtractor)
    units = np.array(extractor.tokens(texts))
    return nearest(MANY, extractor(units)["features"])


@pytest.mark.parametrize("seed", [0, 1])
def test_a_backbone_has_not_seen_the_classes_that_fit_draws(root, tmp_path, seed):
    many_classes(root, tmp_path)
    encoder = f"random_vectors:seed={seed}"
    report = finetune(config(protocol="ntu-nearest", encoder=encoder, epochs=1), root)
    told = json.loads(Path(report.weights[0]).with_name("split.json").read_text())
    drawn = drawn_by(encoder, list(MANY))
    assert sorted(told["unseen"]) == sorted(name.replace(" ", "_") for name in drawn)
    assert sorted(told["classes"]) == sorted(set(LABELS) - set(told["unseen"]))
    given = (f"stgcn_small={report.weights[0]}",)
    feature = extract(ExtractConfig(("stgcn_small",), "p", given, workers=1, device="cpu"), root).features[0].name
    for texts in ("class", "definition"):
        asked = FitConfig("eszsl", "p", feature, "ntu-nearest", encoder=encoder, options=(f"texts={texts}",))
        split = Study(asked, root).split(0)
        assert split.unseen == drawn
        assert set(split.seen) == set(MANY) - set(drawn)
    other = f"random_vectors:seed={seed + 7}"
    assert drawn_by(other, list(MANY)) != drawn
    with pytest.raises(UsageError, match="has unseen classes that the weights of stgcn_small@.* were trained on"):
        Study(dataclasses.replace(asked, encoder=other), root).split(0)
    again = finetune(config(protocol="ntu-nearest", encoder=other, epochs=1), root)
    assert again.run != report.run


@pytest.mark.parametrize("protocol", ["ntu-nearest", "ntu-furthest"])
def test_a_split_drawn_by_class_vectors_is_of_the_names_whatever_texts_a_head_reads(root, tmp_path, protocol):
    many_classes(root, tmp_path)
    extract(ExtractConfig(("raw_joints:frames=4",), "p", workers=1, device="cpu"), root)
    draw = {"ntu-nearest": nearest, "ntu-furthest": furthest}[protocol]
    splits, read = [], []
    for texts in ("class", "definition", "class+definition"):
        for head in ("eszsl", "ridge"):
            asked = FitConfig(
                head, "p", "raw_joints", protocol, encoder="random_vectors", options=(f"texts={texts}",), device="cpu"
            )
            study = Study(asked, root)
            splits.append(study.split(0))
            read.append(set(study.texts.tensors.kinds))
    assert {split.unseen for split in splits} == {splits[0].unseen}
    assert len(splits[0].unseen) == 5
    assert read[0] == {"class"}
    assert read[2] == {"definition"}
    vectors = study.texts.tensors["definition"].mean(study.texts.tensors["definition"].features, 12).numpy()
    assert draw(study.classes, vectors) != splits[0].unseen  # it would show if definitions had a say


# -- killed -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [1, 4])
def test_killed_after_an_epoch_and_run_again_ends_in_the_same_bits(root, tmp_path, monkeypatch, after):
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=itertools.count(0, 100).__next__))  # always saved
    dataset(root, tmp_path, each=2)
    asked = config(protocol=protocol(tmp_path, ("bow",), ("clap",)), test=("subject=2",), train=("subject=1",))
    whole = finetune(asked, root)
    other = Root(tmp_path / "other")
    index(other, tmp_path / "many.npz")

    def killed(done: int, total: int, said: str) -> None:
        assert total == 6
        if done == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(asked, other, killed)
    seen: list[int] = []
    again = finetune(asked, other, lambda done, total, said: seen.append(done))
    assert again.run == whole.run
    assert again.top1 == whole.top1
    assert len(seen) < 6 - after + 2
    assert all(same(weights(again, split), weights(whole, split)) for split in (0, 1))


def test_another_seed_or_length_is_another_run(root, tmp_path):
    dataset(root, tmp_path, each=2)

    def name(asked: FinetuneConfig) -> str:
        return named(asked, root)

    names = {
        name(asked)
        for asked in (
            config(),
            config(seed=1),
            config(epochs=4),
            config(train=("subject=1",)),
            config(precision="bf16"),
            config(gzsl=True),
        )
    }
    assert len(names) == 6
    assert name(config(threads=2, splits="0")) == name(config())


def test_bf16_is_computed_when_asked(root, tmp_path):
    dataset(root, tmp_path, each=2)
    one, other = (finetune(config(epochs=1, precision=precision), root) for precision in ("fp32", "bf16"))
    assert not same(weights(one), weights(other))
    assert weights(other)["fcn.weight"].dtype == np.float32


# -- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"train": ("subject=1",), "test": ("subject=1,2",)}, "are both trained and tested on, many#0 for one"),
        ({"test": ("subject=1",)}, "are both trained and tested on"),
        ({"train": ("view=1",)}, "of these sequences is known: subject; not 'view'"),
        ({"train": ("subject=1,9",)}, "no subject is 9; there are: s1, s2"),
        ({"train": ("subject",)}, "chosen by NAME=VALUE,VALUE"),
        ({"layout": "ntu"}, "No layout of joints is called 'ntu'"),
        ({"layout": "ntu-25"}, "none can be learned from: 0 have no label, 8 cannot be used.*cannot be turned into"),
        ({"protocol": "ntu-nearest"}, "No set of classes is called 'p'"),
        ({"protocol": "utd-mhad-22/5"}, "does not fit the 4 classes of the data set"),
        ({"protocol": "nonsense"}, "No protocol is called 'nonsense'"),
        ({"weights": "gone.safetensors"}, "No weights file at gone.safetensors"),
        ({"options": ("warmup_steps=3",)}, "A warm-up of 3 steps is as long as the training, 3 steps"),
    ],
)
def test_a_mistake_is_refused_before_anything_is_trained(root, tmp_path, more, message):
    dataset(root, tmp_path, each=2)
    with pytest.raises((UsageError, ExtractorError, NotInStore), match=message):
        finetune(config(**more), root)


def test_a_split_of_one_class_and_a_data_set_without_poses_are_refused(root, tmp_path):
    with pytest.raises(NotInStore, match="No data set is called 'p'"):
        finetune(config(), root)
    dataset(root, tmp_path, each=2)
    with pytest.raises(UsageError, match="trains on 2 sequences of 1 classes; 2 classes are needed"):
        finetune(config(protocol=protocol(tmp_path, ("bow", "clap", "dive"))), root)
    with pytest.raises(UsageError, match="'tsm' is not trained here; there are: stgcn, stgcn_small"):
        finetune(dataclasses.replace(config(), model="tsm"), root)


@pytest.mark.parametrize(
    ("field", "value"), [("epochs", 0), ("frames", 2), ("dropout", 1.0), ("smoothing", -0.1), ("lr", float("nan"))]
)
def test_settings_out_of_their_range_are_refused(field, value):
    with pytest.raises(UsageError, match=f"{field} "):
        config(**{field: value})


def test_weights_that_saw_all_classes_of_ntu_are_refused_for_zero_shot(root, tmp_path):
    sequences = [body(k, seed, layout=NTU_25) for k in range(4) for seed in range(2)]
    (tmp_path / "ntu.npz").write_bytes(many(sequences, [0, 0, 1, 1, 2, 2, 3, 3], layout="ntu-25"))
    index(root, tmp_path / "ntu.npz")
    from stores.manifest import Manifest

    Manifest(root).write("ntu60", Manifest(root).read("p"))
    arrays = stgcn_network.random(stgcn_network.STGCN, NTU_25, 60, 0)
    path = tmp_path / "st_gcn.ntu-xsub.pt"
    torch.save({name: torch.from_numpy(values) for name, values in arrays.items()}, path)
    asked = dataclasses.replace(
        config(weights=str(path), protocol=protocol(tmp_path, ("bow",)), epochs=1), model="stgcn", dataset="ntu60"
    )
    with pytest.raises(ExtractorError, match="saw all 60 classes of ntu60. Train on the seen classes"):
        finetune(asked, root)
    assert finetune(dataclasses.replace(asked, dataset="p"), root).trained == 1  # another data set's classes


def test_weights_begin_a_training_unless_they_saw_an_unseen_class(root, tmp_path):
    dataset(root, tmp_path, each=2)
    arrays = stgcn_network.random(stgcn_network.STGCN_SMALL, KINECT_20, 5, 0)
    path = tmp_path / "w.safetensors"
    said = About("kinect-20", FORM, "p", ("bow", "other"))
    save_file(arrays, path, said.metadata())
    asked = config(weights=str(path), epochs=1, lr=0.0, weight_decay=0.0)
    with pytest.raises(ExtractorError, match="was trained on bow of p. Begin with other weights"):
        finetune(dataclasses.replace(asked, protocol=protocol(tmp_path, ("bow", "dive"))), root)
    found = weights(finetune(dataclasses.replace(asked, protocol=protocol(tmp_path, ("dive",))), root))
    kept = "st_gcn_networks.2.gcn.conv.weight"
    np.testing.assert_array_equal(found[kept], arrays[kept])
    assert found["fcn.bias"].shape == (3,)
    save_file(arrays, path, dataclasses.replace(said, layout="ntu-25").metadata())
    with pytest.raises(ExtractorError, match="takes joints of ntu-25, and the network is made for kinect-20"):
        finetune(dataclasses.replace(asked, seed=1), root)


# -- what is drawn ----------------------------------------------------------------------------------------------------


def test_a_window_is_turned_and_scaled_and_who_is_not_there_stays_away():
    torch.manual_seed(0)
    x = torch.randn(64, 3, 16, 5, 2)
    x[..., 1] = 0
    found = augmented(x, 8, 3)
    assert found.shape == (64, 3, 8, 5, 2)
    assert (found[..., 1] == 0).all()
    still = x[:, :, :1].expand(-1, -1, 16, -1, -1)
    scales = augmented(still, 8, 3).norm(dim=1)[..., 0] / still[:, :, :8].norm(dim=1)[..., 0]
    assert scales.std((1, 2)).max() < 1e-5  # lengths change by one scale a sequence
    assert (scales.mean((1, 2)) - 1).abs().max() <= 0.15 + 1e-5
    assert scales.mean((1, 2)).std() > 0.05


def test_windows_are_of_60_to_100_percent_in_order():
    torch.manual_seed(0)
    flat = torch.zeros(200, 3, 16, 1, 1)
    flat[:, 2] = torch.linspace(0, 1, 16)[None, :, None, None]  # a score, which an image's axes leave alone
    times = augmented(flat, 8, 2)[:, 2, :, 0, 0]
    lengths = times[:, -1] - times[:, 0]
    assert 0.6 - 1e-5 <= float(lengths.min()) < 0.65
    assert 0.95 < float(lengths.max()) <= 1 + 1e-5
    assert (times.diff(dim=1) > 0).all()
    assert float(times.min()) >= 0
    assert float(times.max()) <= 1 + 1e-5


def test_joints_in_an_image_are_turned_in_its_plane():
    torch.manual_seed(0)
    x = torch.rand(32, 3, 16, 4, 1)
    x[:, 2] = 0.5
    found = augmented(x, 8, 2)
    np.testing.assert_allclose(found[:, 2], 0.5, atol=1e-6)
    assert not torch.allclose(found[:, :2], x[:, :2, ::2])


def test_values_are_the_same_as_text_or_as_numbers_behind_letters(root, tmp_path):
    dataset(root, tmp_path, each=3)
    poses = read("p", root, "", FORM)
    chosen = [poses.matching(conditions).tolist() for conditions in (("subject=1",), ("subject=s01",), ("subject=s1",))]
    assert chosen[0] == chosen[1] == chosen[2]
    assert sum(chosen[0]) == 4
    assert poses.matching(()).all()
    assert not poses.matching(("subject=1", "subject=2")).any()


def test_both_orders_of_the_same_skeleton_are_learned_as_one(root, tmp_path):
    dataset(root, tmp_path, each=1)
    (tmp_path / "more.npz").write_bytes(many([body(0, 5)], [0], layout="kinect-20-utd"))
    index(root, tmp_path / "more.npz")
    poses = read("p", root, "", FORM)
    assert (poses.layout, len(poses.ids)) == (KINECT_20, 5)
    assert (poses.drawn.shape, poses.whole.shape) == ((5, 3, 16, 20, 1), (5, 3, 8, 20, 1))
    assert items._plain("view-3") == "view-3"


# -- the command ------------------------------------------------------------------------------------------------------


def test_the_command_prints_one_object(root, tmp_path):
    dataset(root, tmp_path, each=3)
    asked = ["finetune", "stgcn_small", "--dataset", "p", "--frames", "8", "--epochs", "1", "--threads", "1"]
    asked += ["--train", "subject=1,2", "--test", "subject=3", "--root", root.url, "--device", "cpu"]
    done = CliRunner().invoke(app, [*asked, "--json"])
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert set(found) == {"run", "weights", "top1", "seconds"}
    assert Path(found["weights"]).is_file()
    told = CliRunner().invoke(app, asked).stdout
    assert "top-1 of the poses to test:" in told
    assert f"zsar extract stgcn_small --dataset p --weights stgcn_small={found['weights']}" in told.replace("\n", "")
    splits = protocol(tmp_path, ("bow",), ("clap",))
    done = CliRunner().invoke(app, [*asked[:-6], "--protocol", splits, "--root", root.url, "--json"])
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert sorted(found["weights"]) == ["0", "1"]


def call(root: Root, *arguments: str) -> Any:
    """What a command prints, or the object of its last line."""
    done = CliRunner().invoke(app, [*arguments, "--root", root.url])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout.strip().splitlines()[-1]) if "--json" in arguments else done.stdout


def test_a_training_is_listed_and_shown_with_what_it_was_of(root, tmp_path):
    dataset(root, tmp_path, each=3)
    asked = config(protocol=protocol(tmp_path, ("bow",), ("clap",)), train=("subject=1,2",), test=("subject=3",))
    report = finetune(dataclasses.replace(asked, epochs=1, splits="1"), root)
    assert finetune(dataclasses.replace(asked, epochs=1, splits="0"), root).run == report.run
    (row,) = call(root, "list", "runs", "--json")["runs"]
    assert row.pop("made").endswith("Z")
    shown = call(root, "show", "stgcn", "--json")
    assert row == {
        "run": report.run, "head": "", "network": "stgcn_small", "dataset": "p", "feature": "",
        "protocol": asked.protocol, "fitted": 2, "judged": True, "top1": shown["top1"], "state": "done",
    }  # fmt: skip
    assert (shown["run"], shown["state"], shown["about"]["sequences"]) == (report.run, "done", 12)
    assert shown["about"]["command"].startswith("zsar finetune stgcn_small --dataset p --protocol ")
    one, other = shown["splits"]
    assert [own["unseen"] for own in (one, other)] == [["bow"], ["clap"]]
    assert one["classes"] == ["clap", "dive", "fence"]
    assert (one["number"], one["trained_on"], one["tested_on"], one["twins"], one["epochs"]) == (0, 6, 3, 0, 1)
    assert one["seconds"] >= 0
    assert (other["weights"], Path(one["weights"]).is_file()) == (report.weights[1], True)
    assert shown["top1"] == pytest.approx((one["top1"] + other["top1"]) / 2)
    told = call(root, "list", "runs")
    assert "stgcn_small (a network)" in told
    assert f"{100 * shown['top1']:.2f} %" in told
    told = call(root, "show", report.run, "--split", "1")
    assert "bow; dive; fence" in told
    assert "goes on" not in told


def test_what_was_killed_says_so_and_what_goes_on(root, tmp_path):
    dataset(root, tmp_path, each=2)
    asked = config(protocol=protocol(tmp_path, ("bow",), ("clap",), ("dive",)))

    def killed(done: int, total: int, said: str) -> None:
        if done == 4:  # in the second split
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(asked, root, killed)
    (row,) = runs(root)
    state = "1 of 3 splits: in progress, or killed"
    assert (row["fitted"], row["judged"], row["top1"], row["state"]) == (1, False, None, state)
    shown = call(root, "show", row["run"], "--json")
    assert [split["state"] for split in shown["splits"]] == ["done", "in progress, or killed", "not begun"]
    assert (shown["state"], shown["splits"][1]["weights"], shown["splits"][1]["classes"]) == (state, None, [])
    assert "this goes on: `zsar finetune stgcn_small" in call(root, "show", row["run"])
    finetune(asked, root)
    (row,) = runs(root)
    assert (row["fitted"], row["state"]) == (3, "done")
    seconds = [split["seconds"] for split in call(root, "show", row["run"], "--json")["splits"]]
    assert [value is None for value in seconds] == [False, True, False]  # of what was killed it is not known


def test_a_training_of_before_says_what_is_known_of_it(root, tmp_path):
    dataset(root, tmp_path, each=2)
    report = finetune(config(epochs=1), root)
    folder = Path(report.weights[0]).parent
    for path, kept in ((folder.parent / "finetune.json", ("config", "sequences", "digest")), (folder / "split.json", ("classes", "number", "epochs", "top1"))):  # fmt: skip # noqa: E501
        path.write_text(json.dumps({name: json.loads(path.read_text())[name] for name in kept}))
    (row,) = runs(root)
    assert (row["fitted"], row["state"], row["made"]) == (1, "done", "")
    assert call(root, "show", report.run, "--json")["splits"][0]["seconds"] is None
    assert "clap; dive" in call(root, "show", report.run)


def test_a_training_is_not_judged_by_itself(root, tmp_path):
    dataset(root, tmp_path, each=2)
    run = finetune(config(epochs=1), root).run
    done = CliRunner().invoke(app, ["evaluate", run[:9], "--root", root.url])
    assert done.exit_code == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(f"zsar: {run} trained a network, which is not judged by itself. `zsar judge {run}`")
    done = CliRunner().invoke(app, ["show", run, "--split", "3", "--root", root.url])
    assert "was not trained on split 3; it was on 0." in done.stderr
    with pytest.raises(NotInStore, match=rf"No run .* there are: {run}"):
        kind_of(root, "nope")


# -- on real motion capture -------------------------------------------------------------------------------------------


@pytest.mark.shared
def test_real_sequences_are_learned_in_a_few_epochs(root, shared_data):
    """Of 27 classes, chance is 3.7 %; the whole training reaches what docs/results.md says."""
    index(root, shared_data / "skeleton" / "utd_mhad.npz", layout="kinect-20-utd")
    asked = config(epochs=2, frames=16, batch=16, lr=0.1, train=("subject=1,3",), test=("subject=2",))
    report = finetune(asked, root)
    assert (report.sequences, report.failed) == (861, 0)
    assert report.top1 is not None
    assert report.top1 > 0.12


def test_a_split_that_is_drawn_from_other_names_is_another_run(root, tmp_path):
    """Names that sort otherwise draw otherwise, and weights of the one split must not be found for the other."""
    dataset(root, tmp_path, each=2)
    drawn, names = config(protocol="ntu-random"), []
    for spelled in (CLASSES, (*CLASSES, "a class more")):
        (tmp_path / "classes.txt").write_text("\n".join(spelled))
        add(TextsConfig((str(tmp_path / "classes.txt"),), "class", "p"), root)
        names.append(named(drawn, root))
    assert names[0] != names[1]


def test_weights_that_are_damaged_are_not_extracted_with_wherever_they_are_given(root, tmp_path):
    dataset(root, tmp_path, each=2)
    path = Path(finetune(config(epochs=1), root).weights[0])
    content = bytearray(path.read_bytes())
    content[-40] ^= 1
    path.write_bytes(content)
    asked = ExtractConfig(("stgcn_small",), "p", weights=(f"stgcn_small={path}",))
    with pytest.raises(Damaged, match="these are not the weights that were trained"):
        extract(asked, root)
    moved = path.replace(tmp_path / path.name)  # a file of anybody's
    (done,) = extract(dataclasses.replace(asked, weights=(f"stgcn_small={moved}",)), root).features
    assert done.extracted == 2 * len(CLASSES)


@pytest.mark.parametrize(("told", "asked", "there"), [("1", 0, 1), ("3,2", 0, 3), ("1", 2, 2), ("0", 0, cores_here())])
def test_it_has_as_many_threads_as_it_is_told(root, tmp_path, monkeypatch, told, asked, there):
    dataset(root, tmp_path, each=2)
    monkeypatch.setenv("OMP_NUM_THREADS", told)

    def counted(*given):
        raise Stopped(f"{torch.get_num_threads()} threads")  # several on busy cores would spin

    monkeypatch.setattr(stage, "train", counted)
    with pytest.raises(Stopped, match=f"^{there} threads"):
        finetune(config(epochs=1, threads=asked), root)
