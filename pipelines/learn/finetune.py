"""Finetune: train ST-GCN on the sequences of the seen classes of each split of a protocol.

Run    `zsar finetune stgcn_small --dataset utd --protocol utd-mhad-22/5`
       `zsar finetune stgcn_small --dataset utd --train subject=1,3,5,7 --test subject=2,4,6,8`
Takes  a data set of poses, a protocol, or conditions on the sequences to train and to test on
Gives  `runs/RUN/split-000/weights.safetensors` a split, in the published names, which says in its header what it was
       trained on; a `FinetuneReport`

Nothing is chosen on sequences that are judged later: the number of epochs is fixed, and sequences of unseen classes are
not even looked at. Sequences with the same content as one that is trained on are left out of the test, and counted. The
same command finds the same run: it goes on where it was killed, adds splits, or finds that there is nothing to do.

Where a network begins from weights (`weights`), those must not have seen an unseen class: published ones, which saw all
classes of their data set, are refused there.
"""

import dataclasses
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from extractors import stgcn_network
from extractors.errors import ExtractorError
from extractors.pose_weights import About, about
from extractors.poses import Form
from extractors.weights import at_path
from pipelines.errors import UsageError
from pipelines.learn.engine import Training, save, train
from pipelines.learn.protocols.by_vectors import name_vectors
from pipelines.learn.protocols.fifths import fifths
from pipelines.learn.protocols.protocols import Protocol, chosen, protocol
from pipelines.learn.protocols.splits import Split
from pipelines.learn.samples.sequences import PoseSet, PoseTask, read, top1
from pipelines.learn.settings import FinetuneConfig, command_line
from pipelines.machine import cores_here, device_of
from pipelines.progress import Progress
from pipelines.texts.adding import link
from stores.classes import Classes
from stores.failures import Failure, Failures
from stores.keys import rows_digest
from stores.root import Root, checked_name
from stores.runs import Runs

NO_PROTOCOL = "none"
_ABOUT = "split.json"
_NOT_IDENTITY = ("splits", "device", "threads")
_WARMUP = 0.05


@dataclasses.dataclass(frozen=True)
class FinetuneReport:
    """What was trained.

    Attributes
    ----------
    run : its name
    weights : path by number of split
    top1 : on the sequences to test, the mean over splits; None where none were asked for
    trained : splits that were trained now; the others were there
    sequences, failed : that can be used, and that cannot; these are in the failures
    seconds : wall time
    notes : what a reader of the results must know
    """

    run: str
    weights: dict[int, str]
    top1: float | None
    trained: int
    sequences: int
    failed: int
    seconds: float
    notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Part:
    """What one split trains and tests on: numbers of sequences, and the classes of the network's outputs."""

    number: int
    classes: tuple[str, ...]
    unseen: tuple[str, ...]
    train: np.ndarray
    test: np.ndarray
    twins: int


def finetune(config: FinetuneConfig, root: Root, progress: Progress | None = None) -> FinetuneReport:
    """Train a network on the seen classes of each split asked for.

    Parameters
    ----------
    config : FinetuneConfig
    root : Root
    progress : callable, optional
        Called with (epochs done, epochs in all).

    Raises
    ------
    UsageError
        Conditions, classes or sequences that do not fit; the message says which.
    NotInStore, ExtractorError
        No such data set; weights that do not fit, or that have seen an unseen class.
    Stopped
        A loss that is not finite.
    """
    started = time.monotonic()
    if config.model not in stgcn_network.ARCHITECTURES:
        raise UsageError(f"{config.model!r} is not trained here; there are: {', '.join(stgcn_network.ARCHITECTURES)}.")
    poses = read(config.dataset, root, config.layout, Form(config.frames, config.people))
    _note(poses, config, root)
    named = _named(config, poses, root)
    parts = list(_parts(config, poses, named))
    name = run_name(config, poses, named)
    runs = Runs(root)
    runs.folder(name).mkdir(parents=True, exist_ok=True)
    told = _about(config, poses, parts, runs.told(name, "finetune.json") or {})
    root.write_text(json.dumps(told, indent=1, sort_keys=True), "runs", name, "finetune.json")
    todo = [part for part in parts if not (_folder(runs, name, part.number) / _ABOUT).exists()]
    for before, part in enumerate(todo):
        _train(config, poses, part, _folder(runs, name, part.number), _told(progress, before, len(todo)))
    found = [json.loads((_folder(runs, name, part.number) / _ABOUT).read_text()) for part in parts]
    tested = [each["top1"] for each in found if each["top1"] is not None]
    notes = [f"{poses.unlabelled} sequences have no label"] if poses.unlabelled else []
    notes += [
        f"split {p.number}: {p.twins} sequences to test are also trained on, and left out" for p in parts if p.twins
    ]
    return FinetuneReport(
        run=name,
        weights={part.number: str(_folder(runs, name, part.number) / "weights.safetensors") for part in parts},
        top1=float(np.mean(tested)) if tested else None,
        trained=len(todo),
        sequences=len(poses.ids),
        failed=len(poses.faults),
        seconds=time.monotonic() - started,
        notes=tuple(notes),
    )


def _about(config: FinetuneConfig, poses: PoseSet, parts: list[_Part], before: dict[str, Any]) -> dict[str, Any]:
    """What a run depends on, as it is stored; splits that were asked for `before` stay asked for."""
    return {
        "config": dataclasses.asdict(config),
        "command": command_line("finetune", config),
        "splits": sorted({*before.get("splits", ()), *(part.number for part in parts)}),
        "layout": poses.layout.name,
        "sequences": len(poses.ids),
        "failed": len(poses.faults),
        "digest": poses.digest(),
        "made": before.get("made", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())),
    }


@dataclasses.dataclass(frozen=True)
class _Named:
    """The classes as a protocol is given them.

    Attributes
    ----------
    classes : names to split
    means : the class that each label of the sequences means
    vectors : (K, A) of the names, where the protocol draws by them
    """

    classes: tuple[str, ...]
    means: dict[str, str | None]
    vectors: np.ndarray | None = None

    def labels(self, classes: tuple[str, ...]) -> tuple[str, ...]:
        """Labels of the sequences of some classes."""
        return tuple(label for label, name in self.means.items() if name in classes)


def _named(config: FinetuneConfig, poses: PoseSet, root: Root) -> _Named:
    """The labels; for splits that are drawn the classes of the set, whose spelling and vectors `fit` draws by too."""
    found = None if config.protocol == NO_PROTOCOL else protocol(config.protocol)
    if found is None or found.draw is None:
        return _Named(poses.classes, {label: label for label in poses.classes})
    texts = config.set or config.dataset
    classes = tuple(Classes(root).read(texts)["name"].to_pylist())
    vectors = name_vectors(found, texts, config.encoder, root)
    return _Named(classes, link(texts, config.dataset, root), vectors)


def run_name(config: FinetuneConfig, poses: PoseSet, named: _Named) -> str:
    """Model, data set, protocol, and a hash of all that the weights depend on."""
    fields = {k: v for k, v in dataclasses.asdict(config).items() if k not in _NOT_IDENTITY}
    parts = [fields, poses.layout.name, poses.digest()]
    if sorted(named.classes) != list(
        poses.classes
    ):  # what is drawn follows from the spelling of a set, which may change
        parts.append(sorted(named.classes))
    if named.vectors is not None:
        parts += [named.classes, rows_digest(named.vectors.tobytes()).hex()]
    digest = hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=5).hexdigest()
    called = Path(config.protocol).stem if config.protocol.endswith(".json") else config.protocol.replace("/", "-")
    return checked_name(f"{config.model}-{config.dataset}-{called}-{digest}")


def training(config: FinetuneConfig, samples: int) -> Training:
    """The engine's settings: Nesterov's SGD, a warm-up of a twentieth, then a cosine to nought."""
    steps = config.epochs * -(-samples // config.batch)
    return Training(
        optimiser="nesterov",
        lr=config.lr,
        weight_decay=config.weight_decay,
        momentum=0.9,
        batch=config.batch,
        epochs=config.epochs,
        schedule="cosine",
        warmup_steps=round(_WARMUP * steps),
        precision=config.precision,
        seed=config.seed,
    )


def _train(config: FinetuneConfig, poses: PoseSet, part: _Part, folder: Path, told: Callable[..., None]) -> None:
    started, whole = time.monotonic(), not folder.exists()
    device = device_of(config.device)
    before = torch.get_num_threads()
    cores = cores_here()
    torch.set_num_threads(config.threads or cores)
    try:
        architecture = stgcn_network.ARCHITECTURES[config.model]
        task = PoseTask(
            architecture, poses, part.train, part.classes, config.dropout, config.smoothing, device, config.seed
        )
        if config.weights:
            _begin_with(task, config, poses, part)
        history = train(task, training(config, task.samples), folder, device, told)
        seen = About(poses.layout.name, poses.form, config.dataset, part.classes, config.gzsl)
        save(task.model, folder, seen.metadata())
        tested = top1(task.network, poses, part.test, part.classes, device) if len(part.test) else None
    finally:
        torch.set_num_threads(before)
    told_of = {
        "number": part.number,
        "classes": part.classes,
        "unseen": part.unseen,
        "trained_on": len(part.train),
        "tested_on": len(part.test),
        "twins": part.twins,
        "epochs": len(history.epochs),
        "top1": tested,
        "seconds": round(time.monotonic() - started, 1) if whole else None,  # of one that was killed it is not known
    }
    beside = folder / f"{_ABOUT}.{os.getpid()}.part"
    beside.write_text(json.dumps(told_of, indent=1))
    os.replace(beside, folder / _ABOUT)  # a split is trained where this file is, so it is there whole or not at all


def _begin_with(task: PoseTask, config: FinetuneConfig, poses: PoseSet, part: _Part) -> None:
    """Load weights but for the classifier; refuse those that have seen an unseen class."""
    path = at_path(config.weights)
    architecture = task.network.architecture
    said, arrays = about(path, architecture), stgcn_network.read(path, architecture)
    if said.layout != poses.layout.name:
        raise ExtractorError(
            f"{path} takes joints of {said.layout}, and the network is made for {poses.layout.name}. "
            f"Give --layout {said.layout}, or other weights."
        )
    if part.unseen:
        stgcn_network.refuse_seen(arrays, path, _published_name(config.dataset))
        if met := sorted(set(part.unseen) & set(said.classes)):
            raise ExtractorError(
                f"Zero-shot classes must not have been trained on; {path} was trained on {', '.join(met)} of "
                f"{said.dataset}. Begin with other weights, or with none."
            )
    kept = {name: torch.from_numpy(values) for name, values in arrays.items() if not name.startswith("fcn.")}
    task.network.load_state_dict(kept, strict=False)


def _published_name(dataset: str) -> str:
    """The data set of published weights that a data set of this name is, or its own name."""
    for start, name in (("ntu", "ntu60"), ("kinetics", "kinetics400")):
        if re.match(start, dataset, re.IGNORECASE):
            return name
    return dataset


# -- what is trained and tested on ------------------------------------------------------------------------------------


def _parts(config: FinetuneConfig, poses: PoseSet, named: _Named) -> Iterator[_Part]:
    """What each split asked for trains and tests on; what is wrong with any is said before the first is trained."""
    chosen_for_training = poses.matching(config.train)
    if config.gzsl:
        chosen_for_training &= fifths(poses.ids, poses.keys) != 0
    chosen_for_test = poses.matching(config.test) if config.test else np.zeros(len(poses.ids), bool)
    if (both := np.flatnonzero(chosen_for_training & chosen_for_test)).size:
        raise UsageError(
            f"{len(both)} sequences are both trained and tested on, {poses.ids[both[0]]} for one. "
            "Give --train and --test that exclude each other."
        )
    labels = np.array(poses.labels, object)
    for number, seen, unseen in _splits(config, poses, named):
        of_seen = np.isin(labels, seen)
        train_rows = np.flatnonzero(chosen_for_training & of_seen)
        classes = tuple(sorted(set(labels[train_rows])))
        if len(classes) < 2:
            raise UsageError(
                f"Split {number} of {config.protocol!r} trains on {len(train_rows)} sequences of {len(classes)} "
                "classes; 2 classes are needed. Take another protocol, or another --train."
            )
        trained = {poses.keys[row] for row in train_rows}
        test_rows = np.flatnonzero(chosen_for_test & np.isin(labels, classes))
        apart = np.array([poses.keys[row] not in trained for row in test_rows], bool)
        if config.test and not apart.any():
            raise UsageError(f"No sequence is left to test on with {' '.join(config.test)}.")
        yield _Part(number, classes, unseen, train_rows, test_rows[apart], int((~apart).sum()))


def _splits(
    config: FinetuneConfig, poses: PoseSet, named: _Named
) -> Iterator[tuple[int, tuple[str, ...], tuple[str, ...]]]:
    """Number, seen and unseen classes of each split; without a protocol all are seen."""
    if config.protocol == NO_PROTOCOL:
        yield 0, poses.classes, ()
        return
    found: Protocol = protocol(config.protocol)
    for number in chosen(config.splits, found.count):
        split: Split = found.split(number, named.classes, named.vectors)
        yield number, named.labels(split.seen), named.labels(split.validation + split.unseen)


def _note(poses: PoseSet, config: FinetuneConfig, root: Root) -> None:
    """Put sequences that cannot be used into the failures."""
    stage, model = "finetune", config.model
    Failures(root).append(
        [
            Failure(key, uri, config.dataset, f"finetune {model}", "", stage, type(fault).__name__, str(fault))
            for key, uri, fault in poses.faults
        ]
    )


def _folder(runs: Runs, run: str, number: int) -> Path:
    return runs.folder(run, f"split-{number:03d}")


def _told(progress: Progress | None, before: int, splits: int) -> Callable[[int, int, dict[str, float]], None]:
    def told(done: int, total: int, entry: dict[str, float]) -> None:
        if progress:
            progress(before * total + done, splits * total)

    return told
