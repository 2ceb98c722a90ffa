"""Errors of the stores, as one tree.

StoreError                 anything a user can mend; its message is the one line shown
├── NotInStore             a name that matches no feature set, data set or run
├── Ambiguous              a name that matches several
├── Unanswered             an object store that has taken a request and says nothing
├── WriteFailed            a commit that did not happen (full disk, permissions, network)
├── Damaged                stored bytes that do not fit their digest, or cannot be read
│   └── Hollow             a feature set whose creation was cut short: it holds nothing
├── BadQuery               SQL that cannot be answered
└── BadFile                a foreign file (HDF5, npy, Parquet) that is not of a layout known here
"""


class StoreError(Exception):
    """A fault of use or of the disk: message says what rule, what value, where, what to do."""


class NotInStore(StoreError):
    """A name that matches nothing; the message lists what there is."""


class Ambiguous(StoreError):
    """A name that matches several; the message lists them."""


class WriteFailed(StoreError):
    """A commit that did not happen; what earlier commits hold is untouched."""


class Unanswered(StoreError):
    """An object store has not answered in time; whether it did what it was asked is not known."""


class Damaged(StoreError):
    """Stored bytes that cannot be read back as they were written."""


class Hollow(Damaged):
    """A feature set whose creation was cut short; the next extraction makes it again."""


class BadFile(StoreError):
    """A foreign file whose layout is not known here."""


class BadQuery(StoreError):
    """SQL that is none, names what there is not, or would do more than read."""
