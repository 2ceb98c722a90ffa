"""What a file of ST-GCN's weights says of itself: the joints and the form it was trained on, and the classes.

    safetensors of our own training   the metadata of its header; no array is read and torch is not imported
    a published `st_gcn.*.pt`         told by its graph `A` and its number of classes

An extractor needs it to plan: sequences are put into the form that the weights were trained on, and the recipe names
the classes they have seen, which are then no unseen ones.
"""

import dataclasses
import json
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extractors import joints
from extractors.errors import BadWeights, ExtractorError
from extractors.poses import Form

if TYPE_CHECKING:
    from extractors.stgcn_network import Architecture

SUFFIX = ".safetensors"
_KEY = "zsar"


@dataclasses.dataclass(frozen=True)
class About:
    """What weights were trained on.

    Parameters
    ----------
    layout : str
        Of the joints they take.
    form : Form or None
        Of the sequences they take; None where a file does not say it.
    dataset : str
        Whose sequences, or empty.
    classes : tuple of str
        All that it was trained on, in the order of the classifier's outputs; empty where only `dataset` is known: all.
    kept_back : str or bool
        Whether a fifth of the sequences, which GZSL judges on, was kept from the training: a text that names some of
        those that were not; True in files of before it did; False or empty where all were trained on.
    before : mapping, optional
        What the weights that it began with were trained on, as `trained_on` tells it.
    """

    layout: str
    form: Form | None
    dataset: str = ""
    classes: tuple[str, ...] = ()
    kept_back: str | bool = False
    before: Mapping[str, Any] | None = None

    def metadata(self) -> dict[str, str]:
        """For the header of a safetensors file."""
        fields = {
            k: v for k, v in dataclasses.asdict(self).items() if k != "before" or v
        }  # else files of before differ
        return {_KEY: json.dumps(fields, sort_keys=True)}

    @property
    def trained_on(self) -> dict[str, Any] | None:
        """As recipes have it; None where nothing is known."""
        if not self.dataset:
            return None
        told = {"dataset": self.dataset, "classes": sorted(self.classes), "kept_back": self.kept_back}
        return told | ({"before": self.before} if self.before else {})


def about(path: Path, architecture: "Architecture | None" = None) -> About:
    """What a file of weights says of itself.

    Parameters
    ----------
    path : Path
    architecture : Architecture, optional
        Of a file in torch's format, which has to be read for it; the published ten blocks by default.

    Raises
    ------
    BadWeights
        Not a file of weights; a safetensors file without this metadata; a graph of no layout known here.
    """
    if path.suffix == SUFFIX:
        return _of_header(path)
    from extractors import stgcn_network  # torch reads this kind of file

    arrays = stgcn_network.read(path, architecture or stgcn_network.STGCN)
    layout, _ = stgcn_network.graph_of(arrays["A"], path)
    published = stgcn_network.pretraining(arrays)
    return About(layout.name, None, published.dataset if published else "")


def _of_header(path: Path) -> About:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(_KEY)
    except (OSError, SafetensorError) as error:
        raise BadWeights(
            f"{path} cannot be read as a safetensors file: {str(error).splitlines()[0]}. Give the file as it was made."
        ) from error
    if text is None:
        raise BadWeights(
            f"{path} does not say which joints and which form of sequences it was trained on. "
            "Give weights that `zsar finetune` wrote, or a published st_gcn.*.pt."
        )
    try:
        fields: dict[str, Any] = json.loads(text)
        form = Form(**fields["form"])
        found = About(joints.layout(fields["layout"]).name, form, fields["dataset"], tuple(fields["classes"]))
        found = dataclasses.replace(found, kept_back=fields.get("kept_back") or False, before=fields.get("before"))
    except (ValueError, TypeError, LookupError, ExtractorError) as error:
        raise BadWeights(f"{path} says nonsense of what it was trained on: {error}. Train it again.") from error
    check(form, str(path))
    return found


def check(form: Form, where: str) -> None:
    """Refuse a form that no sequence can be put into.

    Raises
    ------
    ExtractorError
        Too few frames or people; another `fit` or `frame` than there is.
    """
    hints = typing.get_type_hints(Form)
    for name in ("fit", "frame"):
        known = typing.get_args(hints[name])
        if getattr(form, name) not in known:
            told = f"{', '.join(known[:-1])} or {known[-1]}"
            raise ExtractorError(f"{where}: {name} is {told}, got {getattr(form, name)!r}.")
    if form.frames < 2 or form.people < 1:
        raise ExtractorError(
            f"{where}: a sequence needs 2 frames and 1 person at least, got {form.frames} and {form.people}."
        )
