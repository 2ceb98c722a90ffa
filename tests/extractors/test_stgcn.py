"""ST-GCN as an extractor: the form and joints its weights were trained on, what its recipe says, and refusals."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from extractors import options, stgcn_network
from extractors.errors import BadWeights, ExtractorError, WeightsMissing
from extractors.joints import KINECT_20, KINECT_20_UTD, NTU_25, OPENPOSE_18, Layout
from extractors.pose_weights import About, about
from extractors.poses import Form, LayoutMismatch, checked, prepared
from extractors.stgcn import STGCN, STGCNSmall
from extractors.stgcn_network import STGCN_SMALL
from tests.pipelines.skeletons import body

SEEN = About("kinect-20", Form(16, 2), "utd", ("clap", "bow"))


def trained(path: Path, said: About | None = SEEN, layout: Layout = KINECT_20, **header: str) -> str:
    """A safetensors file of small random weights of two classes."""
    arrays = stgcn_network.random(STGCN_SMALL, layout, 2, 0)
    save_file(arrays, path, {**(said.metadata() if said else {}), **header} or None)
    return str(path)


def published(path: Path, layout: Layout, classes: int) -> str:
    arrays = stgcn_network.random(stgcn_network.STGCN, layout, classes, 0)
    torch.save({name: torch.from_numpy(values) for name, values in arrays.items()}, path)
    return str(path)


def test_the_form_and_the_joints_are_those_of_the_weights(tmp_path):
    extractor = options.asked("stgcn_small", trained(tmp_path / "w.safetensors"), "fp32")
    recipe = extractor.recipe("digest", "probe")
    assert recipe.sampling == {
        **{"frames": 16, "people": 2, "fit": "resample", "frame": "body"},
        **{"layout": "kinect-20", "segments": 1},
    }
    assert recipe.preprocessing["trained_on"] == {"dataset": "utd", "classes": ["bow", "clap"], "kept_back": False}
    assert (recipe.weights, recipe.probe) == ("digest", "")
    extractor.load("cpu")
    poses = checked(KINECT_20_UTD, body(0, layout=KINECT_20_UTD)[:, None])
    unit = extractor.unit(poses)
    np.testing.assert_array_equal(unit, prepared(poses.mapped(KINECT_20), Form(16, 2)))
    found = extractor(np.repeat(unit[None], 16, 0))["features"]
    assert found.shape == (16, 1, 256)
    assert extractor.rows({"features": found[0]})["features"].dtype == np.float16
    with pytest.raises(LayoutMismatch, match="openpose-18 cannot be turned into kinect-20"):
        extractor.unit(checked(OPENPOSE_18, body(0, layout=OPENPOSE_18)[:, None]))


def test_options_stand_in_the_place_of_what_the_weights_say(tmp_path):
    weights = trained(tmp_path / "w.safetensors")
    extractor = options.asked("stgcn_small:frames=24,people=1,fit=pad,segments=3", weights, "fp32")
    assert isinstance(extractor, STGCNSmall)
    assert extractor.form == Form(24, 1, "pad")
    assert options.of_recipe(extractor.recipe("d", "").to_dict(), weights).recipe("d", "") == extractor.recipe("d", "")
    assert extractor.recipe("d", "").key != options.asked("stgcn_small", weights, "fp32").recipe("d", "").key


@pytest.mark.parametrize(("layout", "classes", "dataset"), [(NTU_25, 60, "ntu60"), (OPENPOSE_18, 400, "kinetics400")])
def test_published_weights_tell_their_layout_and_what_they_have_seen(tmp_path, layout, classes, dataset):
    recipe = STGCN(published(tmp_path / "st_gcn.pt", layout, classes)).recipe("d", "")
    assert recipe.preprocessing["trained_on"] == {"dataset": dataset, "classes": [], "kept_back": False}
    assert recipe.sampling == {
        **{"frames": 300, "people": 2, "fit": "pad", "frame": "raw"},
        **{"layout": layout.name, "segments": 1},
    }


def test_random_weights_take_the_layout_asked_for_and_have_seen_nothing():
    extractor = options.asked("stgcn_small:layout=ntu-25,people=2", "random:3", "fp32")
    recipe = extractor.recipe("random:3", "")
    assert (recipe.sampling["layout"], recipe.sampling["people"]) == ("ntu-25", 2)
    assert recipe.preprocessing["trained_on"] is None
    extractor.load("cpu")
    assert extractor(np.zeros((16, 3, 32, 25, 2), np.float32))["features"].shape == (16, 1, 256)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("stgcn_small:layout=ntu-25", "was asked for joints of ntu-25, and its weights .* take kinect-20"),
        ("stgcn_small:layout=ntu", "was asked for joints of ntu, and its weights .* take kinect-20"),
        ("stgcn_small:fit=cut", "fit is resample or pad, got 'cut'"),
        ("stgcn_small:frame=mine", "frame is body, hip or raw, got 'mine'"),
        ("stgcn_small:frames=1", "2 frames and 1 person at least, got 1 and 2"),
        ("stgcn_small:segments=0", "segments must be at least 1, got 0"),
        ("stgcn_small:steps=3", "no option is called 'steps'; there are: frames, people, fit"),
        ("stgcn_small:people=two", "people must be of type int, got 'two'"),
    ],
)
def test_an_option_that_does_not_fit_is_refused_before_anything_is_computed(tmp_path, asked, message):
    with pytest.raises(ExtractorError, match=message):
        options.asked(asked, trained(tmp_path / "w.safetensors"), "fp32").recipe("d", "")


def test_weights_that_are_not_there_or_say_nothing_of_themselves_are_refused(tmp_path):
    with pytest.raises(WeightsMissing, match=r"stgcn has no weights of its own. Train them .* published st_gcn"):
        STGCN().weights_path()
    with pytest.raises(WeightsMissing, match="No weights file at .*gone.safetensors"):
        STGCNSmall(str(tmp_path / "gone.safetensors")).weights_path()
    with pytest.raises(BadWeights, match="does not say which joints"):
        about(Path(trained(tmp_path / "plain.safetensors", None)))
    (tmp_path / "torn.safetensors").write_bytes(b"\x10\0\0")
    with pytest.raises(BadWeights, match="cannot be read as a safetensors file"):
        about(tmp_path / "torn.safetensors")
    for said in ("{", "[]", "{}", json.dumps({"layout": "x", "form": {}, "dataset": "", "classes": []})):
        with pytest.raises(BadWeights, match="says nonsense"):
            about(Path(trained(tmp_path / "w.safetensors", None, zsar=said)))
    with pytest.raises(BadWeights, match="is not the published layout"):
        options.asked("stgcn", trained(tmp_path / "small.safetensors"), "fp32").load("cpu")
    wrong = trained(tmp_path / "wrong.safetensors", SEEN, KINECT_20_UTD)
    with pytest.raises(BadWeights, match=re.escape("says that it is of kinect-20, and its graph is of kinect-20-utd")):
        options.asked("stgcn_small", wrong, "fp32").load("cpu")


def test_a_batch_has_one_shape(tmp_path):
    extractor = STGCNSmall("random:0")
    with pytest.raises(ExtractorError, match="before load"):
        extractor(np.zeros((16, 3, 32, 20, 1), np.float32))
    extractor.load("cpu")
    with pytest.raises(ExtractorError, match=r"of \(16, 3, 32, 20, 1\) float32, got \(4, 3, 32, 20, 1\) float32"):
        extractor(np.zeros((4, 3, 32, 20, 1), np.float32))
    assert extractor.columns() == {}
