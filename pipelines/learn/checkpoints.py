"""The files of a training: its weights, its history, and while it is under way the state to go on from.

    weights.safetensors   history.json   checkpoint.pt   tensorboard/

Each is written beside its place and put there when it is whole: a full disk or a kill leaves what was there before. Of
several processes the first alone writes.
"""

import contextlib
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import masked_crc32c
from tensorboardX.summary import scalar
from torch import Tensor, nn

from pipelines.errors import UsageError
from pipelines.machine import processes
from stores.errors import Damaged, WriteFailed
from stores.root import whole
from stores.runs import WEIGHTS
from stores.sealed import sealed, unsealed

_CHECKPOINT, _HISTORY = "checkpoint.pt", "history.json"


def save(model: nn.Module, folder: Path, metadata: dict[str, str] | None = None) -> None:
    """Write the weights of a model, those of one that nothing was to be learned for too; `metadata` is their header.

    Raises
    ------
    WriteFailed
        The disk is full, not writable, or gone.
    """
    with _written(folder / WEIGHTS) as path:
        if path:
            save_file(plain(model), path, metadata)


def load(model: nn.Module, folder: Path) -> None:
    """Load the weights of a finished training.

    Raises
    ------
    Damaged
        They cannot be read, or are of another model.
    """
    try:
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (SafetensorError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise Damaged(
            f"{folder / WEIGHTS} is damaged: {reason}. Bring it back from a copy, or take {folder} away and run again "
            "the command that trained it."
        ) from error


def plain(model: nn.Module) -> dict[str, Tensor]:
    """The weights of a model by name, on the CPU."""
    return {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}


def history(folder: Path) -> dict[str, Any] | None:
    """The history of a finished training; None of one that is not."""
    path = folder / _HISTORY
    try:
        return unsealed(path.read_text()) if path.exists() else None
    except (ValueError, TypeError) as error:
        raise Damaged(f"{path} cannot be read; remove it to train again from the beginning.") from error


def finish(folder: Path, told: dict[str, Any]) -> None:
    """Write the history, which says that a training is finished, and let its state go.

    Raises
    ------
    WriteFailed
        As `save`.
    """
    with _written(folder / _HISTORY) as path:
        if path:
            path.write_text(sealed(told))
    if not processes().rank:
        (folder / _CHECKPOINT).unlink(missing_ok=True)


def begin(folder: Path) -> None:
    """Make the folder of a training, and remove what a process that was killed while it wrote has left there."""
    if processes().rank:
        return
    with _said(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob("*.partial"):
            left.unlink(missing_ok=True)


def keep(folder: Path, state: dict[str, Any]) -> None:
    """Write the state of a training that is under way.

    Raises
    ------
    WriteFailed
        As `save`; the state that was written before stays.
    """
    with _written(folder / _CHECKPOINT) as path:
        if path:
            with path.open("wb") as file:  # given a path, torch says of a full disk that a position is unexpected
                torch.save(state, file)


def kept(folder: Path, device: torch.device, shown: str = "") -> dict[str, Any] | None:
    """The state of a training that was killed; None where there is none. `shown` is what its folder is called.

    Raises
    ------
    UsageError
        It cannot be read.
    """
    path = folder / _CHECKPOINT
    if not path.exists():
        return None
    try:
        return dict(torch.load(path, map_location=device, weights_only=True))
    except Exception as error:  # what torch raises of bytes that are no checkpoint is of many kinds
        raise UsageError(
            f"{shown or folder}/{_CHECKPOINT} cannot be read to go on from; remove it to train from the beginning."
        ) from error


def generators() -> dict[str, Tensor]:
    """The state of torch's generators."""
    on_gpu = {"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else {}
    return {"cpu": torch.get_rng_state()} | on_gpu


def restore(drawn: dict[str, Tensor]) -> None:
    """Put torch's generators into a state."""
    torch.set_rng_state(drawn["cpu"].cpu())
    if "cuda" in drawn:
        torch.cuda.set_rng_state(drawn["cuda"].cpu())


def scalars(folder: Path) -> Callable[[dict[str, float], int], None]:
    """What writes an entry of the history for TensorBoard: a file a training, made with its first entry.

    An entry is there when it is written: a writer with a thread of its own ends with a full disk, and is waited for.
    """
    begun_s = time.time()
    path = folder / "tensorboard" / f"events.out.tfevents.{begun_s:.0f}.{socket.gethostname()}"

    def write(entry: dict[str, float], epoch: int) -> None:
        if processes().rank:
            return
        events = [] if path.exists() else [Event(wall_time=begun_s, file_version="brain.Event:2")]
        events += [Event(wall_time=time.time(), step=epoch, summary=scalar(*told)) for told in entry.items()]
        with _said(path):
            path.parent.mkdir(exist_ok=True)
            with path.open("ab") as file:
                file.write(b"".join(map(_record, events)))

    return write


def _record(event: Event) -> bytes:
    """As TFRecord has it: the length, its checksum, the event, its checksum."""
    data = event.SerializeToString()
    length = struct.pack("<Q", len(data))
    return b"".join((length, struct.pack("<I", masked_crc32c(length)), data, struct.pack("<I", masked_crc32c(data))))


@contextlib.contextmanager
def _written(target: Path) -> Iterator[Path | None]:
    """A path to write to, which takes the place of a file; None where another process writes it."""
    if processes().rank:
        yield None
        return
    with _said(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole(target) as path:
            yield path


@contextlib.contextmanager
def _said(target: Path) -> Iterator[None]:
    """Say in one line that something could not be written."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        raise WriteFailed(
            f"Writing {target} failed: {_reason(error)}. What was there before is untouched; free space or mend "
            "permissions and run the same command again: it goes on from there."
        ) from error


def _reason(error: BaseException) -> str:
    """What the disk says, below what torch makes of it."""
    below: BaseException | None = error
    while below is not None and not isinstance(below, OSError):
        below = below.__cause__ or below.__context__
    return (isinstance(below, OSError) and below.strerror) or str(error).partition("\n")[0]
