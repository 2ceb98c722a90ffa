"""E2E from films to a number: trained, gone on with where it was killed, extracted with its weights, judged."""

import dataclasses
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from extractors import clips
from extractors.clip_weights import about
from extractors.e2e import E2ER2Plus1D
from extractors.errors import BadWeights, ExtractorError
from extractors.r2plus1d_network import R2Plus1D
from pipelines.command.main import app
from pipelines.errors import Stopped, UsageError
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from pipelines.index.settings import IndexConfig
from pipelines.index.videos import index
from pipelines.learn import engine
from pipelines.learn.finetune import finetune, own_options, settled
from pipelines.learn.settings import FinetuneConfig
from pipelines.learn.trainables.e2e import E2ENetwork
from pipelines.look.run.page import run_page
from pipelines.texts.adding import add
from pipelines.texts.settings import TextsConfig
from stores.failures import Failures
from stores.features import FeatureStore
from stores.root import Root
from stores.runs import Runs
from tests.conftest import make_video
from tests.pipelines.learn.trainables.conftest import CLASSES

SMALL = ("vectors=random_vectors", "width=2", "resize=32", "crop=24", "flip=false")


def config(folder: Path, *options: str, model: str = "e2e_r2plus1d", **more: object) -> FinetuneConfig:
    fields: dict = {"protocol": str(folder / "own.json"), "epochs": 2, "batch": 4, "frames": 8, "device": "cpu"}
    return FinetuneConfig(model, "d", options=(*SMALL, *options), threads=1, **(fields | more))


def weights_of(root: Root, folder: Path, *options: str, **more: object) -> Path:
    return Path(finetune(config(folder, *options, **more), root).weights[0])


def test_what_is_not_given_is_as_published(tmp_path):
    own = settled(FinetuneConfig("e2e_r2plus1d", "d"))
    assert (own.epochs, own.batch, own.lr, own.weight_decay, own.frames, own.dropout) == (150, 22, 1e-3, 0.0, 16, 0.05)
    assert (own.people, own.smoothing) == (None, None)
    assert own_options(own).width == 64
    training = E2ENetwork.training(None, 150, 1000)  # type: ignore[arg-type]
    assert training == {"optimiser": "adam", "schedule": "steps", "factor": 0.1, "milestones": (60, 120)}
    with pytest.raises(UsageError, match=r"^e2e_r2plus1d has no people, layout; leave people and layout out\.$"):
        settled(FinetuneConfig("e2e_r2plus1d", "d", people=2, layout="ntu-25"))


def test_the_whole_way_by_commands(films, tmp_path):
    asked = ["--root", films.url, "--json"]
    given = [f"--option={option}" for option in SMALL]
    own = ["--protocol", str(tmp_path / "own.json"), "--epochs=2", "--batch=4", "--frames=8", "--device=cpu"]
    done = CliRunner().invoke(app, ["finetune", "e2e_r2plus1d", "--dataset", "d", *own, *given, *asked])
    assert done.exit_code == 0, done.output
    run = json.loads(done.stdout.splitlines()[-1])["run"]
    done = CliRunner().invoke(app, ["judge", run, "--sampling", "clips=3", "--device", "cpu", *asked])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["head"], told["splits"], told["n"], told["missing"]) == ("nearest", 1, 6, 0)
    assert 0 <= told["top1_mean"] <= 1
    (name,) = (name for name in FeatureStore(films).names() if name.startswith("e2e_r2plus1d"))
    features = FeatureStore(films).find(name)
    assert features.shape() == (12, 36)
    assert features.recipe["preprocessing"]["trained_on"]["classes"] == list(CLASSES[:2])
    again = CliRunner().invoke(app, ["judge", run, "--sampling", "clips=3", "--device", "cpu", *asked])
    assert json.loads(again.stdout.splitlines()[-1])["judged"] == told["judged"]


def test_an_extractor_gives_what_the_trained_network_gives(films, tmp_path):
    path = weights_of(films, tmp_path)
    told = about(path, "e2e_r2plus1d")
    assert (told.width, told.frames, told.crop, told.classes) == (2, 8, 24, CLASSES[:2])
    extractor = E2ER2Plus1D(str(path), "fp32", *E2ER2Plus1D.defaults(str(path)))
    extractor.load("cpu")
    (film,) = (tmp_path / "films").glob("v02.mp4")
    units = clips.read(str(film), {"": extractor.view})[""].pixels[:4]
    found = extractor(units)
    network = R2Plus1D(2)
    with safe_open(path, framework="pt") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}
    network.load_state_dict({n.removeprefix("visual."): a for n, a in arrays.items() if n.startswith("visual.")})
    mean, std = torch.tensor((0.43216, 0.394666, 0.37645)), torch.tensor((0.22803, 0.22145, 0.216989))
    x = ((torch.from_numpy(units).float() / 255 - mean) / std).permute(0, 4, 1, 2, 3)
    with torch.no_grad():
        wanted = network.eval()(x)[:, 0]
        words = wanted @ arrays["head.regressor.linear.weight"].T + arrays["head.regressor.linear.bias"]
    np.testing.assert_allclose(found["features"], wanted, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found["words"], words, rtol=1e-3, atol=1e-4)


def test_killed_in_the_middle_of_an_epoch_and_run_again_ends_in_the_same_bits(films, tmp_path, monkeypatch):
    whole = weights_of(films, tmp_path, epochs=3, batch=2).read_bytes()
    elsewhere = config(tmp_path, "loaders=2", epochs=3, batch=2)  # neither who decodes nor where it is killed counts
    run = next(Path(films.url).glob("runs/e2e*"))
    run.rename(tmp_path / "before")
    monkeypatch.setattr(engine, "_SAVE_STEP_S", 0)
    step, steps = engine._Loop._step_of, []

    def dying(self, *given):
        steps.append(1)
        if len(steps) in (2, 6, 7):
            raise KeyboardInterrupt
        return step(self, *given)

    monkeypatch.setattr(engine._Loop, "_step_of", dying)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            finetune(elsewhere, films)
    assert Path(finetune(elsewhere, films).weights[0]).read_bytes() == whole
    assert len(steps) == 3 * 3 + 3  # nothing was done twice


KILLED = """
import sys
from pathlib import Path
from pipelines.learn import engine
from pipelines.learn.finetune import finetune
from stores.root import Root
from tests.pipelines.learn.trainables.test_e2e import config
engine._SAVE_STEP_S = engine._SAVE_EPOCH_S = 0
step = engine._Loop._step_of
def told(self, *given):
    print(self._step, flush=True)
    return step(self, *given)
engine._Loop._step_of = told
finetune(config(Path(sys.argv[2]), "ema=0.9", epochs=30, batch=2), Root(sys.argv[1]))
"""


@pytest.mark.heavy
def test_killed_five_times_at_random_moments_it_ends_in_the_same_bits(films, tmp_path):
    asked = config(tmp_path, "ema=0.9", epochs=30, batch=2)
    path = Path(finetune(asked, films).weights[0])
    whole = path.read_bytes()
    path.parent.parent.rename(tmp_path / "before")
    drawn, begun = random.Random(), []
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, films.url, str(tmp_path)], stdout=subprocess.PIPE, env=os.environ
        ) as process:
            assert process.stdout is not None
            begun.append(int(process.stdout.readline()))
            for _ in range(drawn.randrange(1, 12)):
                process.stdout.readline()
            time.sleep(drawn.uniform(0, 0.1))  # in the middle of a step, or of what is written after it
            process.kill()
    assert begun == sorted(begun)
    assert begun[-1] > 0
    assert not path.exists()
    assert Path(finetune(asked, films).weights[0]) == path
    assert path.read_bytes() == whole
    assert list(path.parent.glob("*.partial")) == []


@pytest.mark.parametrize(("model", "crop", "frames"), [("e2e_r2plus1d", 24, 8), ("e2e_c3d", 32, 16)])
def test_activations_computed_again_change_neither_name_nor_bits(films, tmp_path, model, crop, frames):
    paths = []
    for option in ("recompute=false", "recompute=true", "loaders=1"):
        asked = config(tmp_path, option, f"crop={crop}", model=model, frames=frames, epochs=1)
        path = weights_of(films, tmp_path, option, f"crop={crop}", model=model, frames=frames, epochs=1)
        paths.append((path, path.read_bytes()))
        assert own_options(asked).recompute == (option == "recompute=true")
        path.parent.parent.rename(tmp_path / f"{option}")
    assert paths[0] == paths[1] == paths[2]


def test_a_film_that_breaks_while_it_is_trained_on_is_a_failure_and_the_training_goes_on(films, tmp_path):
    path = tmp_path / "films" / "v00.mp4"
    stat = path.stat()
    path.write_bytes(b"no film".ljust(stat.st_size))
    os.utime(path, ns=(stat.st_mtime_ns, stat.st_mtime_ns))
    weights_of(films, tmp_path)
    (row,) = Failures(films).latest().to_pylist()
    assert (row["stage"], row["error"], Path(row["uri"]).name) == ("finetune", "NotAVideo", "v00.mp4")
    report = finetune(config(tmp_path, epochs=1), films)
    assert report.failed == 1


def test_no_film_that_can_be_read_stops_the_training_in_one_line(films, tmp_path):
    for path in (tmp_path / "films").glob("*.mp4"):
        path.write_bytes(b"no film")
    with pytest.raises(Stopped, match=r"^No sample of epoch 1 can be used; `zsar list failures` says why\.$"):
        finetune(config(tmp_path), films)


# -- class removal ----------------------------------------------------------------------------------------------------


def others(root: Root, folder: Path, *names: str) -> None:
    (folder / "others.txt").write_text("\n".join(names))
    add(TextsConfig((str(folder / "others.txt"),), "class", "others"), root)


def test_classes_that_are_a_test_class_are_not_trained_on(films, tmp_path):
    others(films, tmp_path, "clap hands", "something else")
    asked = config(tmp_path, judge=("others",), protocol="none", epochs=1)
    report = finetune(asked, films)
    assert report.notes == ("1 classes are classes of others, and left out: clap hands",)
    told = json.loads((Path(report.weights[0]).parent / "split.json").read_text())
    assert told["classes"] == ["bow down", "jump high", "wave arms"]
    assert report.run != finetune(config(tmp_path, protocol="none", epochs=1), films).run


def test_a_removal_that_leaves_too_few_classes_is_one_line(films, tmp_path):
    others(films, tmp_path, *CLASSES[:3])
    with pytest.raises(
        UsageError, match=r"of 1 classes, 3 left out as --judge and --tau ask; 2 .* or another --tau\.$"
    ):
        finetune(config(tmp_path, judge=("others",), protocol="none"), films)


def test_classes_near_by_the_vectors_that_are_trained_towards_are_left_out_too(films, tmp_path):
    words = {"bow": [1, 0, 0], "down": [1, 0, 0.1], "clap": [0, 1, 0], "hands": [0, 1, 0], "jump": [0, 0, 1]}
    words |= {"high": [0, 0, 1], "wave": [1, 1, 0], "arms": [1, 1, 0], "applaud": [0, 1, 0.01], "leap": [0.5, 0, 1]}
    vectors = tmp_path / "w.txt"
    vectors.write_text("\n".join(f"{word} {' '.join(map(str, own))}" for word, own in words.items()))
    others(films, tmp_path, "applaud")
    (tmp_path / "more.txt").write_text("leap")
    add(TextsConfig((str(tmp_path / "more.txt"),), "class", "more"), films)
    for name in ("d", "others", "more"):
        extract(ExtractConfig(("word_vectors",), weights=(f"word_vectors={vectors}",), set=name), films)
    asked = config(tmp_path, protocol="none", epochs=1, judge=("others", "more"))
    asked = dataclasses.replace(asked, options=("vectors=word_vectors", *asked.options[1:]))
    assert finetune(asked, films).notes == ("1 classes are classes of others or more, and left out: clap hands",)
    wider = dataclasses.replace(asked, tau=0.2)
    assert finetune(wider, films).notes[0].endswith("left out: clap hands, jump high")


@pytest.mark.pack
def test_a_test_class_that_is_near_to_one_trained_on_stands_with_the_number(films, tmp_path):
    theirs = ["down bow", "dive deep", "sit down", "hands clap"]  # the words of two that are trained on
    others(films, tmp_path, *theirs)
    labels = tmp_path / "theirs.csv"
    labels.write_text("\n".join(["id,label", *(f"v{k:02d},{theirs[k % 4]}" for k in range(12))]))
    index(IndexConfig((str(tmp_path / "films"),), "others", labels=(str(labels),)), films)
    run = finetune(config(tmp_path, protocol="none", epochs=1), films).run
    asked = ["judge", run, "--dataset", "others", "--protocol", "cross-0/100", "--sampling", "clips=1"]
    asked += ["--device", "cpu", "--root", films.url]
    done = CliRunner().invoke(app, [*asked, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["near"], "overlap" in told) == (["down bow ~ bow down", "hands clap ~ clap hands"], False)
    shown = " ".join(CliRunner().invoke(app, asked).output.split())
    assert "2 test classes are among those the features were trained on, by the distance of word vectors" in shown


# -- bad input --------------------------------------------------------------------------------------------------------


def test_a_label_that_is_no_class_of_the_set_is_named(films, tmp_path):
    others(films, tmp_path, "something else")
    with pytest.raises(UsageError, match=r"^4 labels of 'd' mean no class of the set 'others': bow down, .* Add them:"):
        finetune(config(tmp_path, set="others", protocol="none"), films)


def test_weights_that_saw_an_unseen_class_are_refused(films, tmp_path):
    saw = weights_of(films, tmp_path, protocol="none", epochs=1)
    with pytest.raises(ExtractorError, match=r"^Zero-shot classes must not .* trained on jump high, wave arms of d\."):
        finetune(config(tmp_path, weights=str(saw)), films)
    seen = weights_of(films, tmp_path, epochs=1)
    assert finetune(config(tmp_path, weights=str(seen), epochs=1), films).trained == 1
    with pytest.raises(ExtractorError, match=r"is 2 wide .* Give --option width=2, or other weights\.$"):
        finetune(config(tmp_path, "width=3", weights=str(seen)), films)


def test_half_precision_on_a_cpu_is_refused_whose_gradients_are_wrong_there(films, tmp_path):
    with pytest.raises(UsageError, match=r"^e2e_r2plus1d cannot be trained in bf16 on a CPU, .* Give --precision fp32"):
        finetune(config(tmp_path, precision="bf16"), films)


def test_weights_of_another_network_are_refused(films, tmp_path):
    path = weights_of(films, tmp_path, epochs=1)
    with pytest.raises(
        BadWeights, match=r"holds weights of e2e_r2plus1d, not of e2e_c3d\. Give weights that `zsar fin"
    ):
        about(path, "e2e_c3d")
    (tmp_path / "none.safetensors").write_bytes(b"nothing")
    with pytest.raises(BadWeights, match="cannot be read as a safetensors file"):
        about(tmp_path / "none.safetensors", "e2e_c3d")


def test_weights_of_other_sizes_than_their_header_says_are_refused(films, tmp_path):
    path = weights_of(films, tmp_path, epochs=1)
    told = about(path, "e2e_r2plus1d")
    arrays = load_file(path)
    save_file(arrays, path, dataclasses.replace(told, width=3).metadata())
    with pytest.raises(BadWeights, match="Of another shape: .*visual.layer1.0.conv1.0.0.weight"):
        E2ER2Plus1D(str(path)).load("cpu")
    save_file({name: each for name, each in arrays.items() if "layer4" not in name}, path, told.metadata())
    with pytest.raises(BadWeights, match=r"Lacking: visual\.layer4"):
        E2ER2Plus1D(str(path)).load("cpu")


def test_a_run_of_all_classes_cannot_be_judged(films, tmp_path):
    report = finetune(config(tmp_path, protocol="none", epochs=1), films)
    done = CliRunner().invoke(app, ["judge", report.run, "--root", films.url])
    assert done.exit_code == 1
    assert "was trained on all classes, so none of 'd' is unseen. Judge it on another" in " ".join(done.output.split())


def test_a_network_of_one_data_set_is_judged_on_another(films, tmp_path):
    rows = []
    (tmp_path / "theirs").mkdir()
    names = ("dive deep", "sit down", "stand up", "turn around")
    for k in range(8):
        make_video(tmp_path / "theirs" / f"w{k}.mp4", frames=14, seed=50 + k)
        rows.append(f"w{k},{names[k % 4]}")
    (tmp_path / "theirs.csv").write_text("\n".join(["id,label", *rows]))
    index(IndexConfig((str(tmp_path / "theirs"),), "e", labels=(str(tmp_path / "theirs.csv"),)), films)
    (tmp_path / "names.txt").write_text("\n".join(names))
    add(TextsConfig((str(tmp_path / "names.txt"),), "class", "e"), films)
    run = finetune(config(tmp_path, judge=("e",), protocol="none", epochs=1), films).run
    asked = ["judge", run, "--dataset", "e", "--protocol", "cross-0/50", "--sampling", "clips=1", "--device", "cpu"]
    done = CliRunner().invoke(app, [*asked, "--root", films.url, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["n"], told["missing"]) == (10 * 4, 0)  # ten draws of two of the four classes
    (name,) = told["judged"].values()
    assert Runs(films).read(name, "results").num_rows == 10
    own = finetune(config(tmp_path, epochs=1), films).run
    done = CliRunner().invoke(app, ["judge", own, *asked[2:], "--root", films.url])
    assert "was trained on the splits of" in " ".join(done.output.split())


def test_c3d_goes_the_same_way(films, tmp_path):
    report = finetune(config(tmp_path, "crop=32", model="e2e_c3d", frames=16, epochs=1), films)
    done = CliRunner().invoke(app, ["judge", report.run, "--sampling", "clips=1", "--root", films.url, "--json"])
    assert done.exit_code == 0, done.output
    (name,) = (name for name in FeatureStore(films).names() if name.startswith("e2e_c3d"))
    assert FeatureStore(films).find(name).array("features").shape == (12, 128)
    with pytest.raises(UsageError, match="C3D halves time four times"):
        finetune(config(tmp_path, model="e2e_c3d"), films)


def test_the_page_of_a_network_shows_its_loss_and_what_was_judged_with_its_weights(films, tmp_path):
    report = finetune(config(tmp_path), films)
    page = run_page(report.run, films)
    text = Path(unquote(urlsplit(page).path)).read_text()
    assert f"zsar judge {report.run}" in text
    history = json.loads((Path(report.weights[0]).parent / "history.json").read_text())["epochs"]
    assert f"loss: {history[0]['loss']:.3g} in epoch 1, {history[1]['loss']:.3g} in epoch 2" in text
    for name in ("first", "second"):  # another head on the same features
        more = ["--head", "ridge", "--option", "texts=class"] if name == "second" else []
        asked = ["judge", report.run, "--sampling", "clips=1", "--device", "cpu", "--root", films.url, *more, "--json"]
        done = CliRunner().invoke(app, asked)
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout.splitlines()[-1])
        shown = CliRunner().invoke(app, ["show", report.run, "--html", "--root", films.url])
        text = Path(unquote(urlsplit(page).path)).read_text()
        assert told["judged"]["0"] in text
        assert f"{100 * told['top1_mean']:.1f}\u00a0%" in text
    assert shown.exit_code == 0
    assert text.count("<code>nearest-d-") == text.count("<code>ridge-d-") == 1
    with pytest.raises(UsageError, match=r"is not trained on split 3 to the end; it is on 0\."):
        run_page(report.run, films, split=3)
    head = CliRunner().invoke(app, ["show", told["judged"]["0"], "--html", "--root", films.url])
    assert head.exit_code == 0, head.output


# -- weights to begin with --------------------------------------------------------------------------------------------


@pytest.fixture
def scenes(films, tmp_path) -> str:
    """Weights of a network that was trained on still images of two scenes, with the width of the others."""
    for k in range(6):
        path = tmp_path / "scenes" / ("bar", "lake")[k % 2] / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(k).integers(0, 255, (40, 50, 3), np.uint8)).save(path)
    index(IndexConfig((str(tmp_path / "scenes"),), "sun", kind="images"), films)
    (tmp_path / "scenes.txt").write_text("bar\nlake")
    add(TextsConfig((str(tmp_path / "scenes.txt"),), "class", "sun"), films)
    asked = dataclasses.replace(config(tmp_path, protocol="none", epochs=1), dataset="sun")
    return finetune(asked, films).weights[0]


def test_clips_of_images_are_learned_first_and_the_features_say_so(films, tmp_path, scenes):
    asked = config(tmp_path, weights=scenes, epochs=1)
    path = finetune(asked, films).weights[0]
    told = about(Path(path), "e2e_r2plus1d").trained_on
    assert told["before"] == {"dataset": "sun", "classes": ["bar", "lake"], "kept_back": False}
    drawn = finetune(config(tmp_path, epochs=1), films).weights[0]
    assert Path(drawn).read_bytes() != Path(path).read_bytes()
    done = CliRunner().invoke(
        app, ["judge", run_of(path), "--sampling", "clips=1", "--device", "cpu", "--root", films.url, "--json"]
    )
    assert done.exit_code == 0, done.output
    (run,) = json.loads(done.stdout.splitlines()[-1])["judged"].values()
    (row,) = Runs(films).read(run, "results").to_pylist()
    assert row["pretraining"] == "d (2 classes), sun (2 classes)"


def test_classes_seen_two_trainings_ago_are_not_unseen(films, tmp_path, scenes):
    labels = tmp_path / "theirs.csv"
    labels.write_text("\n".join(["id,label", *(f"v{k:02d},{('JumpHigh', 'sit down')[k % 2]}" for k in range(12))]))
    index(IndexConfig((str(tmp_path / "films"),), "others", labels=(str(labels),)), films)
    others(films, tmp_path, "JumpHigh", "sit down")
    first = dataclasses.replace(config(tmp_path, protocol="none", epochs=1), dataset="others")
    first_path = finetune(first, films).weights[0]
    sun = dataclasses.replace(config(tmp_path, protocol="none", epochs=1, weights=first_path), dataset="sun")
    second_path = finetune(sun, films).weights[0]
    for path in (first_path, second_path):
        with pytest.raises(ExtractorError, match=r"was trained on jump high of others\. Begin with other weights"):
            finetune(config(tmp_path, weights=path), films)
    features = extract(ExtractConfig(("e2e_r2plus1d:clips=1",), "d", (f"e2e_r2plus1d={second_path}",)), films)
    unseen = ("fit", "nearest", "--dataset", "d", "--feature", features.features[0].name, "--encoder", "random_vectors")
    more = ("--option", "texts=class", "--protocol", str(tmp_path / "own.json"), "--root", films.url)
    done = CliRunner().invoke(app, [*unseen, *more])
    assert "unseen classes that the weights of" in done.stderr
    assert ": jump high." in done.stderr


def test_what_is_kept_back_must_not_have_been_learned_before(films, tmp_path):
    everything = finetune(config(tmp_path, epochs=1), films).weights[0]
    with pytest.raises(ExtractorError, match=r"With --gzsl a fifth of 'd' is kept back, and .* was trained on all"):
        finetune(config(tmp_path, weights=everything, gzsl=True), films)
    kept = finetune(config(tmp_path, epochs=1, gzsl=True), films).weights[0]
    finetune(config(tmp_path, epochs=1, weights=kept, gzsl=True), films)


def test_another_file_in_the_place_of_the_weights_gives_another_run(films, tmp_path, scenes):
    path = tmp_path / "begin.safetensors"
    path.write_bytes(Path(scenes).read_bytes())
    one = finetune(config(tmp_path, epochs=1, weights=str(path)), films).run
    assert finetune(config(tmp_path, epochs=1, weights=str(path)), films).run == one
    arrays = {name: each + 1 for name, each in load_file(path).items()}
    save_file(arrays, path, about(path, "e2e_r2plus1d").metadata())
    assert finetune(config(tmp_path, epochs=1, weights=str(path)), films).run != one


def run_of(weights: str) -> str:
    return Path(weights).parents[1].name


def test_training_from_proxies_is_a_run_of_its_own_and_is_judged_without_them(films, tmp_path):
    extract(ExtractConfig(("proxy:side=32",), "d", device="cpu"), films)
    own = FeatureStore(films).find("proxy")
    from_films = finetune(config(tmp_path), films)
    first = finetune(config(tmp_path, "proxy=proxy"), films)
    again = finetune(config(tmp_path, "proxy=proxy"), films)
    assert (first.trained, again.trained) == (1, 0)
    assert first.run == again.run != from_films.run
    about_run = json.loads((Path(films.url) / "runs" / first.run / "finetune.json").read_text())
    assert (about_run["proxy"], about_run["options"]["proxy"]) == (own.key, own.name)
    assert (
        "proxy" not in json.loads((Path(films.url) / "runs" / from_films.run / "finetune.json").read_text())["options"]
    )
    one, other = (load_file(each.weights[0]) for each in (first, from_films))
    assert any(not torch.equal(one[name], other[name]) for name in one)
    FeatureStore(films).drop("proxy")
    asked = ["judge", first.run, "--sampling", "clips=3", "--device", "cpu", "--root", films.url]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
