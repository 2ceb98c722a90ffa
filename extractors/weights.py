"""Where weights come from, and reading the files without running anything that is in them.

In order: a path the user gives, the local cache, the offline pack, the hub. A published name such as
`r2plus1d_18-91a641e6.pth` carries the first digits of the file's SHA-256; what is downloaded is held against them.

    Published, weights= ─locate─▶ Path ─state_dict | safetensors | pickled_arrays─▶ {name: array} ─checked─▶ a network

`random:SEED` is no file: `random_seed` recognises it and `random_arrays` draws the arrays. Nothing here imports torch
until a torch file is read, so that planning stays light.
"""

import dataclasses
import hashlib
import http.client
import importlib.util
import os
import re
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from extractors import array_pickles
from extractors.array_pickles import DAMAGE
from extractors.errors import BadWeights, ExtractorError, WeightsMissing
from untrusted.names import few
from untrusted.places import refuse_strange

OFFLINE_PACK = "pip install --no-deps --require-hashes -r offline-pack.txt"
_TIMEOUT_S = 30
_BLOCK_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class Published:
    """Where the weights of one extractor can be had.

    Parameters
    ----------
    file : str
        Its name in the local caches.
    url : str or None
        Where the hub serves it; None where no hub has this file.
    package, inside : str or None
        The package of the offline pack that holds it, and the file's path in that package.
    sha256 : str or None
        First digits of the file's SHA-256, where its url does not carry them.
    """

    file: str
    url: str | None = None
    package: str | None = None
    inside: str | None = None
    sha256: str | None = None


def cache_dir() -> Path:
    """The local cache: `$ZSAR_WEIGHTS`, or `~/.cache/zsar/weights`."""
    return Path(os.environ.get("ZSAR_WEIGHTS") or Path.home() / ".cache/zsar/weights").expanduser()


def random_seed(weights: str | None) -> int | None:
    """The seed where `weights` asks for random weights by name (`random:SEED`), None where it does not.

    Raises
    ------
    ExtractorError
        `random:` without a whole number >= 0 after it.
    """
    if weights is None or not weights.startswith("random:"):
        return None
    seed = weights.removeprefix("random:")
    if not (seed.isascii() and seed.isdecimal()):
        raise ExtractorError(f"Random weights are asked for as random:SEED with a whole number, got {weights!r}.")
    return int(seed)


def locate(published: Published, given: str | None = None) -> Path:
    """The weights file, downloaded if need be.

    Parameters
    ----------
    published : Published
    given : str or None
        A path the user gives; then nothing else is looked at.

    Returns
    -------
    Path of a file that exists

    Raises
    ------
    WeightsMissing
        The given path is no file; or nothing is in the cache and the pack, and the hub does not serve it.
    BadWeights
        The hub served other bytes than the published ones.
    """
    if given is not None:
        return at_path(given)
    places = [cache_dir() / published.file]
    if published.url:
        places.append(_torch_hub_dir() / published.file)
    packed = _in_package(published)
    for path in [*places, *([packed] if packed else [])]:
        if path.is_file():
            return path
    if published.url is None:
        reason = "no hub serves this file"
    else:
        try:
            return download(published.url, places[0], sha256=published.sha256)
        except (OSError, http.client.HTTPException) as error:
            reason = f"{published.url}: {_why(error)}"
    pack = f", which holds {published.package}" if published.package else ", which does not hold these but other models"
    raise WeightsMissing(
        f"No weights {published.file}. Looked for (1) a path given with --weights NAME=PATH: none; (2) the local "
        f"cache: nothing at {' or '.join(map(str, places))}; (3) the hub: {reason}. Put the file into the local cache, "
        f"or install the offline pack ({OFFLINE_PACK}){pack}, or ask for random weights by name "
        "(--weights NAME=random:SEED)."
    )


def at_path(given: str) -> Path:
    """The weights file at a path the user gives; WeightsMissing where there is none."""
    path = Path(given).expanduser()
    try:
        if os.path.exists(path):
            refuse_strange(path)
    except OSError as error:
        raise WeightsMissing(f"{path} cannot be read: {error.strerror}. Give a file of weights.") from error
    if not path.is_file():
        raise WeightsMissing(
            f"No weights file at {path}. Give another path, drop the option to use the local cache, "
            "the offline pack or the hub, or ask for random weights by name "
            "(--weights NAME=random:SEED)."
        )
    return path


def download(url: str, target: Path, console: Console | None = None, sha256: str | None = None) -> Path:
    """Fetch a file with a progress bar; `target` appears complete and checked, or not at all.

    Parameters
    ----------
    url : str
        If its last part ends in `-HEX.suffix` with 8 to 64 hexadecimal digits, these must begin the SHA-256.
    target : Path
        Its folder is made.
    console : rich Console, optional
        Where the bar is drawn; standard error by default.
    sha256 : str, optional
        First digits the SHA-256 must have, in place of those in `url`.

    Returns
    -------
    Path, the target

    Raises
    ------
    BadWeights
        Another digest than the published one; nothing is kept.
    OSError, http.client.HTTPException
        The network, the server or the disk fails, or the connection ends early; nothing is kept.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    handle, name = tempfile.mkstemp(prefix=f"{target.name}.", suffix=".partial", dir=target.parent)
    partial, digest = Path(name), hashlib.sha256()
    try:
        with (
            open(handle, "wb") as file,
            urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response,
            Progress(*columns, console=console or Console(stderr=True)) as progress,
        ):
            total = int(response.headers.get("Content-Length") or 0) or None
            bar = progress.add_task(target.name, total=total)
            while block := response.read(_BLOCK_BYTES):
                file.write(block)
                digest.update(block)
                progress.advance(bar, len(block))
            if total is not None and file.tell() != total:
                raise ConnectionError(f"the connection ended after {file.tell():,} of {total:,} bytes")
        named = re.search(r"-([0-9a-f]{8,64})\.\w+$", url)
        wanted = sha256 or (named[1] if named else "")
        if not digest.hexdigest().startswith(wanted):
            raise BadWeights(
                f"{url} should have a SHA-256 that begins with {wanted}; what came has {digest.hexdigest()}. "
                "Nothing was kept. Try again, or give the path of a file you trust."
            )
        partial.chmod(0o644)  # mkstemp's files are private; a cache may be shared
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def state_dict(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a torch file of tensors, read with torch's own restricted reader; batch counters are left out.

    A checkpoint, whose tensors lie under `state_dict` beside counters and settings, gives those tensors alone. Names
    that all begin with `module.`, as torch's DataParallel writes them, lose it. Files of torch before 1.6, which are
    no zip archives, are read too.

    Returns
    -------
    dict of name to float32 array

    Raises
    ------
    BadWeights
        Not a torch file, cut short, or holding anything but tensors by name.
    """
    import torch

    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (*DAMAGE, zipfile.BadZipFile) as error:
        raise BadWeights(
            f"{path} is not a torch file that holds tensors and nothing else ({type(error).__name__}), "
            "so it is not loaded. Give the file as it was published."
        ) from error
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in loaded.items()
    ):
        raise BadWeights(f"{path} should hold tensors by name, got {type(loaded).__name__} of other things.")
    kept = {name: value for name, value in loaded.items() if not name.endswith("num_batches_tracked")}
    prefix = "module." if all(name.startswith("module.") for name in kept) else ""
    return {name.removeprefix(prefix): value.detach().float().numpy() for name, value in kept.items()}


def safetensors(path: Path) -> dict[str, np.ndarray]:
    """The float32 arrays of a safetensors file, by name; batch counters are left out.

    Raises
    ------
    BadWeights
        Not a safetensors file, or cut short.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file  # NumPy has no bfloat16

    try:
        loaded = load_file(path)
    except (*DAMAGE, SafetensorError) as error:
        raise BadWeights(
            f"{path} cannot be read as a safetensors file: {_first_line(error)}. Give the file as it was published."
        ) from error
    kept = {name: value for name, value in loaded.items() if not name.endswith("num_batches_tracked")}
    return {name: value.float().numpy() for name, value in kept.items()}


def pickled_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a pickle of nested dicts, by their keys joined with `|`; see `array_pickles`.

    Raises
    ------
    BadWeights
        Not a pickle, cut short, naming any global but those that rebuild a numpy array, or holding anything else.
    """
    try:
        return dict(array_pickles.loaded(path.read_bytes()))
    except BadWeights as error:
        raise BadWeights(f"{path} {error}") from None
    except DAMAGE as error:
        raise BadWeights(
            f"{path} cannot be read as a pickle of numpy arrays: {_first_line(error)}. "
            "Give the file as it was published."
        ) from error


def checked(
    arrays: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]], path: Path
) -> dict[str, np.ndarray]:
    """`arrays` as float32 of exactly the published names and shapes.

    Raises
    ------
    BadWeights
        Names lacking, unknown or of another shape; the message lists all three, the first few of each.
    """
    lacking = sorted(set(shapes) - set(arrays))
    unknown = sorted(set(arrays) - set(shapes))
    other = sorted(n for n in shapes if n in arrays and arrays[n].shape != shapes[n])
    if lacking or unknown or other:
        raise BadWeights(
            f"{path} is not the published layout. Lacking: {_some(lacking)}. Unknown: {_some(unknown)}. "
            f"Of another shape: {_some([f'{n} {arrays[n].shape}, not {shapes[n]}' for n in other])}."
        )
    return {name: np.asarray(arrays[name], np.float32) for name in shapes}


def random_arrays(shapes: Mapping[str, tuple[int, ...]], seed: int, fan_in: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Seeded float32 arrays that keep a network's activations of order one.

    Parameters
    ----------
    shapes : mapping of name to shape
    seed : int
    fan_in : mapping of name to int
        Inputs a weight sums over; it is drawn from N(0, 2 / fan_in). What is not in it is a bias or a mean (near 0) or,
        if its name ends in `var` or `weight`, a variance or a scale (near 1).
    """
    draw = np.random.default_rng(seed)
    out = {}
    for name, shape in shapes.items():
        if name in fan_in:
            values = draw.standard_normal(shape) * np.sqrt(2 / fan_in[name])
        else:
            values = draw.uniform(-0.1, 0.1, shape) + name.endswith(("var", "weight"))
        out[name] = values.astype(np.float32)
    return out


def _torch_hub_dir() -> Path:
    """Where torch.hub keeps what it downloads, found as torch finds it, without torch."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("TORCH_HOME") or Path(cache) / "torch").expanduser() / "hub/checkpoints"


def _in_package(published: Published) -> Path | None:
    """The file inside the offline pack's package, which is found but never imported."""
    if published.package is None or published.inside is None:
        return None
    spec = importlib.util.find_spec(published.package)
    folders = (spec.submodule_search_locations if spec else None) or []
    return next((path for folder in folders if (path := Path(folder) / published.inside).is_file()), None)


def _why(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return f"no connection ({error.reason})"
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _some(names: list[str]) -> str:
    return few(names, 3) or "none"
