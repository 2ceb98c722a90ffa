"""What weights have seen, by their own word: nothing of it may be unseen later, or kept back.

{"dataset", "classes", "kept_back"[, "before": the same of the weights that those began with]}

Which fifth of the items GZSL keeps back follows from their recordings and names, and these may be told otherwise later
(a newer layout knows recordings, files were renamed): then the weights were trained on what is kept back now. So
`kept_back` names some of the items trained on, the same ones whatever else the data set holds: those of the least
content keys, which are as good as drawn.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from extractors.errors import ExtractorError
from pipelines.texts.overlap import overlap
from untrusted.names import few

_SAMPLE = (
    256  # of items that were trained on: where one in twenty-five changed its fifth, all but 1 in 8 such are found
)
_DIGITS = 8  # of a content key, in hexadecimal; one of a million items begins like one of the sample by chance


def sample(keys: Iterable[bytes]) -> str:
    """Some of the items trained on, by the first digits of their content keys; the same ones of any order.

    Examples
    --------
    >>> sample([bytes.fromhex("ff00ff00aa"), bytes.fromhex("0102030405"), bytes.fromhex("ff00ff00aa")])
    '01020304ff00ff00'
    """
    return "".join(key.hex()[:_DIGITS] for key in sorted(set(keys))[:_SAMPLE])


def keeps_back(told: Mapping[str, Any] | None, dataset: str) -> bool:
    """Whether weights kept a fifth of a data set back, as far as they and those they began with were trained on it."""
    return all(each["dataset"] != dataset or each.get("kept_back") for each in chain(told))


def says_which(told: Mapping[str, Any] | None, dataset: str) -> bool:
    """Whether weights that kept a fifth of a data set back name some of the others; those of before do not."""
    return all(each["dataset"] != dataset or each.get("kept_back") is not True for each in chain(told))


def trained_on_now(told: Mapping[str, Any] | None, dataset: str, kept: Iterable[bytes]) -> tuple[int, int]:
    """How many of the items that weights name as trained on are kept back now, and how many they name.

    Parameters
    ----------
    told : what the weights were trained on
    dataset : whose items these are
    kept : content keys of the items that are kept back now
    """
    named = set[str]()
    for each in chain(told):
        if each["dataset"] == dataset and isinstance(own := each.get("kept_back"), str):
            named.update(own[at : at + _DIGITS] for at in range(0, len(own), _DIGITS))
    return len(named & {key.hex()[:_DIGITS] for key in kept}) if named else 0, len(named)


def chain(told: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    """What weights were trained on, the last first."""
    while told:
        yield told
        told = told.get("before")


def refuse_seen(
    told: Mapping[str, Any] | None, path: object, unseen: Sequence[str], dataset: str, kept: Sequence[bytes] | None
) -> None:
    """Refuse weights that have seen an unseen class, or videos that are kept back now.

    Parameters
    ----------
    told : what the weights were trained on; None: nothing is known
    path : of the weights
    unseen : classes, in any spelling
    dataset : that is trained on
    kept : content keys of the fifth of its items that is kept from the training; None: all are trained on

    Raises
    ------
    ExtractorError
        The message says which.
    """
    for each in chain(told):
        if met := sorted({found.test for found in overlap(unseen, each["classes"])}):
            raise ExtractorError(
                f"Zero-shot classes must not have been trained on; {path} was trained on {few(met)} of "
                f"{each['dataset']}. Begin with other weights, or with none."
            )
    if kept is not None and not keeps_back(told, dataset):
        raise ExtractorError(
            f"With --gzsl a fifth of {dataset!r} is kept back, and {path} was trained on all of it. Begin with "
            "weights that were trained with --gzsl, or with none."
        )
    count, named = trained_on_now(told, dataset, kept or ())
    if count:
        raise ExtractorError(
            f"With --gzsl a fifth of {dataset!r} is kept back, and {path} was trained on some of it ({count} of the "
            f"{named} items it names): recordings or names were told otherwise then. Train those weights anew."
        )
