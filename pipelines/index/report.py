"""What an index run found, whatever kind of item it looked for."""

import dataclasses

from pipelines.index.features import ImportReport
from pipelines.index.spellings import counted


@dataclasses.dataclass(frozen=True)
class IndexReport:
    """What an index run found.

    Attributes
    ----------
    videos : items found and read: files, labelled segments of files, sequences of poses, videos that captions tell of
    new, unchanged : those whose content the data set did not have under this name before, and the others
    contents : distinct content keys among them
    missing : label-file entries without a file, earlier rows whose file is gone (unless pruned), and videos of which
        a feature set of poses has none
    failed : files and records that could not be read, and label-file entries that make no sense; `list failures` names
        them
    unlabelled : items without a label
    pruned : rows forgotten
    layout : the layout used, or picked; empty where only features were imported
    imports : features made elsewhere that were among the paths
    of_videos : of features that were indexed with labels those that are of videos, which keep their own labels
    doubts : why the order of the joints of poses is doubted
    not_taken : files below the paths that are neither videos nor features, by extension, the most first
    left_out : fields of captions that may tell of a video too and are not taken, with in how many records
    """

    videos: int
    new: int
    unchanged: int
    contents: int
    missing: int
    failed: int
    unlabelled: int
    pruned: int
    layout: str
    imports: tuple[ImportReport, ...] = ()
    of_videos: int = 0
    not_taken: dict[str, int] = dataclasses.field(default_factory=dict)
    doubts: tuple[str, ...] = ()
    left_out: dict[str, int] = dataclasses.field(default_factory=dict)

    def told(self) -> list[str]:
        """What must be said in words, a line each: what was not taken, and names of what did not meet."""
        lines = [*self.doubts]
        if self.left_out:
            some = ", ".join(f"{field} ({count} records)" for field, count in self.left_out.items())
            lines.append(f"Left out: {some}.")
        if self.not_taken:
            lines.append(f"Not taken, for they do not end like a video: {counted(self.not_taken)}.")
        if self.of_videos:
            lines.append(f"{self.of_videos} of the ids are of videos that are there: those keep their labels.")
        for each in self.imports:
            lines += each.told()
        return lines
