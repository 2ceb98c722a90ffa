"""Making films in several processes; a film lies in its place as a whole, whichever process made it.

takes ─made─▶ FOLDER/NAME.mp4 each

Who makes films for a process that is killed, ends with it: else it would wait for more for ever.
"""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path

import cv2

from pipelines.errors import Stopped
from pipelines.machine import cores_here
from pipelines.practice import films
from pipelines.practice.takes import Take

_AT_ONCE = 8  # films a process is handed


def made(todo: Sequence[Take], folder: Path, size: int, fps: int, workers: int) -> Iterator[int]:
    """Make films; says again and again how many are done.

    Parameters
    ----------
    todo : Takes
    folder : Path
        Where they go.
    size, fps : int
        Of the pictures in pixels, and pictures a second.
    workers : int
        Processes; 0: one a core.
    """
    workers = min(workers or cores_here(), -(-len(todo) // _AT_ONCE))
    if workers <= 1:
        for done, take in enumerate(todo, start=1):
            _make([take], folder, size, fps)
            yield done
        return
    handfuls = [todo[at : at + _AT_ONCE] for at in range(0, len(todo), _AT_ONCE)]
    done = 0
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin) as pool:
        waiting = [pool.submit(_make, handful, folder, size, fps) for handful in handfuls]
        try:
            for future in as_completed(waiting):
                done += future.result()
                yield done
        except BrokenProcessPool as error:
            raise Stopped(
                f"A process that films was killed; was memory short? {workers} ran at once. Run the same command "
                f"again, with fewer (`--workers {max(workers // 2, 1)}`): it goes on where it was."
            ) from error
        except BaseException:
            for child in active_children():  # a film that is cut short is made again
                child.terminate()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that waits for this one
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(1)  # a film that is cut short is made again


def _make(takes: Sequence[Take], folder: Path, size: int, fps: int) -> int:
    for take in takes:
        films.write(folder / f"{take.name}.mp4", take.pictures(size, fps), size, fps)
    return len(takes)
