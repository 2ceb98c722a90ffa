"""MediaPipe Pose on a whole video: one person, 33 landmarks a frame.

    frames ─graph, followed from frame to frame─▶ world (T, 33, 4), image (T, 33, 2) ─turned─▶ rows, one a frame

    features (132,)   x, y, z and visibility of each joint of `mediapipe-33`: metres from the middle of the hips, y up,
                      z away from the camera and x to its left, as the Kinect has them; visibility in [0, 1]
    image    (66,)    x and y of each in the picture, shares of its width and height from the upper left corner

A frame without a person is NaN, and of visibility 0. Landmarks that are hidden or outside the picture are MediaPipe's
guesses, of low visibility. MediaPipe follows one person, whom it chooses; it takes the frames for a thirtieth of a
second apart when it smooths, whatever they are. Each video begins with a graph of its own: what came before it changes
nothing. Float16 rounds by half a millimetre, a hundredth of what the landmarks are off.

Options: `stride`, every so many frames (1), of the video's own or of a clock of `fps`; `detection` and `tracking`, the
confidences that a person is found and still followed (.5).

Paper: Bazarevsky et al., BlazePose: On-device Real-time Body Pose Tracking, 2020. The lite and heavy models are not in
the package, and nothing is downloaded.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from extractors import mediapipe_graph
from extractors.base import Output, Tracker
from extractors.errors import ExtractorError
from extractors.joints import MEDIAPIPE_33
from extractors.mediapipe_graph import Found
from extractors.poses import NoBody
from extractors.sampling import every

_JOINTS = len(MEDIAPIPE_33.joints)
_TURN = np.array([-1, -1, 1, 1], np.float32)  # half a turn about the way the camera looks; visibility stays


class MediaPipePose(Tracker):
    """Poses of videos: `features` (132,) and `image` (66,) float16, one row a frame."""

    name = "mediapipe"
    version = 1
    precisions = ("fp32",)
    takes_weights = False
    outputs = {"features": Output((4 * _JOINTS,), "float16", gaps=True), "image": Output((66,), "float16", gaps=True)}
    default_options = {"stride": 1, "fps": 0.0, "detection": 0.5, "tracking": 0.5}

    def sampled(self) -> dict[str, Any]:
        """As `Extractor.sampled`.

        Raises
        ------
        ExtractorError
            An option outside its range.
        """
        given = self.options
        if given["stride"] < 1 or not 0 <= given["fps"] < float("inf"):
            raise ExtractorError(
                f"{self.name} needs stride >= 1 and fps >= 0 (0: the video's own frames), "
                f"got stride={given['stride']}, fps={given['fps']:g}."
            )
        for name in ("detection", "tracking"):
            if not 0 <= given[name] <= 1:
                raise ExtractorError(f"{self.name}: {name} is a confidence from 0 to 1, got {given[name]:g}.")
        return dict(given)

    def preprocessed(self) -> dict[str, Any]:
        """As `Extractor.preprocessed`; `layout` says that the rows are poses, and of which joints."""
        how = {"model": "full", "mode": "tracking, smoothed", "people": 1, "axes": "x left, y up, z away"}
        return {"mediapipe": mediapipe_graph.version(), **how, "layout": MEDIAPIPE_33.name}

    def weights_path(self) -> Path:
        """As `Extractor.weights_path`: a file of the package."""
        return mediapipe_graph.model()

    def load(self, device: str) -> None:
        """As `Extractor.load`; a frame goes through, so that nothing is set up while threads run."""
        self.weights_path()
        graph = mediapipe_graph.Graph(0.0, 0.0)  # sure of anything, so that every part of it is used
        try:
            graph(np.zeros((64, 64, 3), np.uint8))
        finally:
            graph.close()

    def wanted(self, times: np.ndarray) -> np.ndarray:
        """As `Tracker.wanted`."""
        return every(times, self.options["stride"], self.options["fps"])

    def __call__(self, units: Iterable[np.ndarray], times: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """As `Tracker.__call__`.

        Raises
        ------
        NoBody
            Nobody is found in any frame.
        """
        graph = mediapipe_graph.Graph(self.options["detection"], self.options["tracking"])
        try:
            found = [graph(frame) for frame in units]
        finally:
            graph.close()
        if not any(found):
            raise NoBody(
                f"Poses need a person; in {len(found)} frames MediaPipe is never as sure of one as "
                f"{self.options['detection']:g}. Leave the video out, or ask for less: {self.name}:detection=0.2."
            )
        return {"features": _features(found), "image": _image(found)}

    def columns(self) -> dict[str, list[str]]:
        """What each number of a row is."""
        parts = {"features": ("x", "y", "z", "visibility"), "image": ("x", "y")}
        joints = MEDIAPIPE_33.joints
        return {name: [f"{joint} {part}" for joint in joints for part in own] for name, own in parts.items()}


def _features(found: Sequence[Found | None]) -> np.ndarray:
    """(T, 132) float16."""
    nobody = np.tile(np.array([np.nan, np.nan, np.nan, 0], np.float32), (_JOINTS, 1))
    rows = np.stack([nobody if each is None else each.world * _TURN for each in found])
    return rows.reshape(len(found), -1).astype(np.float16)


def _image(found: Sequence[Found | None]) -> np.ndarray:
    """(T, 66) float16."""
    nobody = np.full((_JOINTS, 2), np.nan, np.float32)
    rows = np.stack([nobody if each is None else each.image for each in found])
    return rows.reshape(len(found), -1).astype(np.float16)
