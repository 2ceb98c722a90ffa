"""A bar: one measured ratio, what it must reach, and the numbers behind it."""

import dataclasses
import math
import sys
import time
from collections.abc import Callable, Iterable


@dataclasses.dataclass(frozen=True)
class Bar:
    """One bar as measured; printed, it is one line.

    Parameters
    ----------
    name : str
    ratio : float
        NaN where it could not be measured here; then `detail` says why and `holds` is True.
    bar : str
        What the ratio must be, such as `>= 0.85`.
    holds : bool
    detail : str
        The numbers behind the ratio, with their units.
    """

    name: str
    ratio: float
    bar: str
    holds: bool
    detail: str

    @classmethod
    def at_least(cls, name: str, ratio: float, bound: float, detail: str) -> "Bar":
        """A bar whose ratio must not be below `bound`."""
        return cls(name, ratio, f">= {bound:g}", ratio >= bound, detail)

    @classmethod
    def at_most(cls, name: str, ratio: float, bound: float, detail: str) -> "Bar":
        """A bar whose ratio must not be above `bound`."""
        return cls(name, ratio, f"<= {bound:g}", ratio <= bound, detail)

    @classmethod
    def measured(cls, name: str, ratio: float, detail: str) -> "Bar":
        """A ratio that no bar binds; it is printed for comparison."""
        return cls(name, ratio, "", True, detail)

    @classmethod
    def skipped(cls, name: str, bar: str, why: str) -> "Bar":
        """A bar that cannot be measured on this machine."""
        return cls(name, math.nan, bar, True, why)

    def __str__(self) -> str:
        """`name ratio bar holds|falls short (detail)`, `name ratio no bar (detail)`, or `name - bar skipped (why)`."""
        if math.isnan(self.ratio):
            return f"{self.name} - {self.bar} skipped ({self.detail})"
        verdict = f"{self.bar} {'holds' if self.holds else 'falls short'}" if self.bar else "no bar"
        return f"{self.name} {self.ratio:.7g} {verdict} ({self.detail})"


def seconds(work: Callable[[], None]) -> float:
    """Seconds of a processor that some work takes, whatever else the machine does."""
    start = time.process_time()
    work()
    return time.process_time() - start


def run(bars: Iterable[Bar]) -> None:
    """Print each bar as soon as it is measured and leave the process: 1 if any falls short, else 0."""
    held = []
    for bar in bars:
        print(bar, flush=True)
        held.append(bar.holds)
    sys.exit(0 if all(held) else 1)
