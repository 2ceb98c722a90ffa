"""ResT from films to a number: the encoder first, then all of it, gone on with, extracted with its weights, judged."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from extractors import clips
from extractors.clip_weights import about
from extractors.errors import BadWeights, ExtractorError
from extractors.frame_encoders import FrameEncoder
from extractors.rest import ResT as Extractor
from heads.base import Videos
from heads.rest import ResT, RestOptions
from pipelines.command.main import app
from pipelines.errors import UsageError
from pipelines.index.settings import IndexConfig
from pipelines.index.videos import index
from pipelines.learn import engine
from pipelines.learn.finetune import finetune, own_options, settled, trainable, training
from pipelines.learn.settings import FinetuneConfig
from pipelines.texts.adding import add
from pipelines.texts.settings import TextsConfig
from stores.features import FeatureStore
from stores.root import Root
from tests.conftest import make_video
from tests.pipelines.learn.trainables.conftest import CLASSES

SMALL = (
    "backbone=r2plus1d",
    "width=2",
    "stride=1",
    "resize=32",
    "crop=24",
    "flip=false",
    "vectors=random_vectors",
    "hidden_size=8",
    "depth=2",
    "heads=2",
    "backbone_epochs=2",
)


def config(folder: Path, *options: str, **more: object) -> FinetuneConfig:
    fields: dict = {"protocol": str(folder / "own.json"), "epochs": 2, "batch": 4, "frames": 8, "device": "cpu"}
    return FinetuneConfig("rest", "d", options=(*SMALL, *options), threads=1, **(fields | more))


def weights_of(root: Root, folder: Path, *options: str, **more: object) -> Path:
    return Path(finetune(config(folder, *options, **more), root).weights[0])


def test_what_is_not_given_is_as_published(films, tmp_path):
    asked = FinetuneConfig("rest", "d", options=("vectors=random_vectors",))
    own = settled(asked)
    assert (own.epochs, own.batch, own.lr, own.weight_decay, own.frames, own.dropout) == (50, 16, 1.5e-4, 0.05, 16, 0.1)
    options = own_options(asked)
    assert (options.backbone, options.stride, options.crop) == ("resnet18", 6, 224)
    assert (options.hidden_size, options.depth, options.heads, options.mlm_weight) == (768, 12, 12, 0.5)
    trained = trainable(asked, films)
    joint = training(own, trained, 1000)
    assert (joint.optimiser, joint.schedule) == ("adamw", "cosine")
    (stage,) = trained.stages(trained.network(CLASSES), CLASSES)
    first = dataclasses.replace(joint, **stage.training)
    assert (first.optimiser, first.lr, first.weight_decay, first.epochs, first.momentum, first.schedule) == (
        "sgd",
        0.01,
        1e-4,
        150,
        0.9,
        "cosine",
    )


@pytest.mark.parametrize("sequence", ["transformer", "rnn", "lstm"])
def test_an_extractor_gives_what_the_trained_network_gives(films, tmp_path, sequence):
    path = weights_of(films, tmp_path, f"sequence={sequence}", epochs=1)
    extractor = Extractor(str(path), "fp32", *Extractor.defaults(str(path)))
    extractor.load("cpu")
    units = clips.read(str(tmp_path / "films" / "v02.mp4"), {"": extractor.view})[""].pixels[:2]
    arrays = load_file(path)
    encoder = FrameEncoder("r2plus1d", 2)
    encoder.load_state_dict({n.removeprefix("visual."): a for n, a in arrays.items() if n.startswith("visual.")})
    head = ResT(16, 16, RestOptions(hidden_size=8, depth=2, heads=2, sequence=sequence), encoder.tokens(8))
    head.load_state_dict({n.removeprefix("head."): a for n, a in arrays.items() if n.startswith("head.")}, strict=False)
    mean, std = torch.tensor((0.43216, 0.394666, 0.37645)), torch.tensor((0.22803, 0.22145, 0.216989))
    x = ((torch.from_numpy(units).float() / 255 - mean) / std).permute(0, 4, 1, 2, 3)
    with torch.no_grad():
        wanted = head.eval().x(Videos(encoder.eval()(x)))
    np.testing.assert_allclose(extractor(units)["features"], wanted, rtol=1e-3, atol=1e-4)
    turned = extractor(units[::-1].copy())["features"][::-1]
    assert np.array_equal(turned, extractor(units)["features"])  # no bit depends on a clip's place in its batch


def test_the_encoder_is_trained_first_and_then_with_the_rest(films, tmp_path):
    told = []
    asked = config(tmp_path, epochs=3)
    report = finetune(asked, films, lambda done, total, said: told.append((done, total)))
    assert told == [(n, 5) for n in range(1, 6)]
    folder = Path(report.weights[0]).parent
    alone, whole = load_file(folder / "backbone" / "weights.safetensors"), load_file(report.weights[0])
    name = "network.stem.0.weight"
    assert not torch.equal(alone[f"0.{name}"], whole[f"visual.{name}"])
    assert len(json.loads((folder / "backbone" / "history.json").read_text())["epochs"]) == 2
    assert len(json.loads((folder / "history.json").read_text())["epochs"]) == 3
    entry = json.loads((folder / "history.json").read_text())["epochs"][0]
    assert {"classes", "words"} <= entry.keys()
    none = weights_of(films, tmp_path, "backbone_epochs=0", epochs=3)
    assert not (none.parent / "encoder").exists()
    still = weights_of(films, tmp_path, "backbone_lr=0", lr=0.0, weight_decay=0.0, epochs=1)
    drawn = load_file(still)[f"visual.{name}"]
    assert torch.equal(drawn, load_file(still.parent / "backbone" / "weights.safetensors")[f"0.{name}"])


def test_killed_in_either_training_and_run_again_ends_in_the_same_bits(films, tmp_path, monkeypatch):
    asked = config(tmp_path, batch=2)
    path = weights_of(films, tmp_path, batch=2)
    whole = path.read_bytes()
    path.parent.parent.rename(tmp_path / "before")
    monkeypatch.setattr(engine, "_SAVE_STEP_S", 0)
    step, steps = engine._Loop._step_of, []

    def dying(self, *given):
        steps.append(1)
        if len(steps) in (2, 7, 9, 14):
            raise KeyboardInterrupt
        return step(self, *given)

    monkeypatch.setattr(engine._Loop, "_step_of", dying)
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            finetune(asked, films)
    assert Path(finetune(asked, films).weights[0]).read_bytes() == whole
    assert len(steps) == 2 * 2 * 3 + 4  # nothing was done twice


def test_the_whole_way_by_commands(films, tmp_path):
    asked = ["--root", films.url, "--json"]
    own = ["--protocol", str(tmp_path / "own.json"), "--epochs=1", "--batch=4", "--frames=8", "--device=cpu"]
    given = [f"--option={option}" for option in SMALL]
    done = CliRunner().invoke(app, ["finetune", "rest", "--dataset", "d", *own, *given, *asked])
    assert done.exit_code == 0, done.output
    run = json.loads(done.stdout.splitlines()[-1])["run"]
    done = CliRunner().invoke(app, ["judge", run, "--sampling", "clips=2", "--device", "cpu", *asked])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["head"], told["splits"], told["n"], told["missing"]) == ("transfer", 1, 6, 0)
    (name,) = (name for name in FeatureStore(films).names() if name.startswith("rest"))
    features = FeatureStore(films).find(name)
    assert features.shape() == (12, 24)
    assert features.recipe["preprocessing"]["trained_on"]["classes"] == list(CLASSES[:2])
    shown = CliRunner().invoke(app, ["show", run, "--html", "--root", films.url])
    assert shown.exit_code == 0, shown.output


def test_a_head_that_learns_is_fitted_where_the_network_was_trained_and_judged_elsewhere(films, tmp_path):
    rows, names = [], ("dive deep", "sit down", "stand up", "turn around")
    (tmp_path / "theirs").mkdir()
    for k in range(8):
        make_video(tmp_path / "theirs" / f"w{k}.mp4", frames=14, seed=50 + k)
        rows.append(f"w{k},{names[k % 4]}")
    (tmp_path / "theirs.csv").write_text("\n".join(["id,label", *rows]))
    index(IndexConfig((str(tmp_path / "theirs"),), "e", labels=(str(tmp_path / "theirs.csv"),)), films)
    (tmp_path / "names.txt").write_text("\n".join(names))
    add(TextsConfig((str(tmp_path / "names.txt"),), "class", "e"), films)
    run = finetune(config(tmp_path, judge=("e",), protocol="none", epochs=1), films).run
    asked = ["judge", run, "--dataset", "e", "--protocol", "cross-0/50", "--sampling", "clips=1", "--device", "cpu"]
    for more in ([], ["--head", "ridge", "--option", "texts=class"]):
        done = CliRunner().invoke(app, [*asked, *more, "--root", films.url, "--json"])
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout.splitlines()[-1])
        assert (told["n"], told["missing"]) == (10 * 4, 0)


# -- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("backbone=resnet19", r"No network of frames is called 'resnet19'; there are: resnet18, .* timm:NAME"),
        ("backbone=timm:nothing", "No network of frames is called 'timm:nothing'"),
        ("heads=3", "hidden_size must be a multiple of heads, got 8 and 3"),
        ("sequence=gru", "sequence is transformer or rnn or lstm"),
        ("backbone_epochs=-1", "backbone_epochs must be at least 0, got -1"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(films, tmp_path, option, said):
    with pytest.raises(UsageError, match=said):
        finetune(config(tmp_path, option), films)


def test_weights_with_another_encoder_are_refused(films, tmp_path):
    path = weights_of(films, tmp_path, epochs=1)
    assert finetune(config(tmp_path, weights=str(path), epochs=1), films).trained == 1
    with pytest.raises(ExtractorError, match=r"has the backbone r2plus1d of width 2; asked for is r2plus1d of 3\."):
        finetune(config(tmp_path, "width=3", weights=str(path)), films)


def test_clips_of_another_length_and_headers_that_lie_are_refused(films, tmp_path):
    path = weights_of(films, tmp_path, epochs=1)
    sampling, geometry = Extractor.defaults(str(path))
    with pytest.raises(ExtractorError, match=r"know the places of 8 frames; got 16\. Ask for rest without frames\."):
        Extractor(str(path), "fp32", dataclasses.replace(sampling, frames=16), geometry).load("cpu")
    told, arrays = about(path, "rest"), load_file(path)
    for lie, said in (
        ({"depth": 3}, "Lacking: "),
        ({"hidden_size": 12}, "Of another shape: "),
        ({"heads": 3}, "3 heads"),
    ):
        architecture = {**(told.architecture or {}), **lie}
        save_file(arrays, path, dataclasses.replace(told, architecture=architecture).metadata())
        with pytest.raises(BadWeights, match=said):
            Extractor(str(path), "fp32").load("cpu")
    save_file(arrays, path, dataclasses.replace(told, architecture=None).metadata())
    with pytest.raises(BadWeights, match="does not say what network it is of"):
        Extractor(str(path), "fp32").load("cpu")
    with safe_open(path, framework="pt") as file:
        assert file.metadata()
