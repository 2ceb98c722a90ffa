"""The contact sheet has a row a class and a column a picture."""

import sys

import cv2
import numpy as np

from pipelines.practice import films, sheet


def test_a_row_a_class_shows_its_film_from_left_to_right(tmp_path, monkeypatch):
    (tmp_path / "videos").mkdir()
    lines = ["id,label"]
    for k, label in enumerate(("bow", "kick left", "spin")):
        shades = [np.full((32, 32, 3), 40 * k + 8 * t, np.uint8) for t in range(16)]
        films.write(tmp_path / "videos" / f"v{k}.mp4", shades, 32, 15)
        lines.append(f"v{k},{label}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    path = tmp_path / "sheet.png"
    asked = ["sheet", str(tmp_path), str(path), "3", "4"]
    monkeypatch.setattr(sys, "argv", asked)
    sheet.main()
    shown = cv2.imread(str(path)).astype(int)
    line = shown.shape[0] // 3 - 112
    assert shown.shape == (3 * (112 + line), 4 * 112, 3)
    cells = shown.reshape(3, 112 + line, 4, 112, 3)
    assert cells[:, :line].min() < 100  # a label is written
    means = cells[:, line:].mean((1, 3, 4))
    assert (np.diff(means, axis=1) > 10).all()  # later pictures are brighter
    assert (np.diff(means[:, 0]) > 25).all()  # each row is its own class
