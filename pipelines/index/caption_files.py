"""Files of captions, as people and data sets write them, record by record.

    JSON lines      {"video": id, "class": label, "captions": [text, ...]}, a record a video or a record a caption
    JSON            the same in a list; {id: [text, ...] or record}; {id: text}, where all are texts
    CSV, TSV        with column names: video_id, caption
    MSVD            CSV: VideoID, Start, End, Language, Description: the English ones, of the video VideoID_Start_End
    MSR-VTT         {"videos": [...], "sentences": [{"video_id": ..., "caption": ...}, ...]}
    VATEX           [{"videoID": ..., "enCap": [...], "chCap": [...]}, ...]: the English ones
    ActivityNet     {id: {"duration": ..., "timestamps": ..., "sentences": [...]}}: all sentences, of the whole video

What is read of a video is one id, one label or none, and its texts; fields of texts that are not taken are named with
the record. What is wrong with a record is a `Problem` with its line; the rest is read.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pipelines import csv_rows
from pipelines.json_documents import Members, is_spread, json_document
from pipelines.lines import Line, Problem, gathered, is_json_lines, json_lines, lines, opened, or_empty, sampled
from pipelines.wording import control, unfit
from stores.keys import folded
from untrusted.names import few

_ID_FIELDS = ("video", "video_id", "videoID", "id")
_LABEL_FIELDS = ("class", "label", "action", "category")
_TEXT_FIELDS = (
    *("captions", "caption", "sentences", "sentence", "texts", "text", "descriptions", "description"),
    *("enCap", "golden_caption"),
)
_LEFT_OUT = ("chCap",)
_MSVD = {"videoid", "start", "end", "language", "description"}
TAKEN = (
    'JSON lines or a list of {"video": id, "class": label, "captions": [text, ...]}, a record a video or a caption, '
    "an object of ids with their texts, CSV with the columns video and caption, and the files of MSR-VTT, MSVD, "
    "VATEX and ActivityNet Captions"
)


class Told(NamedTuple):
    """What a record tells of a video.

    Attributes
    ----------
    video_id, label, texts, line : of which video, its class or None, captions in their order, place in the file; no
        captions where the whole record is left out
    left_out : fields that may tell of it too, and are not taken
    """

    video_id: str
    label: str | None
    texts: tuple[str, ...]
    line: int
    left_out: tuple[str, ...] = ()


def read(path: str) -> Iterator[Told | Problem]:
    """The records of a file in its order; raises UsageError where it cannot be opened or is no text."""
    with opened(path) as stream:
        yield from or_empty(_records(Path(path).name.lower().removesuffix(".gz"), lines(stream)))


def _records(name: str, numbered: Iterator[Line | Problem]) -> Iterator[Told | Problem]:
    sample, everything = sampled(numbered)
    first = sample[0] if sample else ""
    start = first.lstrip()[:1]
    is_named_lines = name.endswith((".jsonl", ".ndjson")) and not is_spread(sample)
    if is_named_lines or (start == "{" and is_json_lines(sample, _ID_FIELDS)):
        yield from _json_lines(everything)
    elif name.endswith((".json", ".jsonl", ".ndjson")) or start in ("{", "["):
        yield from _json(everything)
    elif delimiter := csv_rows.delimiter_of(first, "", _is_header):
        yield from _csv(everything, delimiter)
    elif sample:
        yield Problem(1, f"begins with {first[:40]!r}; taken are {TAKEN}")
    else:  # what cannot be read at all is named by its lines
        yield from (entry for entry in everything if isinstance(entry, Problem))


def _is_header(names: list[str]) -> bool:
    return all(any(field.lower() in names for field in fields) for fields in (_ID_FIELDS, _TEXT_FIELDS))


def _csv(numbered: Iterable[Line | Problem], delimiter: str) -> Iterator[Told | Problem]:
    for entry in csv_rows.records(numbered, delimiter, _is_header, _is_header):
        if isinstance(entry, Problem):
            yield entry
        elif isinstance(entry[1], dict) and entry[1].keys() >= _MSVD:
            yield _from_msvd(entry[1], entry[0])
        else:
            yield _told(entry[1], entry[0])


def _from_msvd(fields: Mapping[str, Any], number: int) -> Told | Problem:
    """A row of MSVD: several clips are cut from one VideoID, and a clip is described in many languages."""
    if fields["language"] != "English":
        return Told("", None, (), number, (f"Language {fields['language']}",))
    return _told(fields, number, "_".join(str(fields[name]) for name in ("videoid", "start", "end")))


def _json_lines(numbered: Iterable[Line | Problem]) -> Iterator[Told | Problem]:
    for entry in json_lines(numbered):
        if isinstance(entry, Problem):
            yield entry
        elif isinstance(entry[1], list) and all(isinstance(fields, Mapping) for fields in entry[1]):
            yield from (_told(fields, entry[0]) for fields in entry[1])
        else:
            yield _told(entry[1], entry[0])


def _json(numbered: Iterable[Line | Problem]) -> Iterator[Told | Problem]:
    for entry in json_document(numbered):
        if isinstance(entry, Problem):
            yield entry
        elif isinstance(entry, Members):
            yield from _from_object(entry)
        else:
            yield _told(entry[1], entry[0])


def _from_object(members: Members) -> Iterator[Told | Problem]:
    """MSR-VTT's object, a record, or ids with what is told of each."""
    fields = gathered((name, value) for _, name, value in members.items)
    sentences = fields.get("sentences")
    known = {*_ID_FIELDS, *_LABEL_FIELDS, *_TEXT_FIELDS, *_LEFT_OUT}
    if isinstance(sentences, list) and any(isinstance(sentence, Mapping) for sentence in sentences):
        yield from _from_msrvtt(fields.get("videos"), sentences, members)
    elif any(isinstance(fields.get(field), str) for field in _ID_FIELDS) and _texts_of(fields)[0]:
        yield _told(fields, members.line)
    elif fields and all(isinstance(value, str) for value in fields.values()) and not known.intersection(fields):
        yield from (_told({"caption": value}, line, name) for line, name, value in members.items)
    elif any(_is_of_video(value) for value in fields.values()):
        for line, name, value in members.items:
            if isinstance(value, str):  # a caption, or a word about the file
                yield Problem(line, f"has a text of {name!r} beside records and lists: put a caption into a list")
            else:
                yield _told(value if isinstance(value, Mapping) else {"captions": value}, line, name)
    else:
        shown = [name if name.isprintable() else repr(name) for name in fields]
        some = few(shown, 5)
        yield Problem(members.line, f"begins an object of {some or 'nothing'}; taken are {TAKEN}")


def _is_of_video(value: Any) -> bool:
    is_texts = isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)
    return is_texts or (isinstance(value, Mapping) and bool(_texts_of(value)[0]))


def _from_msrvtt(videos: Any, sentences: list[Any], members: Members) -> Iterator[Told | Problem]:
    """Sentences under their videos' labels; a video without any is a problem."""
    line_of = {name: line for line, name, _ in members.items}
    by_id: dict[str, Mapping[str, Any]] = {}
    for video in videos if isinstance(videos, list) else []:
        video_id = video.get("video_id") if isinstance(video, Mapping) else None
        if isinstance(video_id, str):
            by_id[video_id] = video
        else:
            yield Problem(line_of["videos"], f"has a video without a 'video_id' that is text: {str(video)[:80]!r}")
    told = set()
    for sentence in sentences:
        video_id = sentence.get("video_id") if isinstance(sentence, Mapping) else None
        if isinstance(video_id, str):
            told.add(video_id)
            own = by_id.get(video_id, {})
            sentence = {**{field: own[field] for field in _LABEL_FIELDS if own.get(field)}, **sentence}
        yield _told(sentence, line_of["sentences"])
    for video_id in by_id:
        if video_id not in told:
            yield Problem(line_of["videos"], f"names {video_id!r} among its videos, and no sentence of it")


def _texts_of(fields: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The field that is taken, and those that are not."""
    there = [field for field in _TEXT_FIELDS if fields.get(field) is not None]
    return there[0] if there else "", (*there[1:], *(field for field in _LEFT_OUT if field in fields))


def _told(fields: Any, number: int, video_id: Any = None) -> Told | Problem:
    if not isinstance(fields, Mapping):
        return Problem(number, f"should be an object, got {type(fields).__name__}")
    if video_id is None:
        video_id = next((fields[f] for f in (*_ID_FIELDS, "videoid") if f in fields), None)
    label = next((fields[f] for f in _LABEL_FIELDS if fields.get(f) not in (None, "")), None)
    field, left_out = _texts_of(fields)
    if not isinstance(video_id, str) or not video_id.strip():
        return Problem(number, f"names no video: a field {' or '.join(map(repr, _ID_FIELDS))} is needed")
    if label is not None and label == fields.get("category") and not isinstance(label, str):
        label, left_out = None, (*left_out, "category")  # MSR-VTT's number of a topic, whose name stands elsewhere
    if label is not None and not isinstance(label, str):
        return Problem(number, f"has a label of {video_id!r} that is no name: {label!r}")
    if wrong := control(video_id) or control(label or ""):
        return Problem(number, f"{wrong}, in the id or the label of {video_id!r}")
    told = fields.get(field)
    texts = [told] if isinstance(told, str) else told
    if not isinstance(texts, list) or not texts:
        instead = f" ({', '.join(left_out)} is not taken)" if left_out else ""
        needed = "a field 'captions' with a list of texts is needed"
        return Problem(number, f"has no captions of {video_id!r}: {needed}{instead}")
    clean = []
    for given in texts:
        if not isinstance(given, str) or not (text := folded(given)):
            return Problem(number, f"has a caption of {video_id!r} that is no text: {given!r}")
        if wrong := unfit(text):
            return Problem(number, f"has a caption of {video_id!r} that {wrong}")
        clean.append(text)
    return Told(video_id, label, tuple(clean), number, left_out)
