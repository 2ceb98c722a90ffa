"""Segments and the phrases that won, as one picture: JigsawNet's figure 4, for a paper or a slide.

Run    `zsar show RUN --png FILE`
Takes  the videos that the page of the run shows, with their segments (`page.shown_videos`)
Gives  a PNG: a row a video, a cell a segment, with its frame or its caption and its best phrase of the class that the
       video was taken for; where that is wrong, below it the best phrase of the right class

Paper: Qian et al., ECCV 2022, figure 4.
"""

import base64
import io
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from pipelines.errors import UsageError
from pipelines.look.run import inside
from pipelines.look.run.page import Segment, ShownVideo, judged_split, shown_videos
from stores.root import Root

_TOLD, _CELL, _FRAME, _GAP, _MARGIN = 250, 168, 112, 12, 24  # pixels
_SCALE = 2  # drawn at twice the size: sharp in print
_PAPER, _INK, _FAINT, _RIGHT, _WRONG, _TILE = "#ffffff", "#1f2328", "#59636e", "#1a7f37", "#b35900", "#f6f8fa"
_LEGEND = "Below each segment its best phrase of the class the video was taken for; in brackets that of its own class."
_SIZE, _LINE, _PHRASE_LINES, _CAPTION_LINES, _LEAST = 13, 17, 2, 6, 5


def picture(name: str, root: Root, path: Path, split: int | None = None) -> Path:
    """Draw some videos of a split of a judged run; returns where the picture lies.

    Parameters
    ----------
    name : of the run, or how it begins
    root : Root
    path : of the PNG
    split : which; None: the first that was judged

    Raises
    ------
    NotInStore, Ambiguous
        No such run.
    UsageError
        It was not judged, or its head says of no segment which phrase won; the path is no PNG's, or not writable.
    """
    if path.suffix.lower() != ".png":
        raise UsageError(f"--png must end in .png, got {str(path)!r}.")
    run, number, judged = judged_split(name, root, split)
    of = inside.trained(run, number, root)
    videos = shown_videos(of, judged, root) if inside.aligns_groups(of) else []
    if not videos:
        raise UsageError(
            f"{run} has no segments with phrases of their own to draw. Fit `jigsaw` with its groups, or look at its "
            f"page: `zsar show {run} --html`."
        )
    repeated = next((note for note in of.study.notes if "rows are repeated" in note), "")
    drawn = draw(f"{run}, split {number}{repeated and f' ({repeated})'}", videos)
    try:
        drawn.save(path, "PNG", optimize=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}. Give another --png.") from error
    return path


def draw(title: str, videos: Sequence[ShownVideo]) -> Image.Image:
    """Rows of videos under a title, (H, W) RGB."""
    most = max(len(video.segments) for video in videos)
    width = 2 * _MARGIN + _TOLD + most * (_CELL + _GAP)
    heights = [_height(video) for video in videos]
    top = _MARGIN + 3 * _LINE
    page = _Sheet(width, top + sum(heights) + len(videos) * _GAP + _MARGIN)
    page.text(_MARGIN, _MARGIN, title, width - 2 * _MARGIN, 1, _INK, size=_SIZE + 3)
    page.text(_MARGIN, _MARGIN + int(1.5 * _LINE), _LEGEND, width - 2 * _MARGIN, 1, _FAINT)
    for video, height in zip(videos, heights, strict=True):
        page.box(_MARGIN // 2, top, width - _MARGIN, height)
        _told(page, video, top + _GAP)
        for place, segment in enumerate(video.segments):
            _cell(page, segment, video.wrong, _MARGIN + _TOLD + place * (_CELL + _GAP), top + _GAP)
        top += height + _GAP
    return page.image


class _Sheet:
    """A sheet to draw on, in units of which each is `_SCALE` pixels."""

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width * _SCALE, height * _SCALE), _PAPER)
        self._pen = ImageDraw.Draw(self.image)

    def box(self, left: int, top: int, width: int, height: int) -> None:
        corners = [side * _SCALE for side in (left, top, left + width, top + height)]
        self._pen.rounded_rectangle(corners, 6 * _SCALE, fill=_TILE)

    def paste(self, frame: Image.Image, left: int, top: int, side: int) -> None:
        self.image.paste(frame.resize((side * _SCALE, side * _SCALE)), (left * _SCALE, top * _SCALE))

    def text(self, left: int, top: int, text: str, width: int, lines: int, colour: str, size: int = _SIZE) -> int:
        """Words in lines of a width, the last of them cut with dots; returns how many lines they take."""
        font = ImageFont.load_default(size * _SCALE)
        told = wrapped(text, lambda line: self._pen.textlength(line, font) <= width * _SCALE, lines)
        for number, line in enumerate(told):
            self._pen.text((left * _SCALE, (top + number * _LINE) * _SCALE), line, colour, font)
        return len(told)


def wrapped(text: str, fits: Callable[[str], bool], lines: int) -> list[str]:
    """Words in at most so many lines that fit; what is left over is dots.

    >>> wrapped("raise both arms slowly", lambda line: len(line) < 12, 2)
    ['raise both', 'arms slowly']
    >>> wrapped("raise both arms slowly", lambda line: len(line) < 12, 1)
    ['raise both…']
    """
    found, words = [""], text.split()
    for word in words:
        longer = f"{found[-1]} {word}".strip()
        if fits(longer) or not found[-1]:
            found[-1] = longer
        else:
            found.append(word)
    if len(found) > lines:
        found = found[:lines]
        found[-1] = _cut(found[-1], fits)
    return [line if fits(line) else _cut(line, fits) for line in found]


def _cut(line: str, fits: Callable[[str], bool]) -> str:
    while line and not fits(f"{line}…"):
        line = line[:-1]
    return f"{line.rstrip()}…"


def _height(video: ShownVideo) -> int:
    first = video.segments[0]
    shown = _FRAME if first.frame else _CAPTION_LINES * _LINE if first.caption else 0
    return max(shown + (2 if video.wrong else 1) * (_PHRASE_LINES * _LINE + 4), _LEAST * _LINE) + 2 * _GAP


def _told(page: _Sheet, video: ShownVideo, top: int) -> None:
    width = _TOLD - 2 * _GAP
    top += _LINE * page.text(_MARGIN, top, video.video_id, width, 2, _FAINT)
    top += _LINE * page.text(_MARGIN, top, video.label, width, 2, _INK, _SIZE + 1) + 4
    said = f"taken for {video.best}" if video.wrong else "recognised"
    top += _LINE * page.text(_MARGIN, top, said, width, 3, _WRONG if video.wrong else _RIGHT)
    if video.told > len(video.segments):
        page.text(_MARGIN, top + 4, f"{len(video.segments)} of {video.told} segments", width, 1, _FAINT)


def _cell(page: _Sheet, segment: Segment, wrong: bool, left: int, top: int) -> None:
    if segment.frame:
        data = base64.b64decode(segment.frame.partition(",")[2])
        with Image.open(io.BytesIO(data)) as frame:
            page.paste(frame.convert("RGB"), left, top, _FRAME)
        top += _FRAME + 6
    elif segment.caption:
        page.text(left, top, segment.caption, _CELL, _CAPTION_LINES, _INK)
        top += _CAPTION_LINES * _LINE + 6
    page.text(
        left, top, f"{segment.phrase} {segment.similarity:.2f}", _CELL, _PHRASE_LINES, _WRONG if wrong else _RIGHT
    )
    if wrong:
        top += _PHRASE_LINES * _LINE + 4
        page.text(left, top, f"[{segment.own_phrase} {segment.own_similarity:.2f}]", _CELL, _PHRASE_LINES, _FAINT)
