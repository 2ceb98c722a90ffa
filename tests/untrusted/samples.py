"""A small file of each kind that comes from elsewhere, and who reads it."""

import csv
import gzip
import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.numpy
import torch
from PIL import Image

from extractors import clips, images, pose_files, weights, word_files
from extractors.joints import NTU_25
from extractors.sampling import Geometry, Sampling, View
from pipelines.index import caption_files
from pipelines.index.layouts import label_files
from pipelines.learn.protocols.own import own_splits
from pipelines.texts import files as text_files
from stores.foreign import Foreign, read_foreign, write_foreign
from tests.conftest import make_video

DRAW = np.random.default_rng(0)
TEXTS = {"archery": ["an arrow is shot", "a bow, drawn"], "café": ["coffee — drunk"], "push ups": ["up", "down"]}


# -- features -------------------------------------------------------------------------------------------------------


def features(path: Path, form: str, layout: str) -> None:
    """Two videos of six rows, with keys and times."""
    values = DRAW.random((6, 4), np.float32)
    keys = np.arange(64, dtype=np.uint8).reshape(2, 32)
    times = np.arange(12, dtype=np.float32).reshape(6, 2)
    write_foreign(path, Foreign(["a/b", "c"], keys, values, np.array([0, 2, 6]), times, {"x": "y"}), form, layout)


def chunked(path: Path) -> None:
    """As others write HDF5: in chunks, packed, names of any length."""
    with h5py.File(path, "w") as file:
        file.create_dataset("features", data=DRAW.random((6, 40), np.float32), chunks=(2, 7), compression="gzip")
        file.create_dataset("ids", data=[f"video {n}" for n in range(6)])


def read_features(path: Path) -> None:
    """All rows of all videos."""
    found = read_foreign(path)
    for item in range(len(found.video_id)):
        found.rows(item).sum()


# -- poses ----------------------------------------------------------------------------------------------------------


def skeleton(path: Path) -> None:
    """NTU RGB+D's text: two frames of a body."""
    joint = "0.1 0.2 3.0 2.8 2.1 1007.2 547.9 -0.2 0.04 0.99 0.06 2"
    body = ["1", "72057594037944340 0 1 1 1 1 0 -0.4 0.03 2", "25", *[joint] * 25]
    path.write_text("\n".join(["2", *body, *body]) + "\n")


def kinetics_json(path: Path) -> None:
    """Kinetics-skeleton's JSON."""
    person = {"pose": DRAW.random(36).round(3).tolist(), "score": [0.5] * 18}
    data = [{"frame_index": number, "skeleton": [person, person]} for number in range(3)]
    path.write_text(json.dumps({"data": data, "label": "archery", "label_index": 5}))


def many(path: Path) -> None:
    """Two sequences, one behind the other."""
    told = {"data": DRAW.random((5, 25, 3), np.float32), "length": np.array([2, 3]), "label": np.array([0, 1])}
    told |= {"class_names": np.array(["walk", "run"]), "confidence": np.ones((5, 25), np.float32)}
    if path.suffix == ".npz":
        np.savez_compressed(path, **told)
        return
    with h5py.File(path, "w") as file:
        file.attrs["layout"] = "ntu-25"
        for name, values in told.items():
            values = values.astype(object) if values.dtype.kind == "U" else values
            file.create_dataset(name, data=values, compression="gzip" if values.ndim > 1 else None)


def read_poses(path: Path) -> None:
    """As the index reads them."""
    content = path.read_bytes()
    arrays = path.suffix in (".npy", ".npz", ".h5")
    layout = NTU_25 if arrays else None
    if arrays and path.suffix != ".npy" and pose_files.holds_many(content, path.name):
        found = pose_files.read_many(content, path.name, layout)
        for item in range(len(found)):
            found.poses(item)
    else:
        pose_files.read(content, path.name, layout)


# -- texts, labels, splits -------------------------------------------------------------------------------------------


def packed(path: Path, text: str) -> None:
    """Text, in gzip where the name says so."""
    content = text.encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def json_lines(path: Path, fields: tuple[str, str, str]) -> None:
    """A record a text."""
    name, label, text = fields
    rows = [{name: f"v{n}", label: label_of, text: told} for n, (label_of, told) in enumerate(_pairs())]
    packed(path, "\n".join(json.dumps(row, ensure_ascii=False) for row in rows))


def table(path: Path, columns: tuple[str, ...]) -> None:
    """A table with quotes and commas."""
    written = io.StringIO()
    rows = csv.writer(written)
    rows.writerow(columns)
    for number, (name, text) in enumerate(_pairs()):
        rows.writerow(
            [f"v{number}", name, text, "0.5", "2", "train"][6 - len(columns) if columns[0] == "class" else 0 :]
        )
    packed(path, written.getvalue())


def _pairs() -> list[tuple[str, str]]:
    return [(name, text) for name, texts in TEXTS.items() for text in texts]


def read_labels(path: Path) -> None:
    """All records of a table of labels."""
    columns = {"video": (), "label": (), "start": ("start_s",), "end": ("end_s",), "split": ()}
    for file in label_files.label_files([str(path)]):
        list(label_files.records(file, columns, ("video",), "labels"))


# -- networks and vectors --------------------------------------------------------------------------------------------


def binary_vectors(path: Path) -> None:
    """word2vec's."""
    rows = [name.encode() + b" " + struct.pack("<5f", *DRAW.random(5)) + b"\n" for name in ("dog", "walk", "über")]
    path.write_bytes(b"3 5\n" + b"".join(rows))


def array_vectors(path: Path) -> None:
    """An array, and its words beside it; the array is what is changed."""
    np.save(path, DRAW.random((3, 5), np.float32))
    pq.write_table(pa.table({"index": ["dog", "walk", "über"]}), path.with_suffix(".parquet"))


def read_vectors(path: Path) -> None:
    """Two words, one of which is not there."""
    found = word_files.opened(path)
    numbers = np.array([number for number in found.find(["walk", "fly"]) if number >= 0])
    found.take(numbers)


def read_film(path: Path) -> None:
    """Eight frames of two clips."""
    clips.read(str(path), {"v": View(Sampling(clips=2, frames=4), Geometry(resize=40, crop=32))})


ARRAYS = {"layer.weight": DRAW.random((3, 4), np.float32), "layer.bias": np.arange(3, dtype=np.float32)}
_TENSORS = {name: torch.from_numpy(values) for name, values in ARRAYS.items()}

#: by name of the file: who writes it, who reads it
Sample = tuple[Callable[[Path], Any], Callable[[Path], Any] | None]
SAMPLES: dict[str, Sample] = {
    "features.npz": (lambda path: features(path, "npy", "ragged"), read_features),
    "features.parquet": (lambda path: features(path, "parquet", "ragged"), read_features),
    "features.npy": (lambda path: np.save(path, DRAW.random((6, 4), np.float32)), read_features),
    "features.h5": (lambda path: features(path, "hdf5", "ragged"), read_features),
    "a-dataset-a-video.h5": (lambda path: features(path, "hdf5", "per-video"), read_features),
    "chunked.h5": (chunked, read_features),
    "S001C001P001R001A001.skeleton": (skeleton, read_poses),
    "kinetics.json": (kinetics_json, read_poses),
    "poses.npy": (lambda path: np.save(path, DRAW.random((4, 25, 3), np.float32)), read_poses),
    "poses.npz": (many, read_poses),
    "poses.h5": (many, read_poses),
    "captions.jsonl.gz": (lambda path: json_lines(path, ("video", "class", "captions")), None),
    "captions.csv": (lambda path: table(path, ("video_id", "label", "caption")), None),
    "captions.json": (lambda path: packed(path, json.dumps(TEXTS)), None),
    "texts.jsonl": (lambda path: json_lines(path, ("id", "action", "description")), None),
    "texts.csv.gz": (lambda path: table(path, ("id", "class", "definition")), None),
    "texts.json": (lambda path: packed(path, json.dumps(TEXTS, indent=1)), None),
    "texts.txt": (lambda path: packed(path, "\n".join(f"{name}: {text}" for name, text in _pairs())), None),
    "labels.csv": (lambda path: table(path, ("video", "label", "note", "start_s", "end_s", "split")), read_labels),
    "splits.json": (lambda path: packed(path, json.dumps([{"seen": "rest", "unseen": list(TEXTS)}] * 2)), own_splits),
    "vectors.bin": (binary_vectors, read_vectors),
    "vectors.txt": (lambda path: packed(path, "dog 1 2 3\nwalk .5 -1 2e3\nüber 0 0 1\n"), read_vectors),
    "vectors.npy": (array_vectors, read_vectors),
    "weights.safetensors": (lambda path: safetensors.numpy.save_file(ARRAYS, path), weights.safetensors),
    "weights.pth": (lambda path: torch.save(_TENSORS, path), weights.state_dict),
    "film.mp4": (lambda path: make_video(path, frames=12), read_film),
    "film.avi": (lambda path: make_video(path, frames=12, codec="mpeg4"), read_film),
    "film.webm": (lambda path: make_video(path, frames=12, codec="libvpx"), read_film),
    "picture.jpg": (lambda path: _picture().save(path), lambda path: images.read(str(path))),
    "picture.png": (lambda path: _picture().save(path), lambda path: images.read(str(path))),
}


def reader_of(name: str) -> Callable[[Path], Any]:
    """Who reads a sample: all of it."""
    told = SAMPLES[name][1]
    if told is not None:
        return told
    lines = caption_files if name.startswith("captions") else text_files
    return lambda path: list(lines.read(str(path)))


def _picture() -> Image.Image:
    return Image.fromarray(DRAW.integers(0, 255, (24, 32, 3), np.uint8))
