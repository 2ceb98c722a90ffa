"""Errors of the stages that are a user's to mend; each message is the one line shown.

UsageError                 an option, a path or a state that does not fit
├── LayoutError            a folder or label file that is not what the layout says
└── Stopped                a run that stopped itself: many identical faults in a row
"""


class UsageError(Exception):
    """A fault of use: message says what rule, what value, where, what to do."""


class LayoutError(UsageError):
    """A folder or label file that is not what the layout says."""


class Stopped(UsageError):
    """A run that stopped itself; what it had handed over is committed."""
