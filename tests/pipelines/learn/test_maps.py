"""From films to a number over maps: the last layers of a backbone that was trained here, trained on with the head."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from extractors.errors import BadWeights
from pipelines.command.main import app
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from pipelines.judge.evaluate import evaluate
from pipelines.judge.settings import EvaluateConfig
from pipelines.learn import layers
from pipelines.learn.departures import of_run
from pipelines.learn.finetune import finetune
from pipelines.learn.fit import fit
from pipelines.learn.runs import Run
from pipelines.learn.settings import FitConfig
from pipelines.learn.study import Study
from stores.features import FeatureStore
from stores.root import Root
from stores.runs import Runs
from stores.stored_rows import StoredRows
from tests.pipelines.learn.trainables.conftest import films  # noqa: F401
from tests.pipelines.learn.trainables.test_jigsaw import config


@pytest.fixture
def mapped(films: Root, tmp_path: Path) -> tuple[Root, Path]:  # noqa: F811
    """Films with maps of a backbone that was trained on two of their classes."""
    path = Path(finetune(config(tmp_path, epochs=1), films).weights[0])
    extract(ExtractConfig(("jigsaw_below_stage",), "d", (f"jigsaw_below_stage={path}",), device="cpu"), films)
    return films, path


def asked(folder: Path, **more: object) -> FitConfig:
    told = {"options": ("groups=false", "heads=2", "epochs=2", "batch=4", "lr=0.01"), "device": "cpu"}
    where = {"protocol": str(folder / "own.json"), "encoder": "random_vectors", "segments": 3}
    return FitConfig("jigsaw", "d", "jigsaw_below_stage", **(told | where | more))


def test_maps_are_kept_in_the_store_and_the_head_sees_features(mapped, tmp_path):
    root, _ = mapped
    study = Study(asked(tmp_path), root)
    assert isinstance(study.videos.segments, StoredRows)
    assert study.videos.segments.shape == (12, 3, 8, 1, 3, 3)
    assert (study.width, study.segments, study.trains_visual) == (16, 3, True)
    assert study.videos.trained_on == ("bow down", "clap hands")
    held = FeatureStore(root).find("jigsaw_below_stage").load(study.videos.keys, "maps").values
    assert np.array_equal(study.batch(np.arange(12)).segments.numpy(), held.reshape(12, 3, 8, 1, 3, 3))


def test_the_whole_way(mapped, tmp_path):
    root, path = mapped
    report = fit(asked(tmp_path), root)
    judged = evaluate(EvaluateConfig(report.run), root)
    assert (judged.n, judged.missing) == (6, 0)
    about = Runs(root).about(report.run)
    assert about["videos"]["layers_trained"]
    own = load_file(Run(root, report.run).weights(0))
    before = load_file(path)
    stage = {name: each for name, each in own.items() if name.startswith("visual.blocks.") and "num_" not in name}
    assert len(stage) == 45
    moved = [not torch.equal(v, before[n.replace("visual.blocks", "visual.network.layer4")]) for n, v in stage.items()]
    assert all(moved)
    again = CliRunner().invoke(app, ["show", report.run, "--root", root.url, "--html"])
    assert again.exit_code == 0, again.output
    assert any(line.startswith("of the backbone the last layers learn") for line in of_run(about))


def test_splits_that_are_fitted_in_processes_of_their_own_end_in_the_same_bits(mapped, tmp_path):
    root, _ = mapped
    own = [{"seen": ["bow down", "clap hands"], "unseen": ["jump high", "wave arms"]}] * 2
    (tmp_path / "two.json").write_text(json.dumps(own))
    weights = []
    for workers in (1, 2):
        report = fit(asked(tmp_path, protocol=str(tmp_path / "two.json"), workers=workers), root)
        weights.append(load_file(Run(root, report.run).weights(1)))
        shutil.rmtree(Path(root.url, "runs", report.run))
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


@pytest.mark.parametrize("head", ["ridge", "eszsl"])
def test_a_head_that_is_solved_at_once_goes_above_them_too(mapped, tmp_path, head):
    root, _ = mapped
    report = fit(dataclasses.replace(asked(tmp_path, options=("texts=class",)), head=head), root)
    assert evaluate(EvaluateConfig(report.run), root).n == 6


def test_other_weights_than_the_maps_were_made_with_are_refused(mapped, tmp_path):
    root, path = mapped
    name = FeatureStore(root).resolve("jigsaw_below_stage")
    assert layers.above_maps(name, root, str(path)).width == 16
    kept = path.read_bytes()
    other = tmp_path / "other.safetensors"
    other.write_bytes(kept)
    with other.open("r+b") as file:
        file.seek(-4, 2)
        file.write(b"\0\0\0\1")
    with pytest.raises(BadWeights, match="is not what jigsaw_below_stage@.* was made with"):
        layers.above_maps(name, root, str(other))
    path.unlink()
    with pytest.raises(BadWeights, match="No run of jigsaw in .* holds the weights that the maps of"):
        layers.above_maps(name, root)
