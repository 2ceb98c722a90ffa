"""Clips on which two runs disagree: one names another class first than the other.

Takes  two runs that were judged on the same data set
Gives  findings `disagree`; the score is in which share of the splits that both judged it in exactly one is right
"""

from collections.abc import Iterator

from pipelines.errors import UsageError
from pipelines.look.audit.clips import Clips
from pipelines.look.audit.findings import Finding
from stores.root import Root
from stores.runs import Runs

_SETTING = "zsl"


def disagreements(clips: Clips, names: tuple[str, ...], dataset: str, root: Root) -> Iterator[Finding]:
    """A finding for each video that two runs name differently in some split.

    Raises
    ------
    UsageError
        Not two runs, one that was not judged or judges another data set, or none of whose splits both judged.
    NotInStore, Ambiguous
        No such run, or several.
    """
    if len(names) != 2:
        raise UsageError(f"Two runs disagree; got {len(names)}. Give --run twice.")
    first, second = (_judged(Runs(root), name, dataset) for name in names)
    both = sorted(first.keys() & second.keys())
    if not both:
        raise UsageError(f"{names[0]} and {names[1]} were judged on no split and video in common.")
    number = {name: at for at, name in enumerate(clips.table["video_id"].to_pylist())}
    told: dict[int, list[tuple[str, str, str]]] = {}
    for split, video_id in both:
        if (at := number.get(video_id)) is not None:
            told.setdefault(at, []).append((*first[split, video_id], second[split, video_id][1]))
    for at, rows in told.items():
        apart = [(label, one, other) for label, one, other in rows if one != other]
        if not apart:
            continue
        right = sum(a == name for name, a, _ in apart), sum(b == name for name, _, b in apart)
        _, one, other = apart[0]
        why = (
            f"{one} by the first, {other} by the second; of {len(rows)} splits the first alone is right in {right[0]}, "
            f"the second in {right[1]}"
        )
        yield Finding("disagree", at, sum(right) / len(rows), -1, None, why)


def _judged(runs: Runs, name: str, dataset: str) -> dict[tuple[int, str], tuple[str, str]]:
    """Label and best class of each video in each split."""
    full = runs.find(name)
    about, table = runs.about(full), runs.read(full, "judged")
    of = about["videos"]["dataset"]
    if of != dataset:
        raise UsageError(f"{full} was judged on {of!r}, and the audit is of {dataset!r}.")
    if table is None:
        raise UsageError(f"{full} was not judged. Run `zsar evaluate {full}`.")
    rows = (row for row in table.to_pylist() if row["setting"] == _SETTING)
    return {(row["split"], row["video_id"]): (row["label"], row["best"][0]) for row in rows}
