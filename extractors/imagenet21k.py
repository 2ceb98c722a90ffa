"""Names and glosses of the 21,843 labels of ImageNet-21k, as Google's classifiers order them, read without torch.

The lists are WordNet's, as timm keeps them in text files inside its package, which is found but not imported: its
import brings torch. A name holds all lemmas of a label ("organism, being"). ER's text of an object is "name: gloss".
"""

import csv
import functools
import importlib.util
from pathlib import Path

from extractors.errors import MachineFault

_LABELS = "imagenet21k_goog_synsets.txt"
_LABELS_1K = "imagenet_synsets.txt"
_NAMES = "imagenet_synset_to_lemma.txt"
_GLOSSES = "imagenet_synset_to_definition.txt"


@functools.cache
def names() -> tuple[str, ...]:
    """The name of each label, in the order of the classifier's outputs.

    Raises
    ------
    MachineFault
        timm is not installed, or keeps its lists elsewhere.
    """
    return _of_labels(_NAMES)


@functools.cache
def glosses(classes: int = 21_843) -> tuple[str, ...]:
    """WordNet's definition of each label, in the order of the classifier's outputs; raises as `names` does.

    Parameters
    ----------
    classes : int
        21,843, or 1,000 for the labels of ImageNet-1k.
    """
    return _of_labels(_GLOSSES, _LABELS if classes == 21_843 else _LABELS_1K)


def _of_labels(file: str, labels: str = _LABELS) -> tuple[str, ...]:
    """What one of the two tables of timm, `label<TAB>text`, says of each label."""
    text = dict(csv.reader(_lines(file), delimiter="\t"))  # csv, as timm reads them: some glosses are quoted
    return tuple(text[label] for label in _lines(labels))


def _lines(file: str) -> list[str]:
    spec = importlib.util.find_spec("timm")
    if spec is None or not spec.submodule_search_locations:
        raise MachineFault("The labels of ImageNet-21k come with timm, which is not installed. Run `pip install timm`.")
    path = Path(spec.submodule_search_locations[0]) / "data" / "_info" / file
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise MachineFault(
            f"{path} cannot be read: {error.strerror}. Install a timm that `constraints.txt` names."
        ) from error
