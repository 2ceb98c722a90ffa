"""Which video files lie below some paths: local folders or fsspec URLs, each directory listed once, no file stat'ed.

    paths ──look──▶ Files: (base, relative path) a video, what could not be listed, sizes where a listing has them

650,000 files are a few hundred MB here at most. Names beginning with a dot are left out (they are the litter of file
systems and archivers). Links are followed, and a link that leads back up is not. Anything that carries a video's
extension is taken, in capitals or not: whether it is one is for the extraction to find out. What is not taken is
counted by its extension.
"""

import dataclasses
import datetime
import errno
import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import fsspec

from pipelines.errors import LayoutError
from untrusted.places import refuse_strange

# of the containers that are opened; not those that may as well be sound alone (.ogg) or have no clock (.m2v)
_FILMS = (
    *(".3g2", ".3gp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gif", ".ivf", ".m2t", ".m2ts", ".m4v", ".mkv"),
    *(".mov", ".mp4", ".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".ts"),
    *(".vob", ".webm", ".wmv", ".wtv"),
)
EXTENSIONS = frozenset(_FILMS)
NO_EXTENSION = "without"  #: under which files without any are counted

Stat = tuple[int, int]  # size in bytes, mtime in ns


class File(NamedTuple):
    """A video file: `rel` is its path below `base`, with slashes."""

    base: str
    rel: str

    @property
    def uri(self) -> str:
        """Absolute path or URL."""
        return f"{self.base.rstrip('/')}/{self.rel}"

    @property
    def stem(self) -> str:
        """File name without extension."""
        return os.path.splitext(self.name)[0]

    @property
    def name(self) -> str:
        """File name."""
        return self.rel.rpartition("/")[2]

    @property
    def folders(self) -> list[str]:
        """Names of the folders between base and file, outermost first."""
        return self.rel.split("/")[:-1]


class Fault(NamedTuple):
    """Something that could not be indexed, and why; `error` is the class of the fault."""

    uri: str
    error: str
    message: str


@dataclasses.dataclass(frozen=True)
class Files:
    """What lies below some paths.

    Attributes
    ----------
    files : videos, sorted by relative path within each path
    scopes : the paths themselves, absolute; a folder ends in a slash
    stats : (size, mtime_ns) by URI, where listing gave them for nothing (object stores)
    faults : folders and names that could not be listed
    not_taken : how many other files there are, by extension in small letters, the most first; hidden ones left out
    endings : those that were looked for
    """

    files: tuple[File, ...]
    scopes: tuple[str, ...]
    stats: dict[str, Stat]
    faults: tuple[Fault, ...]
    not_taken: Mapping[str, int] = dataclasses.field(default_factory=dict)
    endings: frozenset[str] = EXTENSIONS


def is_local(path: str) -> bool:
    """True for a path on a disk, `file://` included."""
    return "://" not in path or path.startswith("file://")


def local_path(path: str) -> str:
    """The absolute path of a local path."""
    return os.path.abspath(os.path.expanduser(path.removeprefix("file://")))


def look(path: str, endings: frozenset[str] = EXTENSIONS) -> Files:
    """List the files of some endings below one path, videos if nothing else is said; a single file is taken as it is.

    Raises
    ------
    LayoutError
        The path does not exist, may not be listed, or is a single file of another ending.
    """
    if not path:
        raise LayoutError("A path is empty. Give a folder of videos: `zsar index PATH --dataset NAME`.")
    return _look_local(path, endings) if is_local(path) else _look_remote(path, endings)


def joined(parts: list[Files]) -> Files:
    """Several listings as one; a file that lies below two of the paths counts once."""
    seen: set[str] = set()
    files = []
    for part in parts:
        fresh = [f for f in part.files if f.uri not in seen] if seen else list(part.files)
        files += fresh
        if len(parts) > 1:
            seen.update(f.uri for f in fresh)
    return Files(
        tuple(files),
        tuple(scope for part in parts for scope in part.scopes),
        {uri: s for part in parts for uri, s in part.stats.items()},
        tuple(fault for part in parts for fault in part.faults),
        by_count(sum((Counter(part.not_taken) for part in parts), Counter())),
        parts[0].endings,
    )


def by_count(counts: Mapping[str, int]) -> dict[str, int]:
    """The same counts, the largest first."""
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def extension_of(name: str) -> str:
    """The extension of a file in small letters, with its dot."""
    return os.path.splitext(name)[1].lower()


def exists(uri: str) -> bool:
    """True if there is a file (False also where it may not be asked)."""
    if is_local(uri):
        return os.path.exists(uri)
    fs, path = fsspec.core.url_to_fs(uri)
    return bool(fs.exists(path))


def stat_of(uri: str) -> Stat:
    """Size and time of one file now.

    Raises
    ------
    OSError
        It cannot be reached, or it is no file (a pipe would be waited for without end).
    """
    if not is_local(uri):
        fs, path = fsspec.core.url_to_fs(uri)
        fs.invalidate_cache(path)
        return _stat_of(fs.info(path))
    found = os.stat(local_path(uri))
    refuse_strange(local_path(uri))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", uri)
    return found.st_size, found.st_mtime_ns


def _look_local(path: str, endings: frozenset[str]) -> Files:
    base = local_path(path)
    if not _is_text(base):
        raise LayoutError(f"The path {printable(base)!r} is not UTF-8, so no table can hold it. Rename its folder.")
    try:
        mode = os.stat(base).st_mode
    except FileNotFoundError:
        where = "" if base == path else f" (looked for {base})"
        raise LayoutError(
            f"Nothing to index at {path!r}: there is no such file or folder{where}. "
            "Check the spelling, or mount its disk."
        ) from None
    except OSError as error:
        raise LayoutError(f"Cannot look at {path!r}: {error.strerror}. Check its permissions.") from error
    if not stat.S_ISDIR(mode):
        _check_extension(base, endings)
        folder, _, name = base.rpartition("/")
        return Files((File(folder or "/", name),), (base,), {}, (), endings=endings)
    collected = _Collected(endings)
    try:
        collected.walk(base)
    except OSError as error:
        raise LayoutError(f"Cannot list the folder {path!r}: {error.strerror}. Check its permissions.") from error
    files = tuple(File(base, rel) for rel in sorted(collected.rels))
    return Files(files, (base.rstrip("/") + "/",), {}, tuple(collected.faults), by_count(collected.not_taken), endings)


class _Collected:
    """The walk of one local folder."""

    def __init__(self, endings: frozenset[str]) -> None:
        self._endings = endings
        self.rels: list[str] = []
        self.faults: list[Fault] = []
        self.not_taken: Counter[str] = Counter()

    def walk(self, base: str) -> None:
        """Visit every folder below; only `base` itself may raise."""
        open_: list[tuple[str, tuple[tuple[int, int], ...]]] = [("", ())]
        while open_:
            prefix, above = open_.pop()
            folder = f"{base}/{prefix}".rstrip("/") if prefix else base
            try:
                own = os.stat(folder)
                identity = (own.st_dev, own.st_ino)
                if identity in above:
                    continue  # a link that leads back up
                for name, is_folder in _entries(folder):
                    if is_folder:
                        open_.append((f"{prefix}{name}/", (*above, identity)))
                    else:
                        self._file(base, prefix + name)
            except OSError as error:
                if not prefix:
                    raise
                self.faults.append(
                    Fault(printable(folder), "Unreachable", f"The folder cannot be listed: {error.strerror}.")
                )

    def _file(self, base: str, rel: str) -> None:
        extension = extension_of(rel)
        if extension not in self._endings:
            self.not_taken[printable(extension) or NO_EXTENSION] += 1
        elif _is_text(rel):
            self.rels.append(rel)
        else:
            message = "Its name is not UTF-8, so no table can hold it. Rename the file."
            self.faults.append(Fault(printable(f"{base}/{rel}"), "BadName", message))


def _entries(folder: str) -> Iterator[tuple[str, bool]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith("."):
                try:
                    yield entry.name, entry.is_dir()
                except OSError:  # a link that cannot be followed: reading it will say why
                    yield entry.name, False


def _look_remote(url: str, endings: frozenset[str]) -> Files:
    try:
        fs, path = fsspec.core.url_to_fs(url)
        fs.invalidate_cache()
        info = fs.info(path)
    except FileNotFoundError:
        raise LayoutError(
            f"Nothing to index at {url!r}: there is no such object or prefix. Check the spelling and the bucket."
        ) from None
    except (ImportError, ValueError) as error:
        raise LayoutError(f"Cannot open {url!r}: {error}. Install the package for this kind of URL.") from error
    except OSError as error:
        raise LayoutError(f"Cannot open {url!r}: {error}. Check credentials and network.") from error
    if info["type"] != "directory":
        _check_extension(url, endings)
        base, _, name = url.rpartition("/")
        return Files((File(base, name),), (url,), {url: _stat_of(info)}, (), endings=endings)
    return _walk_remote(fs, path, url.rstrip("/"), endings)


def _walk_remote(fs: Any, path: str, url: str, endings: frozenset[str]) -> Files:
    rels, stats = [], {}
    not_taken: Counter[str] = Counter()
    for folder, folders, files in fs.walk(path, detail=True):
        for name in [n for n in folders if n.startswith(".")]:
            del folders[name]
        prefix = folder.rstrip("/")[len(path.rstrip("/")) :].strip("/")
        for name, info in files.items():
            if name.startswith("."):
                continue
            if (extension := extension_of(name)) not in endings:
                not_taken[extension or NO_EXTENSION] += 1
                continue
            rel = f"{prefix}/{name}".lstrip("/")
            rels.append(rel)
            stats[f"{url}/{rel}"] = _stat_of(info)
    found = tuple(File(url, rel) for rel in sorted(rels))
    return Files(found, (url + "/",), stats, (), by_count(not_taken), endings)


def _stat_of(info: dict[str, Any]) -> Stat:
    return int(info.get("size") or 0), _mtime_ns(info)


def _mtime_ns(info: dict[str, Any]) -> int:
    """Time of the last change in ns, whatever the file system calls it; -1 where it does not say."""
    for name in ("mtime", "LastModified", "last_modified", "updated", "modified", "created"):
        value = info.get(name)
        if isinstance(value, str):
            value = datetime.datetime.fromisoformat(value)
        if isinstance(value, datetime.datetime):
            return int(value.timestamp() * 1e6) * 1000
        if isinstance(value, int | float):
            return int(value * 1e9)
    return -1


def _check_extension(path: str, endings: frozenset[str]) -> None:
    if extension_of(path) not in endings:
        if endings != EXTENSIONS:
            raise LayoutError(f"{path!r} ends in none of {' '.join(sorted(endings))}. Give the folder that holds them.")
        raise LayoutError(
            f"{path!r} does not end like a video ({' '.join(sorted(EXTENSIONS))}) or like features "
            "(.h5 .hdf5 .npy .npz .parquet). Rename it, or give the folder that holds the videos."
        )


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(name: str) -> str:
    """A file name with the bytes that are not UTF-8 written as escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
