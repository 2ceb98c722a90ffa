"""What weights that a training begins with have seen: nothing of it may be unseen later.

{"dataset", "classes", "kept_back"[, "before": the same of the weights that those began with]}
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from extractors.errors import ExtractorError
from pipelines.texts.overlap import overlap


def chain(told: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    """What weights were trained on, the last first."""
    while told:
        yield told
        told = told.get("before")


def refuse_seen(
    told: Mapping[str, Any] | None, path: object, unseen: Sequence[str], dataset: str, keeps_back: bool
) -> None:
    """Refuse weights that have seen an unseen class, or videos that are kept back now.

    Parameters
    ----------
    told : what the weights were trained on; None: nothing is known
    path : of the weights
    unseen : classes, in any spelling
    dataset : that is trained on
    keeps_back : whether a fifth of its items is kept from the training

    Raises
    ------
    ExtractorError
        The message says which.
    """
    for each in chain(told):
        if met := sorted({found.test for found in overlap(unseen, each["classes"])}):
            raise ExtractorError(
                f"Zero-shot classes must not have been trained on; {path} was trained on {', '.join(met)} of "
                f"{each['dataset']}. Begin with other weights, or with none."
            )
        if keeps_back and each["dataset"] == dataset and not each.get("kept_back"):
            raise ExtractorError(
                f"With --gzsl a fifth of {dataset!r} is kept back, and {path} was trained on all of it. Begin with "
                "weights that were trained with --gzsl, or with none."
            )
