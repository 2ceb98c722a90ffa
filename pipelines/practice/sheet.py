"""The contact sheets of practice.md: a row a class, some pictures in time.

Run    `python -m pipelines.practice.sheet DIR SHEET.jpg [ROWS [COLUMNS [NUMBER]]]`; else 12 rows, 10 columns, from 0
Takes  a practice world, as `zsar practice DIR` wrote it
Gives  a JPEG: a film of every so many-th class, with its label; the first row has film NUMBER, the next the next
"""

import argparse
import csv
from pathlib import Path

import cv2
import numpy as np

from extractors import clips

_LINE, _HEIGHT = 16, 112


def row(path: Path, label: str, columns: int, height: int) -> np.ndarray:
    """(height + line, columns x height, 3) a film, with its label above."""
    pictures = np.hstack(clips.thumbnails(str(path), columns, height))
    line = np.full((_LINE, pictures.shape[1], 3), 255, np.uint8)
    cv2.putText(line, label, (3, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([line, pictures])


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("sheet", type=Path)
    for name, usual in (("rows", 12), ("columns", 10), ("number", 0)):
        parser.add_argument(name, type=int, nargs="?", default=usual)
    asked = parser.parse_args()
    by_label: dict[str, list[str]] = {}
    with open(asked.folder / "labels.csv", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            by_label.setdefault(line["label"], []).append(line["id"])
    names = list(by_label)
    shown = [names[place] for place in np.linspace(0, len(names) - 1, min(asked.rows, len(names))).astype(int)]
    rows = []
    for place, name in enumerate(shown):
        own = by_label[name]
        path = asked.folder / "videos" / f"{own[(asked.number + place) % len(own)]}.mp4"
        rows.append(row(path, name, asked.columns, _HEIGHT))
    cv2.imwrite(str(asked.sheet), np.vstack(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])


if __name__ == "__main__":
    main()
