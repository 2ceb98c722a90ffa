"""Who is told how a stage goes: the command line draws a bar, a flow writes an artifact, others are silent."""

from collections.abc import Callable
from typing import Protocol

Progress = Callable[[int, int], None]  #: called with what is done and what there is in all
Telling = Callable[[int, int, str], None]  #: the same, and what there is to say of it


class RunProgress(Protocol):
    """Who is told how a run goes; the command line draws a bar, a flow writes an artifact."""

    def started(self, pairs: int) -> None:
        """The plan is made, and there are so many (item, feature) pairs to compute."""

    def advanced(self, done: int, failed: int) -> None:
        """So many (item, feature) pairs are done, so many of these failed."""

    def committed(self, feature: str, items: int) -> None:
        """So many items of a feature are now in the store."""

    def waiting(self, feature: str) -> None:
        """Another run works on this feature set; this one goes on when that one ends."""


class Silent:
    """Nobody is told."""

    def started(self, pairs: int) -> None:
        """Nothing."""

    def advanced(self, done: int, failed: int) -> None:
        """Nothing."""

    def committed(self, feature: str, items: int) -> None:
        """Nothing."""

    def waiting(self, feature: str) -> None:
        """Nothing."""
