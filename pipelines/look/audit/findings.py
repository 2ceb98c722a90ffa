"""What an audit finds: one doubt about one video."""

from typing import NamedTuple

KINDS = {
    "leak": "near duplicates, or clips of one recording, in different splits",
    "conflict": "near duplicates with different labels",
    "duplicate": "near duplicates with one label in one split",
    "label": "videos whose label is not explained by what they look like",
    "ambiguous": "videos that look more like another class than their own",
    "outlier": "videos that are far from all others",
    "disagree": "videos on which two runs disagree",
}


class Finding(NamedTuple):
    """A doubt about a video.

    Attributes
    ----------
    kind : one of KINDS
    at : number of the video in `Clips`
    score : how doubtful, by the measure of the kind; higher is more
    other : number of the video it is compared with; -1 where there is none
    suggested : the label it should perhaps have
    why : in words
    """

    kind: str
    at: int
    score: float
    other: int
    suggested: str | None
    why: str
