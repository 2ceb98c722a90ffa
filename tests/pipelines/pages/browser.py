"""Pages as a browser shows them: pictures, and how wide they come out in a narrow window."""

import re
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

needs_browser = pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")


def picture(page: str, folder: Path, size: tuple[int, int], dark: bool = False) -> np.ndarray:
    """What a window of some size shows of a page (its URL), (h, w, 3) uint8, BGR."""
    shot, scheme = folder / "page.png", ["--blink-settings=preferredColorScheme=0"] if dark else []
    _chromium(folder, *scheme, f"--screenshot={shot}", f"--window-size={size[0]},{size[1]}", page)
    pixels = cv2.imread(str(shot))
    assert pixels.shape[:2] == size[::-1]
    return pixels


def width_in(page: str, folder: Path, width: int) -> int:
    """How wide a page comes out where there is room for `width`; more than that has to be scrolled sideways."""
    around = folder / "around.html"
    script = "onload = () => document.title = 'wide ' + frames[0].document.documentElement.scrollWidth"
    inside = f'<iframe width="{width}" height="800" frameborder="0" src="{page}"></iframe>'
    around.write_text(f"{inside}<script>{script}</script>")
    told = _chromium(folder, "--allow-file-access-from-files", "--dump-dom", around.as_uri())
    found = re.search(r"wide (\d+)", told.partition("<title>")[2])
    assert found, told
    return int(found[1])


def _chromium(folder: Path, *arguments: str) -> str:
    own = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder / 'profile'}")
    done = subprocess.run(["chromium", *own, *arguments], check=True, capture_output=True, text=True, timeout=120)
    return done.stdout
