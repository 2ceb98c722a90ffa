"""Recordings: which items were cut from one film, or are one performance seen by several cameras.

    what a layout tells of an item ──with_recording──▶ "train,recording=NAME" ──recording_of──▶ NAME

So an item says it while it is indexed. The manifest has a column of its own for it (`stores.manifest`).

Under GZSL recordings are kept whole. A manifest that was written before this was told says nothing, and then neither do
we: what is done there is said in `pipelines.learn.protocols.fifths`.
"""

_NAME = "recording="


def with_recording(split: str | None, recording: str | None) -> str | None:
    """What is said of an item's split, with its recording at the end.

    A comma in a name becomes a space: the column is also read as `name=value,name=value`, and who reads it so must find
    the same recording.

    Examples
    --------
    >>> with_recording("1:train,2:test", "v_Run_g01"), with_recording(None, None)
    ('1:train,2:test,recording=v_Run_g01', None)
    """
    return split if recording is None else ",".join(filter(None, (split, _NAME + recording.replace(",", " "))))


def recording_of(split: str | None) -> str | None:
    """The recording that the `split` column names, or None.

    Examples
    --------
    >>> recording_of("subject=1,recording=S001P001R001A001"), recording_of("train")
    ('S001P001R001A001', None)
    """
    return ("," + (split or "")).partition("," + _NAME)[2] or None


def filled(split: str | None, known: str | None) -> str | None:
    """What the `split` column says of an item, and of what it does not say what was known before.

    Examples
    --------
    >>> filled("recording=v_Run_g01", "test"), filled("train", "test,recording=v_Run_g01"), filled(None, "test")
    ('test,recording=v_Run_g01', 'train,recording=v_Run_g01', 'test')
    """
    return with_recording(_rest(split) or _rest(known), recording_of(split) or recording_of(known))


def _rest(split: str | None) -> str | None:
    return ("," + (split or "")).partition("," + _NAME)[0][1:] or None
