"""Raw joints: positions and differences by plain loops, in every frame of reference, and refusals."""

import dataclasses
import re

import numpy as np
import pytest

from extractors import options
from extractors.base import PoseExtractor
from extractors.errors import ExtractorError, TooShort
from extractors.joints import KINECT_20, KINECT_20_UTD, MEDIAPIPE_33, NTU_25, OPENPOSE_18, Layout
from extractors.poses import Form, JointNeverSeen, LayoutMismatch, Poses, checked, prepared
from extractors.raw_joints import RawJoints
from tests.pipelines.skeletons import body


def asked(spec: str = "raw_joints") -> PoseExtractor:
    found = options.asked(spec, None, "fp32")
    assert isinstance(found, RawJoints)
    found.load("cpu")
    return found


def poses(seed: int = 0, frames: int = 14, layout: Layout = KINECT_20) -> Poses:
    return checked(layout, body(seed % 4, seed, frames, layout)[:, None])


def features(extractor: PoseExtractor, *sequences: Poses) -> np.ndarray:
    """(N, D) of sequences that go through as one batch."""
    return extractor(np.stack([extractor.unit(each) for each in sequences]))["features"][:, 0]


@pytest.mark.parametrize("frame", ["body", "hip", "raw"])
@pytest.mark.parametrize("people", [1, 2])
def test_a_feature_is_each_position_and_then_each_difference(frame: str, people: int) -> None:
    extractor = asked(f"raw_joints:frames=5,people={people},frame={frame}")
    two = np.stack([body(0, 0), 0.5 * body(1, 1)], 1)
    sequence = checked(KINECT_20, two)
    x = prepared(sequence, dataclasses.replace(Form(5, people), frame=frame))
    expected = []
    for axis in range(3):
        for t in range(5):
            for joint in range(20):
                for person in range(people):
                    expected.append(x[axis, t, joint, person])
    for axis in range(3):
        for t in range(4):
            for joint in range(20):
                for person in range(people):
                    expected.append(x[axis, t + 1, joint, person] - x[axis, t, joint, person])
    (found,) = features(extractor, sequence)
    np.testing.assert_array_equal(found, np.array(expected, np.float32))
    assert extractor.outputs["features"].shape == found.shape
    row = extractor.rows({"features": found[None]})["features"]
    assert (row.shape, row.dtype) == ((1, len(expected)), np.float16)
    np.testing.assert_allclose(row[0], expected, atol=2e-3)
    assert extractor.columns() == {}


def test_segments_are_equal_parts_each_as_a_sequence() -> None:
    extractor, whole = asked("raw_joints:frames=12,segments=3"), asked("raw_joints:frames=12")
    (x,) = (whole.unit(poses()),)
    (found,) = extractor(np.stack([extractor.unit(poses())]))["features"]
    assert found.shape == (3, *extractor.outputs["features"].shape)
    for part, row in enumerate(found):
        own = x[:, 4 * part : 4 * part + 4]
        moved = own[:, 1:] - own[:, :-1]
        np.testing.assert_array_equal(row, np.concatenate([own.ravel(), moved.ravel()]))
    assert extractor.rows({"features": found})["features"].shape[0] == 3
    assert "segments" not in whole.recipe("none", "").sampling
    assert extractor.recipe("none", "").sampling["segments"] == 3
    with pytest.raises(ExtractorError, match="12 frames do not make 5 segments of one length"):
        asked("raw_joints:frames=12,segments=5").unit(poses())


def test_the_frames_of_reference_are_three_features() -> None:
    rows = [features(asked(f"raw_joints:frame={frame}"), poses()) for frame in ("body", "hip", "raw")]
    keys = {asked(f"raw_joints:frame={frame}").recipe("none", "").key for frame in ("body", "hip", "raw")}
    assert len(keys) == 3
    assert all(np.abs(one - other).max() > 0.1 for one, other in zip(rows, [*rows[1:], rows[0]], strict=True))


def test_the_recipe_names_its_options_and_no_weights() -> None:
    spec = "raw_joints:frames=8,people=2,frame=hip,layout=ntu-25"
    recipe = asked(spec).recipe("none", "probe")
    assert recipe.sampling == {"frames": 8, "people": 2, "frame": "hip", "layout": "ntu-25"}
    assert (recipe.weights, recipe.probe) == ("none", "")
    assert recipe.outputs == {"features": {"shape": [3 * 25 * 2 * 15], "dtype": "float16"}}
    assert "trained_on" not in recipe.preprocessing
    assert options.of_recipe(recipe.to_dict(), None).recipe("none", "") == recipe
    others = ("raw_joints", *(spec.replace(*change) for change in (("=8", "=9"), ("=2,", "=1,"), ("hip", "raw"))))
    assert len({asked(each).recipe("none", "").key for each in (*others, spec)}) == 5


@pytest.mark.parametrize("weights", ["random:0", "gone.safetensors"])
def test_no_weights_are_taken(weights: str) -> None:
    assert RawJoints().weights_path() is None
    with pytest.raises(ExtractorError, match=rf"^raw_joints takes no weights, got '{re.escape(weights)}'\.") as told:
        options.asked("raw_joints", weights, "fp32")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(("layout", "target"), [(KINECT_20_UTD, KINECT_20), (MEDIAPIPE_33, NTU_25)])
def test_joints_of_another_layout_are_mapped(layout: Layout, target: Layout) -> None:
    extractor = asked(f"raw_joints:layout={target.name},frame=hip")
    sequence = poses(layout=layout)
    expected = prepared(sequence.mapped(target), Form(32, 1, frame="hip"))
    np.testing.assert_array_equal(extractor.unit(sequence), expected)
    assert expected.shape[2] == len(target.joints)


def test_a_layout_that_cannot_be_mapped_and_other_faults_are_of_their_sequence() -> None:
    with pytest.raises(LayoutMismatch, match="openpose-18 cannot be turned into kinect-20"):
        asked().unit(poses(layout=OPENPOSE_18))
    lost = body()
    lost[:, 5] = 0
    for frame in ("body", "hip"):
        with pytest.raises(JointNeverSeen, match="never seen: left elbow"):
            asked(f"raw_joints:frame={frame}").unit(checked(KINECT_20, lost[:, None]))
    still = np.zeros_like(body())
    still[3] = body()[3]
    with pytest.raises(TooShort, match="seen in 1 frame"):
        asked().unit(checked(KINECT_20, still[:, None]))


def test_a_row_does_not_depend_on_its_batch() -> None:
    extractor = asked("raw_joints:frame=hip")
    sequences = [poses(seed, 6 + 3 * seed) for seed in range(7)]
    batch = features(extractor, *sequences)
    assert len({row.tobytes() for row in batch}) == 7
    for at, sequence in enumerate(sequences):
        assert features(extractor, sequence)[0].tobytes() == batch[at].tobytes()
    assert features(extractor, *sequences[::-1]).tobytes() == batch[::-1].tobytes()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("raw_joints:frame=mine", "^raw_joints: frame is body, hip or raw, got 'mine'"),
        ("raw_joints:frames=1", "2 frames and 1 person at least, got 1 and 1"),
        ("raw_joints:people=0", "2 frames and 1 person at least, got 32 and 0"),
        ("raw_joints:layout=ntu", "No layout of joints is called 'ntu'"),
        ("raw_joints:parts=3", "no option is called 'parts'; there are: frames, people, frame, layout, segments"),
        ("raw_joints:frames=many", "frames must be of type int, got 'many'"),
    ],
)
def test_an_option_that_does_not_fit_is_refused_before_anything_is_computed(spec: str, message: str) -> None:
    with pytest.raises(ExtractorError, match=message) as told:
        asked(spec).recipe("none", "")
    assert "\n" not in str(told.value)


def test_it_computes_in_fp32_alone() -> None:
    with pytest.raises(ExtractorError, match="raw_joints computes in fp32, got precision 'bf16'"):
        options.asked("raw_joints", None, "bf16")
