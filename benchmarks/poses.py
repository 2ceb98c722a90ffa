"""How much slower poses go through a run than through the network alone, and how long a training takes.

Run: `python -m benchmarks.poses` (four minutes; one core).

A run reads each sequence from a file of many, checks it, maps and prepares it, and batches it, while a thread computes;
the network alone is given the same batches, made before. Reading and computing share the one core here, as on a machine
whose cores are all taken. Times are CPU seconds, the best of the rounds, because noise only ever adds time. Weights are
random: speed does not depend on them. The sequences are drawn: 20 joints, 67 frames, as UTD-MHAD has.

MediaPipe alone is given the frames of a real clip of the offline pack, made smaller, decoded before; a run also decodes
them and makes rows of what is found.

The training is that of `zsar finetune stgcn_small` on UTD-MHAD's largest split: 703 sequences of 22 classes for 60
epochs; a part of an epoch is timed and the whole taken in proportion, for two cores at the speed of one each.
"""

import contextlib
import importlib.util
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import torch

from benchmarks.bars import Bar, run
from extractors import clips, graph, mediapipe_graph, stgcn_network
from extractors.allocator import keep_freed_memory
from extractors.base import PoseExtractor
from extractors.joints import KINECT_20
from extractors.mediapipe_pose import MediaPipePose
from extractors.poses import Form, checked
from extractors.stgcn import STGCN, STGCNSmall
from heads.base import ClassTexts
from heads.classifier import Classifier, ClassifierOptions
from pipelines.extract.items import Item
from pipelines.extract.runners.base import Runner
from pipelines.extract.runners.poses import runner
from pipelines.extract.runners.tracks import Tracks
from pipelines.index.pose_places import Place, array_key
from pipelines.learn.samples.sequences import PoseSet, Sequences
from pipelines.learn.tasks import Task
from stores.features import ItemRows

_FRAMES = 67
_COUNTS = {"stgcn": 64, "stgcn_small": 320}
_BARS = {"stgcn": 1.1}
_OPTIONS = {"stgcn": {"frames": 64, "people": 1, "fit": "resample", "frame": "body", "layout": "kinect-20"}}
_ROUNDS = 3
_EPOCHS, _SEQUENCES, _CLASSES, _BATCH = 60, 703, 22, 16
_STEPS = 12  # of an epoch, timed
_ALLOWED_S = 20 * 60
_SPAN_S = (3.0, 5.0)  # of the clip for MediaPipe; somebody is in it


def bars() -> Iterator[Bar]:
    """A run over its network, for both sizes and for MediaPipe; a training."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    keep_freed_memory()
    try:
        for extractor in (STGCN("random:0", options=_OPTIONS["stgcn"]), STGCNSmall("random:0")):
            yield _run(extractor)
        yield _tracking()
        yield _training()
    finally:
        torch.set_num_threads(threads)


def _run(extractor: PoseExtractor) -> Bar:
    extractor.load("cpu")
    name, size = extractor.name, extractor.batch_units["cpu"]
    count = _COUNTS[name]
    sequences = [_sequence(seed) for seed in range(count)]
    units = np.stack([extractor.unit(checked(KINECT_20, sequence[:, None])) for sequence in sequences])

    def alone() -> None:
        for start in range(0, count, size):
            extractor(units[start : start + size])

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "many.npz"
        lengths = np.full(count, _FRAMES)
        np.savez(path, data=np.concatenate(sequences), length=lengths, layout=np.array(KINECT_20.name))
        items = [
            Item(array_key(KINECT_20.name, each), ((Place(str(path), KINECT_20.name, i).uri, None),), None, "", (name,))
            for i, each in enumerate(sequences)
        ]

        def whole() -> None:
            run = runner({name: extractor}, "cpu", 1, 1)
            with contextlib.closing(run.results(items)) as results:
                assert sum(result is not None for result in results) == count

        rest, taken = _best(alone), _best(whole)
    detail = f"{count / taken:.0f} of {count / rest:.0f} sequences/s of CPU time; batches of {size}"
    title = f"{name}-run-over-forward"
    bound = _BARS.get(name)
    return (
        Bar.measured(title, taken / rest, detail) if bound is None else Bar.at_most(title, taken / rest, bound, detail)
    )


def _tracking() -> Bar:
    title, bound = "mediapipe-run-over-forward", 1.2
    packs = [importlib.util.find_spec(name) for name in ("mediapipe", "Sports2D")]
    places = [next(iter(spec.submodule_search_locations or ())) for spec in packs if spec]
    if len(places) < 2:
        return Bar.skipped(title, f"<= {bound:g}", "the offline pack is not installed")
    extractor = MediaPipePose()
    extractor.load("cpu")
    with tempfile.TemporaryDirectory() as folder:
        path = _smaller(Path(places[1]) / "Demo" / "demo.mp4", Path(folder) / "clip.mp4")
        frames = list(clips.stream(str(path), extractor.wanted)[1])

        def alone() -> None:
            graph = mediapipe_graph.Graph(0.5, 0.5)
            for frame in frames:
                graph(frame)
            graph.close()

        def whole() -> None:
            item = Item(bytes(32), ((str(path), None),), None, "", ("mediapipe",))
            (result,) = filter(None, Runner({}, Tracks({"mediapipe": extractor}), 1, 1).results([item]))
            assert isinstance(result.outcome, ItemRows)

        rest, taken, count = _best(alone), _best(whole), len(frames)
    detail = f"{count / taken:.1f} of {count / rest:.1f} frames/s of CPU time; {count} frames of 456 x 256"
    return Bar.at_most(title, taken / rest, bound, detail)


def _smaller(source: Path, target: Path) -> Path:
    """Two seconds of a clip at the size in which Kinetics is passed on."""
    frames = clips.stream(str(source), lambda times: np.arange(len(times)), _SPAN_S)[1]
    with av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 456, 256, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(cv2.resize(frame, (456, 256)), format="rgb24")))
        container.mux(stream.encode(None))
    return target


def _training() -> Bar:
    form = Form(32, 1)
    draw = np.random.default_rng(0)
    drawn = draw.standard_normal((_SEQUENCES, 3, 2 * form.frames, 20, 1)).astype(np.float32)
    names = tuple(f"class {i % _CLASSES:02d}" for i in range(_SEQUENCES))
    nothing: tuple[dict[str, str], ...] = ({},) * _SEQUENCES
    keys = (b"",) * _SEQUENCES
    poses = PoseSet(names, keys, names, nothing, (), 0, KINECT_20, form, drawn, drawn[:, :, ::2])
    samples = Sequences(poses, np.arange(_SEQUENCES), poses.classes, "cpu")
    adjacency = graph.spatial(KINECT_20)
    network = stgcn_network.SpatialTemporalGraphNetwork(stgcn_network.STGCN_SMALL, adjacency, _CLASSES, 0.25)
    task = Task(samples, Classifier(ClassifierOptions(0.1)), ClassTexts(poses.classes, {}), visual=network)
    optimiser = torch.optim.SGD(task.model.parameters(), 0.01, momentum=0.9, nesterov=True)
    order = torch.randperm(_SEQUENCES)[: _STEPS * _BATCH]

    def steps() -> None:
        for batch in samples.batches(torch.split(order, _BATCH), draw=1):
            optimiser.zero_grad()
            task.loss(batch)["classes"].backward()
            optimiser.step()

    seconds = _best(steps) / (_STEPS * _BATCH) * _SEQUENCES * _EPOCHS
    detail = f"{seconds / 60:.1f} minutes on one core, allowed 20 on two; {_EPOCHS} epochs of {_SEQUENCES} sequences"
    return Bar.at_most("stgcn_small-training-of-20-minutes", seconds / _ALLOWED_S, 1, detail)


def _sequence(seed: int) -> np.ndarray:
    """(T, V, 3) float32 of a body whose joints wander."""
    draw = np.random.default_rng(seed)
    places = draw.uniform(-0.2, 0.2, (20, 3)) + np.array([0, 1, 3])
    places[0, 1], places[2, 1] = 0.8, 1.4
    steps = draw.standard_normal((_FRAMES, 20, 3)) * 0.02
    return np.asarray(places + steps.cumsum(0), np.float32)


def _best(work: Callable[[], object]) -> float:
    """The least CPU seconds over the rounds, of all threads."""
    work()
    times = []
    for _ in range(_ROUNDS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


if __name__ == "__main__":
    run(bars())
