"""JigsawNet from films to a number: segments, what of the backbone is trained, text layers, the head that judges."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from extractors import clips
from extractors.jigsaw import Jigsaw
from extractors.r2plus1d_network import R2Plus1D
from extractors.segmented import Segmented
from pipelines.command.main import app
from pipelines.errors import UsageError
from pipelines.learn import engine
from pipelines.learn.finetune import finetune, own_options, settled, trainable, training
from pipelines.learn.fit import fit
from pipelines.learn.runs import Run
from pipelines.learn.settings import FinetuneConfig, FitConfig
from pipelines.learn.study import Study
from pipelines.learn.trials import begin_with
from stores.features import FeatureStore
from stores.root import Root

SMALL = (
    "width=2",
    "segments=3",
    "resize=32",
    "crop=24",
    "flip=false",
    "vectors=random_vectors",
    "text_encoder=random_vectors",
    "groups=false",
    "heads=2",
)


def config(folder: Path, *options: str, **more: object) -> FinetuneConfig:
    fields: dict = {"protocol": str(folder / "own.json"), "epochs": 2, "batch": 4, "frames": 4, "device": "cpu"}
    return FinetuneConfig("jigsaw", "d", options=(*SMALL, *options), threads=1, **({"lr": 1e-2} | fields | more))


def weights_of(root: Root, folder: Path, *options: str, **more: object) -> Path:
    return Path(finetune(config(folder, *options, **more), root).weights[0])


def test_what_is_not_given_is_as_published(films):
    asked = FinetuneConfig(
        "jigsaw", "d", options=("vectors=random_vectors", "text_encoder=random_vectors", "groups=false")
    )
    own = settled(asked)
    assert (own.epochs, own.batch, own.lr, own.weight_decay) == (20, 28, 1e-5, 5e-4)
    assert (own_options(asked).segments, own_options(asked).trained) == (8, "all")
    told = training(own, trainable(asked, films), 100)
    assert (told.optimiser, told.momentum, told.schedule) == ("sgd", 0.9, "constant")


def test_segments_are_the_clips_that_the_extractor_takes(films, tmp_path):
    path = weights_of(films, tmp_path, epochs=1)
    extractor = Jigsaw(str(path), "fp32", *Jigsaw.defaults(str(path)))
    assert (extractor.sampling.clips, extractor.sampling.frames) == (3, 4)
    extractor.load("cpu")
    trained = trainable(config(tmp_path), films)
    row = trained.items.ids.index("v02")
    (batch,) = trained.samples(np.array([row]), trained.items.classes, "cpu").batches([torch.arange(1)], draw=None)
    assert batch.segments.shape == (1, 3, 3 * 4, 24, 24)
    network = trained.network(trained.items.classes).eval()
    arrays = load_file(path)
    network.load_state_dict({n.removeprefix("visual."): a for n, a in arrays.items() if n.startswith("visual.")})
    units = clips.read(str(tmp_path / "films" / "v02.mp4"), {"": extractor.view})[""].pixels
    padded = np.concatenate([units, units[:1]])  # a batch of four
    with torch.no_grad():
        wanted = network(batch.segments)[0]
    np.testing.assert_allclose(extractor(padded)["features"][:3], wanted, rtol=1e-3, atol=1e-4)


def test_the_whole_way_by_commands_and_the_head_that_was_trained_judges(films, tmp_path):
    asked = ["--root", films.url, "--json"]
    own = [
        "--protocol",
        str(tmp_path / "own.json"),
        "--epochs=2",
        "--batch=4",
        "--frames=4",
        "--lr=0.01",
        "--device=cpu",
    ]
    given = [f"--option={option}" for option in SMALL]
    done = CliRunner().invoke(app, ["finetune", "jigsaw", "--dataset", "d", *own, *given, *asked])
    assert done.exit_code == 0, done.output
    run = json.loads(done.stdout.splitlines()[-1])["run"]
    done = CliRunner().invoke(app, ["judge", run, "--device", "cpu", *asked])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["head"], told["n"], told["missing"]) == ("jigsaw", 6, 0)
    (name,) = (name for name in FeatureStore(films).names() if name.startswith("jigsaw"))
    assert FeatureStore(films).find(name).shape() == (12, 36)
    (judged,) = told["judged"].values()
    arrays = load_file(Run(films, judged).weights(0))
    trained = load_file(Run(films, run).weights(0))
    assert all(torch.equal(values, trained[f"head.{name}"]) for name, values in arrays.items())


@pytest.mark.parametrize(
    ("trained", "still"), [("last_stage", ("stem", "layer1", "layer2", "layer3")), ("head", "all")]
)
def test_of_the_backbone_what_is_asked_for_is_trained_and_the_rest_keeps_its_bits(films, tmp_path, trained, still):
    whole = weights_of(films, tmp_path, epochs=1)
    path = weights_of(films, tmp_path, f"trained={trained}", weights=str(whole), epochs=2)
    before, after = load_file(whole), load_file(path)
    for name, values in before.items():
        if name.startswith("visual.") and not name.endswith("tracked"):
            part = name.removeprefix("visual.network.").partition(".")[0]
            same = torch.equal(values, after[name])
            assert same == (still == "all" or part in still), name


def test_segments_go_through_the_network_one_by_one():
    torch.manual_seed(0)
    network = Segmented(R2Plus1D(2), 3).eval()
    films = torch.randn(2, 3, 3 * 4, 24, 24)
    found = network(films)
    for film in range(2):
        for segment in range(3):
            alone = network.network(films[film : film + 1, :, 4 * segment : 4 * segment + 4])
            assert torch.allclose(found[film, segment], alone[0, 0], atol=1e-5)


def test_killed_and_run_again_ends_in_the_same_bits(films, tmp_path, monkeypatch):
    asked = config(tmp_path, batch=2)
    path = weights_of(films, tmp_path, batch=2)
    whole = path.read_bytes()
    path.parent.parent.rename(tmp_path / "before")
    step, steps = engine._Loop._step_of, []

    def dying(self, *given):
        steps.append(1)
        if len(steps) in (2, 5):
            raise KeyboardInterrupt
        return step(self, *given)

    monkeypatch.setattr(engine._Loop, "_step_of", dying)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            finetune(asked, films)
    assert Path(finetune(asked, films).weights[0]).read_bytes() == whole


@pytest.mark.pack
def test_phrases_through_the_last_layers_of_minilm_are_trained_with_it(films, tmp_path):
    words = [o for o in SMALL if not o.startswith(("text_encoder", "groups"))]
    asked = FinetuneConfig(
        "jigsaw",
        "d",
        options=(*words, "text_encoder=minilm_tokens", "ge=none"),
        protocol=str(tmp_path / "own.json"),
        epochs=1,
        batch=4,
        frames=4,
        lr=1e-3,
        device="cpu",
        threads=1,
    )
    path = Path(finetune(asked, films).weights[0])
    arrays = load_file(path)
    name = "head.text.layers.5.output_dense_weight"
    trained = trainable(asked, films)
    fresh = trained.head(trained.texts(("bow down", "clap hands"))).state_dict()
    assert arrays[name].shape == fresh[name.removeprefix("head.")].shape
    assert not torch.equal(arrays[name], fresh[name.removeprefix("head.")])
    done = CliRunner().invoke(app, ["judge", "jigsaw", "--device", "cpu", "--root", films.url, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout.splitlines()[-1])["n"] == 6


# -- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("segments=0", r"segments must be at least 1"),
        ("trained=some", r"trained all, last_stage, last_block or head, got 3 and 'some'"),
        ("ge=much", r"JigsawNet's ge is attention, encoder, none, got 'much'"),
        ("heads=5", r"5 heads do not divide the width"),
    ],
)
def test_what_cannot_be_is_refused(films, tmp_path, option, said):
    with pytest.raises(UsageError, match=said):
        finetune(config(tmp_path, option), films)


def test_a_head_is_taken_with_its_own_features_alone(films, tmp_path):
    path, other = weights_of(films, tmp_path, epochs=1), weights_of(films, tmp_path, epochs=2)
    asked = [
        "extract",
        "jigsaw",
        "--dataset",
        "d",
        "--weights",
        f"jigsaw={path}",
        "--device",
        "cpu",
        "--root",
        films.url,
    ]
    assert CliRunner().invoke(app, asked).exit_code == 0
    given = ("groups=false", "heads=2", "epochs=0")
    fields = {"protocol": str(tmp_path / "own.json"), "encoder": "random_vectors", "device": "cpu"}
    study = Study(FitConfig("jigsaw", "d", "jigsaw", options=given, **fields), films)
    begin_with(study.model(), str(path), study.videos.weights)
    with pytest.raises(UsageError, match=r"^The features were not made with the weights of "):
        fit(FitConfig("jigsaw", "d", "jigsaw", options=given, weights=str(other), **fields), films)
    options = ("groups=false", "heads=2", "ge=none", "epochs=0")
    with pytest.raises(UsageError, match=r"holds another head, or one of other options than is asked for: "):
        fit(FitConfig("jigsaw", "d", "jigsaw", options=options, weights=str(path), **fields), films)
    with pytest.raises(UsageError, match=r"^A head that comes with --weights was trained on all seen classes"):
        FitConfig("jigsaw", "d", "jigsaw", "own", weights="x", gzsl=True)
