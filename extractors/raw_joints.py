"""Raw joints as a feature: where they are and how they move, without any network.

    (3, T, V, M) as `poses.prepared` gives it ─▶ [x ; x_{t+1} - x_t] ─▶ features (3 V M (2 T - 1),) float16

What learned features of poses have to beat: nothing is trained, so no class was seen by it. Options: `frames` T and
`people` M and the `frame` of reference of the form, the `layout` whose joints they are, and `segments`: so many rows,
of equal parts of the frames, each as if it were a sequence.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from extractors import joints
from extractors.backbone import as_stored
from extractors.base import Output, PoseExtractor
from extractors.errors import ExtractorError
from extractors.joints import KINECT_20, Layout
from extractors.pose_weights import check
from extractors.poses import Form, Poses, prepared


class RawJoints(PoseExtractor):
    """Positions and their differences from frame to frame, in the frame of the body."""

    name = "raw_joints"
    version = 1
    precisions = ("fp32",)
    takes_weights = False
    default_options: ClassVar[dict[str, Any]] = {
        **{"frames": 32, "people": 1, "frame": "body"},
        "layout": KINECT_20.name,
        "segments": 1,
    }
    batch_units: ClassVar[dict[str, int]] = {"cpu": 64, "cuda": 64}

    @property
    def form(self) -> Form:
        """What a sequence is put into."""
        form = Form(self.options["frames"], self.options["people"], frame=self.options["frame"])
        check(form, self.name)
        if self.options["segments"] < 1 or form.frames % self.options["segments"]:
            raise ExtractorError(
                f"{self.name}: {form.frames} frames do not make {self.options['segments']} segments of one length. Ask "
                "for another number of either."
            )
        return form

    def sampled(self) -> dict[str, Any]:
        """As `Extractor.sampled`; one segment is not told, as there was no other once."""
        told = super().sampled()
        return told if told["segments"] > 1 else {name: value for name, value in told.items() if name != "segments"}

    @property
    def layout(self) -> Layout:
        """Of the joints."""
        return joints.layout(self.options["layout"])

    @property
    def outputs(self) -> Mapping[str, Output]:
        """As `Extractor.outputs`."""
        frames = self.form.frames // self.options["segments"]
        width = 3 * len(self.layout.joints) * self.form.people * (2 * frames - 1)
        return {"features": Output((width,), "float16")}

    def preprocessed(self) -> dict[str, Any]:
        """As `Extractor.preprocessed`."""
        return {"poses": "mapped, prepared, differences"}

    def weights_path(self) -> None:
        """None: there is nothing to load."""

    def load(self, device: str) -> None:
        """As `Extractor.load`: nothing; a GPU would not help."""

    def unit(self, poses: Poses) -> np.ndarray:
        """As `PoseExtractor.unit`."""
        return prepared(poses if poses.layout is self.layout else poses.mapped(self.layout), self.form)

    def __call__(self, units: np.ndarray) -> dict[str, np.ndarray]:
        """As `Extractor.__call__`."""
        parts = np.split(units, self.options["segments"], axis=2)
        return {"features": np.stack([_told(part) for part in parts], 1)}

    def rows(self, units: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One row a segment."""
        return as_stored({"features": units["features"]}, self.outputs)

    def columns(self) -> dict[str, list[str]]:
        """None has a name."""
        return {}


def _told(part: np.ndarray) -> np.ndarray:
    """Positions and differences of (B, 3, T, V, M), a row each."""
    moved = np.diff(part, axis=2)
    return np.concatenate([x.reshape(len(x), -1) for x in (part, moved)], 1)
