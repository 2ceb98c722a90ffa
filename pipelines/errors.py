"""Errors of the stages that are a user's to mend; each message is the one line shown.

UsageError                 an option, a path or a state that does not fit
├── LayoutError            a folder or label file that is not what the layout says
└── Stopped                a run that stopped itself: many identical faults in a row

What the disk refuses wherever it is asked, such as a file of somebody else, is told by `refused`.
"""

import errno

#: what a machine refuses, whoever asks: (error number) -> what to do
_REFUSED = {
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "Check its permissions, or give another place"),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "Make room, and run the same command again"),
    **dict.fromkeys((errno.EIO, errno.ESTALE), "Look whether the disk is well, and run the same command again"),
    **dict.fromkeys((errno.ENAMETOOLONG, errno.ELOOP), "Give a path that can be one"),
    errno.EMFILE: "Allow more open files (`ulimit -n 65536`)",
}


def refused(error: OSError) -> str | None:
    """The one line of an error of disks and permissions; None of one that would be a defect of ours."""
    advice = _REFUSED.get(error.errno or 0)
    where = f" {str(error.filename)!r}" if error.filename else " a file"
    return f"Cannot use{where}: {error.strerror}. {advice}." if advice else None


class UsageError(Exception):
    """A fault of use: message says what rule, what value, where, what to do."""


class LayoutError(UsageError):
    """A folder or label file that is not what the layout says."""


class Stopped(UsageError):
    """A run that stopped itself; what it had handed over is committed."""
