"""A page from its template, and frames as part of it: one file, that opens anywhere."""

import base64
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)
_QUALITY = 82


def render(template: str, /, **given: Any) -> str:
    """The page of a template (`templates/TEMPLATE.html`), with what is given put into its places."""
    return _TEMPLATES.get_template(f"{template}.html").render(**given)


def frame(rgb: np.ndarray) -> str:
    """A frame (h, w, 3) uint8 as a data URL, so that a page is one file."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
