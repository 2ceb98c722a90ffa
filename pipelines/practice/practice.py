"""The practice world: a data set as real ones look, made of nothing, or of recorded poses.

Run    `zsar practice DIR`; 1,200 films in about a minute on two cores
       `zsar practice DIR --poses utd` draws the sequences of a data set of poses in the cache
Takes  a seed; or poses
Gives  DIR/videos/*.mp4, labels.csv, splits.json, README.md with what comes next; of compositions also definitions.json,
       phrases.json, control.json, segments.csv, poses.npz and word_vectors.txt

Everything of a film follows from the seed, its class and its number, so the same bytes come out of any number of
processes, whichever of them were there before. A film lies in its place as a whole or not at all: a call that was
killed is gone on with by the next one.
"""

import dataclasses
import json
import os
from pathlib import Path

from pipelines.errors import UsageError
from pipelines.practice import filming
from pipelines.practice.composed import composed
from pipelines.practice.redrawn import drawn
from pipelines.practice.settings import PracticeConfig
from pipelines.progress import Progress
from stores.root import Root

_ABOUT = "practice.json"
_VERSION = 1
_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class PracticeReport:
    """What is there now.

    Attributes
    ----------
    folder : where
    kind : `compositions`, or `poses` of which data set
    classes, videos : how many there are
    drawn : videos drawn by this call
    left_out : sequences that cannot be used, or have no label
    faults : why, of the first
    """

    folder: str
    kind: str
    classes: int
    videos: int
    drawn: int
    left_out: int = 0
    faults: tuple[str, ...] = ()


def practice(config: PracticeConfig, root: Root, progress: Progress | None = None) -> PracticeReport:
    """Write a practice world, or what is missing of one.

    Raises
    ------
    UsageError
        The folder holds something else, a world of other settings, or cannot be written; or see `recorded.rows`.
    ExtractorError
        The poses' joints cannot be turned into a Kinect's.
    """
    folder = Path(config.folder)
    _refuse_other(folder)
    world = drawn(config, root) if config.poses else composed(config)
    try:
        (folder / "videos").mkdir(parents=True, exist_ok=True)
        _begin(folder, config, world.digest)
        for stale in (folder / "videos").glob(".*.part"):
            stale.unlink()
        done = {path.stem for path in (folder / "videos").glob("*.mp4")}
        todo = [take for take in world.takes if take.name not in done]
        for count in filming.made(todo, folder / "videos", config.size, config.fps, config.workers):
            if progress:
                progress(len(world.takes) - len(todo) + count, len(world.takes))
        for name, content in world.files.items():
            if not (folder / name).exists():
                _write(folder / name, content())
    except OSError as error:
        raise UsageError(
            f"{error.filename or folder} cannot be written: {error.strerror}. Give another folder."
        ) from error
    classes = len({take.label for take in world.takes})
    kind = f"poses of {config.poses}" if config.poses else "compositions"
    return PracticeReport(
        str(folder), kind, classes, len(world.takes), len(todo), world.left_out, tuple(world.faults[:_SHOWN])
    )


def _refuse_other(folder: Path) -> None:
    """Only what an earlier call began, or nothing, may be there."""
    if folder.is_dir() and not (folder / _ABOUT).is_file():
        if there := sorted(path.name for path in folder.iterdir()):
            raise UsageError(
                f"{folder} is not empty and no practice world ({there[0]} is in it). Give a folder that is new."
            )
    elif folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file. Give a folder that is new.")


def _begin(folder: Path, config: PracticeConfig, digest: str) -> None:
    """Say what the world is, or hold what is asked for against what was said."""
    asked = dataclasses.asdict(config) | {"version": _VERSION}
    asked = {name: value for name, value in asked.items() if name not in ("folder", "workers")}
    asked |= {"sequences": digest} if digest else {}
    path = folder / _ABOUT
    if not path.exists():
        _write(path, f"{json.dumps(asked, indent=1)}\n".encode())
        return
    try:
        there = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise UsageError(f"{path} is damaged: {error}. Remove {folder}, or give another folder.") from error
    other = [name for name in {**there, **asked} if there.get(name) != asked.get(name)]
    if other:
        said = ", ".join(f"{name} {there.get(name)!r} and not {asked.get(name)!r}" for name in sorted(other))
        raise UsageError(f"{folder} is a practice world of {said}. Give another folder, or the same settings.")


def _write(path: Path, content: bytes) -> None:
    """Write a file that is there as a whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    os.replace(part, path)
