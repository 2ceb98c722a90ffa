"""Drawing a scene: joints in, pictures out.

    Scene, figures (T, 20, 3) of the world ─pictures─▶ (T, size, size, 3) uint8

A limb is a capsule that tapers, drawn thrice: a dark rim that sets it off from what is behind, its colour, and a light
along its upper left. What is further away is drawn first, and darker. All is drawn at twice the size and averaged.
"""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from extractors.joints import KINECT_20
from pipelines.practice.cameras import Camera
from pipelines.practice.looks import Colour, Look
from pipelines.practice.scenes import Scene

_FINE = 2  # drawn so much larger than shown
_MARGIN = 0.06  # share of the picture by which the background is larger, to shake in
_SHIFT = 4  # bits behind the point in OpenCV's coordinates
_ROUND = 7  # points of a half circle
_RIM, _LIGHT = 0.45, 1.16
_AT = {name: place for place, name in enumerate(KINECT_20.joints)}
#: joints, radii in metres, which colour
_LIMBS = (
    *((f"{s} shoulder", f"{s} elbow", 0.062, 0.048, "sleeve") for s in ("left", "right")),
    *((f"{s} elbow", f"{s} wrist", 0.046, 0.036, "cuff") for s in ("left", "right")),
    *((f"{s} wrist", f"{s} hand", 0.044, 0.044, "skin") for s in ("left", "right")),
    *((f"{s} hip", f"{s} knee", 0.092, 0.066, "trousers") for s in ("left", "right")),
    *((f"{s} knee", f"{s} ankle", 0.064, 0.045, "shin") for s in ("left", "right")),
    *((f"{s} ankle", f"{s} foot", 0.05, 0.042, "shoes") for s in ("left", "right")),
    ("shoulder centre", "head", 0.05, 0.05, "skin"),
)
_TRUNK = (("left shoulder", 0.075), ("right shoulder", 0.075), ("left hip", 0.095), ("right hip", 0.095))
_HEAD_M = 0.112


def background_size(size: int) -> int:
    """Pixels of each side of the background of pictures of this size."""
    return round(size * _FINE * (1 + 2 * _MARGIN))


def pictures(scene: Scene, figures: Sequence[tuple[np.ndarray, Look]], size: int) -> Iterator[np.ndarray]:
    """The pictures of a film, one by one.

    Parameters
    ----------
    scene : Scene
        Whose background has the size that `background_size` says.
    figures : of (T, 20, 3) float, metres of the world, and the look
        Those the film is about; a bystander of the scene is drawn before them.
    size : int
        Pixels of each side.

    Yields
    ------
    (size, size, 3) uint8, red, green, blue
    """
    everybody = [*([scene.bystander] if scene.bystander else []), *figures]
    wide = len(scene.background)
    drawn = [_Figure(places, look, scene.camera, wide, size * _FINE) for places, look in everybody]
    margin = (wide - size * _FINE) // 2
    for frame in range(len(figures[0][0])):
        canvas = scene.background.copy()
        for thing in scene.things:
            _draw_thing(canvas, thing.kind, thing.colour, thing.radius * size * _FINE, thing.path[frame] * wide)
        for figure in drawn:
            figure.shadow(canvas, frame)
        for figure in sorted(drawn, key=lambda each: -each.depth[frame]):
            figure.draw(canvas, frame)
        left, down = np.clip(np.rint(scene.camera.shake[frame] * size * _FINE).astype(int), -margin, margin)
        seen = canvas[margin + down :, margin + left :][: size * _FINE, : size * _FINE]
        small = cv2.resize(seen, (size, size), interpolation=cv2.INTER_AREA)
        yield cv2.convertScaleAbs(small, alpha=scene.gain)


class _Figure:
    """One figure, all of whose frames are projected at once."""

    def __init__(self, places: np.ndarray, look: Look, camera: Camera, wide: int, size: int) -> None:
        before = camera.before(places)
        middle = (wide - size) / 2
        self._look = look
        self._seen = camera.pixels(before, size) + middle
        self._z = before[..., 2]
        self.depth = self._z.mean(1)
        self._metre = size * camera.focal / np.maximum(before[..., 2], 0.3)  # pixels of a metre at each joint
        ground = places[..., [_AT["left ankle"], _AT["right ankle"], _AT["hip centre"]], :].mean(-2)
        height = places[..., [_AT["left ankle"], _AT["right ankle"]], 1].min(1)
        self._shadows = _shadows(ground, height, camera, size) + middle
        self._faces = _facing(before)
        self._colours = {
            "skin": look.skin,
            "sleeve": look.top,
            "cuff": look.top if look.long_sleeves else look.skin,
            "trousers": look.trousers,
            "shin": look.trousers if look.long_trousers else look.skin,
            "shoes": look.shoes,
        }
        self._limbs = [self._limb(*limb) for limb in _LIMBS]

    def _limb(
        self, start: str, end: str, first: float, last: float, part: str
    ) -> tuple[np.ndarray, np.ndarray, Colour]:
        """Of each frame the outlines (3, T, P, 2) of a limb in fixed point, its depth (T,), and its colour."""
        a, b, girth = _AT[start], _AT[end], self._look.girth
        first, last = first * girth, last * girth
        near, far = self._seen[:, a], self._seen[:, b]
        radii = np.stack([first * self._metre[:, a], last * self._metre[:, b]], 1)
        light = near - 0.28 * radii[:, :1], far - 0.28 * radii[:, 1:]
        outlines = [_capsule(near, far, radii + 1.1), _capsule(near, far, radii), _capsule(*light, radii * 0.55)]
        return _fixed(np.stack(outlines)), self._z[:, [a, b]].mean(1), self._colours[part]

    def shadow(self, canvas: np.ndarray, frame: int) -> None:
        """Darken the ground below the figure."""
        points = self._shadows[frame]
        low, high = np.floor(points.min(0)).astype(int), np.ceil(points.max(0)).astype(int) + 1
        (left, top), (right, bottom) = np.clip(low, 0, len(canvas)), np.clip(high, 0, len(canvas))
        if right <= left or bottom <= top:
            return
        part = canvas[top:bottom, left:right]
        mask = np.zeros(part.shape[:2], np.uint8)
        cv2.fillConvexPoly(mask, _fixed(points - (left, top)), 84, cv2.LINE_AA, _SHIFT)
        part[:] = (part * (1 - mask[..., None] / 255)).astype(np.uint8)

    def draw(self, canvas: np.ndarray, frame: int) -> None:
        """Draw the figure, its furthest part first."""
        depth = self.depth[frame]
        parts = [(float(z[frame]), k) for k, (_, z, _) in enumerate(self._limbs)]
        trunk_z = float(self._z[frame, [_AT["shoulder centre"], _AT["hip centre"]]].mean())
        parts += [(trunk_z, -1), (float(self._z[frame, _AT["head"]]) - 0.02, -2)]
        for z, k in sorted(parts, reverse=True):
            shade = float(np.clip(1 - 0.42 * (z - depth), 0.72, 1.12))
            if k == -1:
                self._draw_trunk(canvas, frame, shade)
            elif k == -2:
                self._draw_head(canvas, frame, shade)
            else:
                outlines, _, colour = self._limbs[k]
                _shaded(canvas, outlines[:, frame], colour, shade)

    def _draw_trunk(self, canvas: np.ndarray, frame: int, shade: float) -> None:
        joints = [_AT[name] for name, _ in _TRUNK]
        radii = np.array([radius for _, radius in _TRUNK]) * self._look.girth * self._metre[frame, joints]
        middle = self._seen[frame, joints]
        inner = middle + 0.3 * (middle.mean(0) - middle) - 0.2 * radii[:, None]
        outlines = [_hull(middle, radii + 1.1), _hull(middle, radii), _hull(inner, radii * 0.6)]
        _shaded(canvas, [_fixed(outline) for outline in outlines], self._look.top, shade)
        hips = [_AT["left hip"], _AT["right hip"]]
        belt = _hull(self._seen[frame, hips], radii[2:])
        cv2.fillConvexPoly(canvas, _fixed(belt), _times(self._look.trousers, shade), cv2.LINE_AA, _SHIFT)

    def _draw_head(self, canvas: np.ndarray, frame: int, shade: float) -> None:
        """A head with hair behind and above the face, which looks where the shoulders do."""
        head, neck = _AT["head"], _AT["shoulder centre"]
        at, radius = self._seen[frame, head], _HEAD_M * self._metre[frame, head]
        up = at - self._seen[frame, neck]
        up = up / max(float(np.linalg.norm(up)), 1e-6)
        aside, towards = self._faces[frame]
        hair, skin = _times(self._look.hair, shade), self._look.skin
        _disc(canvas, at, radius + 1.1, _times(self._look.hair, shade * 0.6))
        _disc(canvas, at, radius, hair)
        if self._look.long_hair:
            _disc(canvas, at - up * radius * 0.75 - np.array([aside * radius * 0.35, 0]), radius * 0.82, hair)
        if towards > -0.35:  # the face turns away with the shoulders
            face = at + np.array([aside * radius * 0.42, 0]) - up * radius * 0.16
            width = radius * (0.5 + 0.34 * max(towards, 0))
            axes = _fixed(np.array([width, radius * 0.84]))
            turned = float(np.degrees(np.arctan2(up[0], -up[1])))
            whole = tuple(int(v) for v in _fixed(face))
            cv2.ellipse(
                canvas,
                whole,
                tuple(int(v) for v in axes),
                turned,
                0,
                360,
                _times(skin, shade * 1.04),
                -1,
                cv2.LINE_AA,
                _SHIFT,
            )
            across = np.array([-up[1], up[0]])
            for side in (-1, 1):
                eye = face + across * side * radius * 0.34 * max(towards, 0.1) + up * radius * 0.12
                eye = eye + np.array([aside * radius * 0.2, 0])
                _disc(canvas, eye, radius * 0.11, (30, 24, 24))


def _shadows(ground: np.ndarray, height: np.ndarray, camera: Camera, size: int) -> np.ndarray:
    """(T, P, 2) an ellipse on the ground below the figure, smaller the higher it is."""
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    wide = np.clip(0.36 - 0.4 * (height - 0.05), 0.14, 0.36)[:, None]
    around = np.zeros((len(ground), len(angles), 3))
    around[..., 0] = ground[:, :1] + wide * np.cos(angles)
    around[..., 2] = ground[:, 2:] + wide * np.sin(angles)
    return camera.pixels(camera.before(around), size)


def _facing(before: np.ndarray) -> np.ndarray:
    """(T, 2): how much the chest looks to the picture's right, and how much into the camera; both in [-1, 1]."""
    across = before[:, _AT["right shoulder"]] - before[:, _AT["left shoulder"]]
    spine = before[:, _AT["shoulder centre"]] - before[:, _AT["hip centre"]]
    ahead = np.cross(spine, across)
    ahead /= np.maximum(np.linalg.norm(ahead, axis=1, keepdims=True), 1e-9)
    return np.stack([-ahead[:, 0], -ahead[:, 2]], 1)


def _capsule(start: np.ndarray, end: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """(T, P, 2) outline of two half circles of (T, 2) radii about (T, 2) points, and the lines between them."""
    along = np.arctan2(end[:, 1] - start[:, 1], end[:, 0] - start[:, 0])[:, None]
    half = np.linspace(np.pi / 2, 3 * np.pi / 2, _ROUND)
    first, last = along + half, along + half + np.pi
    return np.concatenate(
        [
            start[:, None] + radii[:, :1, None] * np.stack([np.cos(first), np.sin(first)], -1),
            end[:, None] + radii[:, 1:, None] * np.stack([np.cos(last), np.sin(last)], -1),
        ],
        1,
    )


def _hull(middles: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """(P, 2) outline around some discs."""
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    points = middles[:, None] + radii[:, None, None] * np.stack([np.cos(angles), np.sin(angles)], -1)
    return np.asarray(cv2.convexHull(points.reshape(-1, 2).astype(np.float32))[:, 0])


def _shaded(canvas: np.ndarray, outlines: Sequence[np.ndarray] | np.ndarray, colour: Colour, shade: float) -> None:
    """A rim, a body and a light, of outlines in fixed point."""
    for outline, factor in zip(outlines, (_RIM, 1.0, _LIGHT), strict=True):
        cv2.fillConvexPoly(canvas, outline, _times(colour, shade * factor), cv2.LINE_AA, _SHIFT)


def _draw_thing(canvas: np.ndarray, kind: str, colour: Colour, radius: float, at: np.ndarray) -> None:
    if kind == "ball":
        _disc(canvas, at, radius, _times(colour, 0.8))
        _disc(canvas, at - radius * 0.25, radius * 0.6, colour)
    else:
        corners = at + radius * np.array([[-1, -0.7], [1, -0.7], [1, 0.7], [-1, 0.7]])
        cv2.fillConvexPoly(canvas, _fixed(corners), colour, cv2.LINE_AA, _SHIFT)


def _disc(canvas: np.ndarray, at: np.ndarray, radius: float, colour: Colour) -> None:
    x, y = (int(v) for v in _fixed(at))
    cv2.circle(canvas, (x, y), int(_fixed(np.array(radius))), colour, -1, cv2.LINE_AA, _SHIFT)


def _fixed(points: np.ndarray) -> np.ndarray:
    """In OpenCV's fixed point."""
    return np.rint(np.asarray(points, np.float64) * (1 << _SHIFT)).astype(np.int32)


def _times(colour: Colour, factor: float) -> Colour:
    red, green, blue = colour
    return min(int(red * factor), 255), min(int(green * factor), 255), min(int(blue * factor), 255)
