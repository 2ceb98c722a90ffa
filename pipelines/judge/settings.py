"""Settings of evaluation."""

import dataclasses
from typing import Annotated

from pipelines.settings import ARGUMENT


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """Settings of `zsar evaluate`.

    Attributes
    ----------
    run : its name, or how it begins
    splits : which of those that are fitted; nothing: all
    """

    run: Annotated[str, ARGUMENT]
    splits: str = ""
