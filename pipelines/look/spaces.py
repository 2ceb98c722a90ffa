"""Which spaces of a cache hold videos and phrases alike, and why another is not comparable.

    captions      vectors of texts that stand for videos; a phrase goes through the same encoder
    word space    `words` of E2E's networks; a phrase goes through the word vectors these were trained towards
    a run         where a fitted head has videos and texts (`head_space.py`)
    objects       names of what was recognised, by an encoder of texts (`object_names.py`); a phrase goes through it too

A cosine between anything else says nothing: two encoders that happen to be as wide are two spaces. Without a name the
space of most segments is asked; that of objects, which say what is in sight and not what is done, where there is no
other.
"""

import dataclasses
from collections.abc import Sequence

from extractors.errors import ExtractorError
from pipelines import feature_sets
from pipelines.errors import UsageError
from pipelines.extract.again import encoder_here
from pipelines.extract.caption_rows import kind_of
from pipelines.look.object_names import IDS, has_objects
from pipelines.look.segments import segments
from pipelines.look.settings import ENCODER
from stores.errors import Damaged, StoreError
from stores.features import FeatureSet, FeatureStore
from stores.padded import has_states
from stores.root import Root
from stores.runs import Runs
from untrusted.names import few

WORDS = "words"  #: the output of E2E's networks that lies among word vectors


@dataclasses.dataclass(frozen=True)
class Space:
    """What of a cache a phrase may be compared with, or may not.

    Attributes
    ----------
    name : of a feature set or a run, in full
    output : of the feature set; empty of a run
    texts : feature set whose extractor encodes phrases, and objects' names; empty where there is none
    segments : that it holds; 0 of a run, which is as many as its features have
    why_not : why a phrase cannot be compared; empty where it can
    """

    name: str
    output: str
    texts: str
    segments: int
    why_not: str

    @property
    def of_objects(self) -> bool:
        """Whether names of recognised objects stand for videos."""
        return self.output == IDS

    @property
    def shared(self) -> str:
        """What is compared with what."""
        if self.of_objects:
            return f"names of recognised objects and phrases by {self.texts}"
        if not self.output:
            return f"videos and phrases by {self.texts}, as its head has them"
        return "captions and phrases" if self.name == self.texts else f"{self.output} and phrases by {self.texts}"


def spaces(root: Root, encoder: str = ENCODER, weights: Sequence[str] = ()) -> list[Space]:
    """Every feature set and every run of a head, those that can be compared first; as `space_of`."""
    store = FeatureStore(root)
    found = []
    for name in store.names():
        try:
            found.append(space_of(store.find(name), root, encoder, weights))
        except Damaged as error:
            found.append(Space(name, "", "", 0, str(error)))
    runs = Runs(root)
    for name in runs.names():
        feature = runs.about(name)["texts"]["feature"]
        found.append(Space(name, "", feature, 0, _why_no_run(name, root)))
    return sorted(found, key=lambda each: bool(each.why_not))


def space_of(feature_set: FeatureSet, root: Root, encoder: str = ENCODER, weights: Sequence[str] = ()) -> Space:
    """What a phrase can be compared with in a feature set; names of objects go through `encoder`."""
    name = feature_set.name
    extractor = name.partition("@")[0]
    if before := feature_sets.former(feature_set.recipe):
        return Space(name, "", "", 0, f"it is of {before}: extract it anew")
    if kind_of(feature_set) == "caption_group":
        if has_states(feature_set):
            return Space(name, "", "", 0, "it holds token states, many a text; a set of vectors of texts is compared")
        count = len(segments(feature_set, root))
        why = f"it holds no captions of videos: `zsar index captions.jsonl --kind captions`, `zsar extract {extractor}`"
        return Space(name, "features", name, count, "" if count else why)
    if WORDS in feature_set.outputs:
        texts = str((feature_set.recipe.get("preprocessing") or {}).get("texts") or "")
        held = texts in FeatureStore(root).names()
        why = f"phrases would go through {texts or 'unknown word vectors'}, which this cache has not"
        return Space(name, WORDS, texts, len(segments(feature_set, root)), "" if held else why)
    if has_objects(feature_set):
        texts, why = "", ""
        try:
            texts = encoder_here(encoder, root, weights)
        except (ExtractorError, StoreError, UsageError) as error:
            why = f"names of its objects would go through {encoder}: {str(error).rstrip('.')}"
        return Space(name, IDS, texts, len(segments(feature_set, root)), why)
    why = "it is of videos alone, no text lies there: fit a head on it (`zsar fit`), then --feature RUN"
    return Space(name, "", "", len(segments(feature_set, root)), why)


def space_for(
    phrase: str, feature: str, root: Root, encoder: str = ENCODER, weights: Sequence[str] = ()
) -> tuple[Space, list[str]]:
    """The space to compare a phrase in, and what is to be said of the choice.

    Parameters
    ----------
    phrase : that is to be compared
    feature : a feature set or a run; empty: the feature set that holds most segments of those that can be compared
    root : Root
    encoder, weights : that names of objects go through, and its weights where they are a file of one's own

    Raises
    ------
    UsageError
        None can be compared, or not the one that was named; the message says why.
    NotInStore, Ambiguous
        No feature set and no run is called so, or several.
    """
    if feature:
        if run := _run(feature, root):
            return Space(run, "", Runs(root).about(run)["texts"]["feature"], 0, ""), []
        space = space_of(feature_sets.find(root, feature), root, encoder, weights)
        if space.why_not:
            names = [each.name for each in spaces(root, encoder, weights) if not each.why_not]
            raise UsageError(
                f"{phrase!r} cannot be compared with {space.name}: {space.why_not}. "
                f"A phrase can be compared with: {few(names, like=feature) or 'nothing here'}."
            )
        return space, []
    every = spaces(root, encoder, weights)
    sets = [each for each in every if each.output]
    can = [each for each in sets if not each.why_not]
    if not can:
        raise UsageError(
            f"{phrase!r} can be compared with nothing in {root.url}. "
            + ("".join(f"{each.name}: {each.why_not}. " for each in every) or "It has no features. ")
            + "See `zsar query --spaces`."
        )
    best = min(can, key=lambda each: (each.of_objects, -each.segments, each.name))
    others = [each.name for each in can if each is not best]
    return best, [f"Other spaces: {few(others)} (--feature)."] if others else []


def _run(name: str, root: Root) -> str:
    """The run that is called so, or begins so, where no feature set is called so."""
    try:
        FeatureStore(root).resolve(name)
        return ""
    except StoreError:
        runs = Runs(root)
        return runs.find(name) if any(each.startswith(name) for each in runs.names()) else ""


def _why_no_run(name: str, root: Root) -> str:
    """Why a run's head has no space, as far as is told without reading its weights."""
    from pipelines.look.head_space import why_not  # it brings torch

    return why_not(name, root)
