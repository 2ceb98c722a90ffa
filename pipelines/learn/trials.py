"""Trials: which seen classes a head is trained on, which are held out to look at, and the task that makes of it.

What keeps the science honest lives here: a trial names the classes it trains on and those it looks at to choose; both
are seen ones, and videos of any other class are refused to training.
"""

import dataclasses
from typing import Any

import numpy as np
import torch

from extractors.weights import at_path, safetensors
from heads.base import Head
from heads.towered import Towered
from pipelines.errors import UsageError
from pipelines.learn.samples.samples import Features, Unread
from pipelines.learn.study import Study
from pipelines.learn.tasks import Task
from stores.keys import stream_key

_HEAD = "head."  # what names of a head's arrays begin with, in the weights of a network


@dataclasses.dataclass(frozen=True)
class Trial:
    """Which seen classes are trained on, and which are held out to look at.

    Attributes
    ----------
    train, validation : numbers of classes; nothing is held out where `validation` is empty
    unseen : classes whose TEXTS a head may read, if it says that it does; where none are named, those held out pose
        as unseen
    """

    train: np.ndarray
    validation: np.ndarray
    unseen: np.ndarray


def trained_in(study: Study, trial: Trial) -> np.ndarray:
    """Rows of the videos a trial trains on: under GZSL without those it is looked at by."""
    rows = study.trained_on(trial.train)
    is_choice = study.config.gzsl and len(trial.validation)
    return rows[~study.looked_at[rows]] if is_choice else rows


def task_of(study: Study, trial: Trial, options: Any, device: str) -> Task:
    """A trial as a task of the training engine; it holds videos of its seen classes and of no other.

    Raises
    ------
    UsageError
        A class that would both train and test; videos or texts that the head cannot learn from.
    """
    both = np.concatenate([trial.train, trial.validation])
    if np.intersect1d(trial.train, trial.validation).size or np.intersect1d(both, trial.unseen).size:
        raise UsageError("A class would both train and test. Seen, validation and unseen classes must not meet.")
    head = study.model(options).to(device)
    samples = _samples(study, trained_in(study, trial), trial.train, device)
    seen, unseen, held = study.told(trial.train).to(device), None, None
    others = trial.unseen if len(trial.unseen) else trial.validation
    if head.uses_unseen_texts and len(others):
        unseen = study.told(others).to(device)
    if len(trial.validation):
        looked_at = _samples(study, study.trained_on(trial.validation), trial.validation, device)
        held = looked_at, study.told(trial.validation).to(device)
    try:
        if isinstance(samples, Features):
            head.begin(samples.videos, seen, unseen)
        else:
            assert isinstance(head, Towered)
            head.begin_on(samples.batches(torch.split(torch.arange(len(samples)), samples.at_once), None), seen, unseen)
    except ValueError as error:
        raise UsageError(f"{study.config.head} on {study.videos.feature}: {error}.") from error
    if study.config.weights:
        begin_with(head, study.config.weights, study.videos.weights)
    return Task(samples, head, seen, unseen, held=held)


def _samples(study: Study, rows: np.ndarray, classes: np.ndarray, device: str) -> Features | Unread:
    """Some videos, read now, or maps of them when their batch comes."""
    if not study.trains_visual:
        return Features(study.batch(rows, classes), device)
    labels = torch.from_numpy(np.searchsorted(classes, study.videos.labels[rows]))
    return Unread(lambda some: study.batch(rows[some.numpy()], classes), labels, device, study.videos.at_once)


def begin_with(head: Head, given: str, of_features: str) -> None:
    """Give a head the weights that it was trained with, together with a network.

    Parameters
    ----------
    head : Head
    given : path of the network's weights
    of_features : digest of the weights that the features were made with

    Raises
    ------
    UsageError
        No head is in the file, or another one; features of other weights.
    """
    path = at_path(given)
    with path.open("rb") as file:
        if stream_key(file).hex() != of_features:
            raise UsageError(f"The features were not made with the weights of {path}, which its head was trained on.")
    arrays = safetensors(path)
    own = {n.removeprefix(_HEAD): torch.from_numpy(each) for n, each in arrays.items() if n.startswith(_HEAD)}
    if isinstance(head, Towered):  # its visual layers have their weights: they are of this file
        own |= {name: each for name, each in head.state_dict().items() if name.startswith("visual.")}
    try:
        head.load_state_dict(own)
    except RuntimeError as error:
        what = "no head" if not own else "another head, or one of other options"
        raise UsageError(f"{path} holds {what} than is asked for: {str(error).splitlines()[1].strip()}") from error


def spread(scores: np.ndarray) -> np.ndarray:
    """(K,) deviation of each class's scores (N, K); 1 where they are all the same."""
    found = scores.std(0)
    return np.where(found > 0, found, 1).astype(scores.dtype)
