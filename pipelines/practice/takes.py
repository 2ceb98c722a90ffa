"""One film of the practice world before it is drawn: what it shows follows from its seed, class and number.

Take ─performance─▶ joints     ─scene─▶ what else is seen     ─pictures─▶ (size, size, 3) uint8 each
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from pipelines.practice import drawing, scenes
from pipelines.practice.cameras import Camera
from pipelines.practice.looks import Look
from pipelines.practice.motions import BY_NAME
from pipelines.practice.performance import Performance, perform, somebody

_OWN_VIEW = ("front",)  # of what is recorded: it looks where it looked
_RECORDED_M = (1.9, 2.4)  # a tracked person is as high as the middle of the head


@dataclasses.dataclass(frozen=True)
class Take:
    """A film to be made.

    Attributes
    ----------
    name, label : of the film
    seed, class_number, number : what all that is drawn for it follows from
    motions : names of atomic motions, in order; none where it is recorded
    figures : of each recorded person (T, 20, 3) metres of the world
    """

    name: str
    label: str
    seed: int
    class_number: int
    number: int
    motions: tuple[str, ...] = ()
    figures: tuple[np.ndarray, ...] = ()

    def drawer(self, of: int) -> np.random.Generator:
        """Numbers for one of its parts."""
        return np.random.default_rng([self.seed, self.class_number, self.number, of])

    def performance(self, fps: int) -> Performance:
        """How its motions are performed."""
        draw = self.drawer(0)
        return perform([BY_NAME[name] for name in self.motions], fps, somebody(draw), draw)

    def scene(self, figure: np.ndarray, girth: float, size: int, fps: int) -> scenes.Scene:
        """What else is seen; what is recorded has a view of its own."""
        wide, draw = drawing.background_size(size), self.drawer(1)
        if self.motions:
            return scenes.scene(figure, wide, fps, girth, draw)
        return scenes.scene(figure, wide, fps, girth, draw, _OWN_VIEW, _RECORDED_M)

    def camera(self, performance: Performance) -> Camera:
        """The camera of its scene, where it is performed."""
        return scenes.viewed(performance.places(), performance.body.girth, self.drawer(1))[1]

    def pictures(self, size: int, fps: int) -> Iterator[np.ndarray]:
        """Its (size, size, 3) uint8 pictures."""
        figures, girth = self.figures, 1.0
        if self.motions:
            performance = self.performance(fps)
            figures, girth = (performance.places(),), performance.body.girth
        scene = self.scene(figures[0], girth, size, fps)
        others = [Look.drawn(self.drawer(2), girth) for _ in figures[1:]]
        yield from drawing.pictures(scene, list(zip(figures, (scene.look, *others), strict=True)), size)
