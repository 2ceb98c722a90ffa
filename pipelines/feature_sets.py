"""Feature sets by name, for whoever computes on them.

A name without a key means the set that a run of today would make or go on with: one of films that an earlier decoder
took (it may have put their pictures in another order) is opened by its full name only, so that nobody builds on it
unawares.
"""

from extractors.recipe import is_outdated
from pipelines.errors import UsageError
from stores.features import FeatureSet, FeatureStore
from stores.root import Root


def find(root: Root, name: str) -> FeatureSet:
    """The feature set called `extractor` or `extractor@keyprefix`.

    Raises
    ------
    NotInStore, Ambiguous
        None or several match; the message lists them.
    UsageError
        A name without a key, of which an earlier decoder made all there are.
    """
    store = FeatureStore(root)
    named = [] if "@" in name else [full for full in store.names() if full.partition("@")[0] == name]
    outdated = [full for full in named if is_outdated(store.find(full).recipe)]
    if outdated and len(outdated) == len(named):
        raise UsageError(
            f"{name} was made by an earlier decoder, which took the pictures of some films in another order (AVI, "
            "joined or mirrored films, VP8) and other frames for some samplings. Extract it anew: "
            f"`zsar extract {name} --dataset NAME`; or name the old set in full to use it as it is: "
            f"{', '.join(outdated)}."
        )
    if len(named) == len(outdated) + 1:
        name = next(full for full in named if full not in outdated)
    return store.find(name)
