"""Settings of the texts of classes."""

import dataclasses
from typing import Annotated

from pipelines.errors import UsageError
from pipelines.settings import ARGUMENT


@dataclasses.dataclass(frozen=True)
class TextsConfig:
    """Settings of `zsar texts add`.

    Attributes
    ----------
    files : what to read, in this order
    kind : `class`, `definition`, `description`, `phrase` or `object`
    set : the set of classes they are about
    part : what of a class they tell, where a record does not say so itself; heads can be told to read one part
    encoding : of lines that are not UTF-8, such as `cp1252`; nothing: they are not read
    """

    files: Annotated[tuple[str, ...], ARGUMENT]
    kind: str
    set: str
    part: str = ""
    encoding: str = ""

    def __post_init__(self) -> None:
        try:
            " ".encode(self.encoding or "utf-8")  # a blank byte alone is cut short in UTF-16
        except (LookupError, ValueError) as error:
            known = "cp1252 (Windows), latin-1, mac_roman, utf-16-le"
            raise UsageError(f"No encoding of texts is called {self.encoding!r}; there are {known}, ...") from error


@dataclasses.dataclass(frozen=True)
class RankConfig:
    """Settings of `zsar texts rank`.

    Attributes
    ----------
    set : whose descriptions
    k : so many a class
    vectors : the word vectors that say how relevant a description is, as an extractor's name
    weights : `NAME=PATH` for word vectors from a file
    """

    set: str
    k: int = 100
    vectors: str = "glove_50d"
    weights: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UsageError(f"k must be at least 1, got {self.k}.")


@dataclasses.dataclass(frozen=True)
class PhrasesConfig:
    """Settings of `zsar texts phrases`.

    Attributes
    ----------
    set : whose classes
    corrections : JSON or CSV file of phrases written by hand, which replace those of its classes
    """

    set: str
    corrections: str = ""


@dataclasses.dataclass(frozen=True)
class LintConfig:
    """Settings of `zsar texts lint`.

    Attributes
    ----------
    set : what is looked at
    against : another set, whose classes should not be among those of the first
    vectors : word vectors of the names
    encoder : sentence vectors, to compare a definition with its class
    weights : `NAME=PATH` for either
    near : E2E's distance of classes of two sets below which they are the same
    """

    set: str
    against: str = ""
    vectors: str = "glove_50d"
    encoder: str = "minilm"
    weights: tuple[str, ...] = ()
    near: float = 0.05


@dataclasses.dataclass(frozen=True)
class ObjectTextsConfig:
    """Settings of `zsar texts objects`.

    Attributes
    ----------
    feature : a feature set with recognised objects (`bit_objects`)
    dataset : whose videos
    set : where the texts go
    top : so many objects a video
    """

    feature: Annotated[str, ARGUMENT]
    dataset: str
    set: str
    top: int = 5
