"""A page from its template, and frames as part of it: one file, that opens anywhere, without a network.

    templates/_base.html    head, style sheet, title, lead, footer; colours and widths are said here and nowhere else
    templates/_parts.html   what several pages show: a share as a bar, a row with its bar, a strip of frames
    templates/NAME.html     a page: `{% extends "_base.html" %}`, and its blocks title, style, lead, body, foot
    templates/serve/        pages of `zsar serve`, which lead to one another and load films

A page of somebody else is a template of the same form anywhere: its path is given instead of a name.
"""

import base64
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
from markupsafe import Markup

from untrusted.names import shown


def _spelt(value: Any) -> Any:
    """What is put into a page, its control characters spelt out: names come from files of others."""
    if isinstance(value, Markup):
        return Markup(shown(value))
    return shown(value) if isinstance(value, str) else value


class _Lacking(jinja2.Undefined):
    """What a template names and was not given: a page may ask whether it is there, and never shows it as nothing."""

    __str__ = __eq__ = __ne__ = jinja2.Undefined._fail_with_undefined_error
    __hash__ = jinja2.Undefined.__hash__


_PAGES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    undefined=_Lacking,
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    finalize=_spelt,
)


def render(template: str | Path, /, **given: Any) -> str:
    """The page of a template, with what is given put into its places.

    Parameters
    ----------
    template : its name in `templates/`, without the ending; or the path of a file elsewhere
    given : what it shows
    """
    if isinstance(template, Path):
        return _PAGES.from_string(template.read_text()).render(**given)
    return _PAGES.get_template(f"{template}.html").render(**given)


def frame(rgb: np.ndarray, quality: int = 82) -> str:
    """A frame (h, w, 3) uint8 as a data URL, so that a page is one file."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
