"""Feature sets by name, for whoever computes on them.

A name without a key means the set that a run of today would make or go on with: one of films that an earlier decoder
took (it may have put their pictures in another order) is opened by its full name only, so that nobody builds on it
unawares. Of two sets that differ in the version of their extractor alone it means the later.
"""

import json
from collections.abc import Mapping
from typing import Any

import extractors
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
    if current := _latest({full: store.find(full).recipe for full in named if full not in outdated}):
        name = current[0] if len(current) == 1 else name
    return store.find(name)


def former(recipe: Mapping[str, Any]) -> str:
    """What a feature set is of that a run of today is not; empty where it is as one of today."""
    if is_outdated(recipe):
        return "an earlier decoder"
    name, version = str(recipe.get("extractor")), recipe.get("version")
    if name not in extractors.EXTRACTORS or version is None:
        return ""
    now = extractors.find(name).version
    return f"version {version} of {name}, which is at {now}" if version < now else ""


def _latest(recipes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The names of those sets of which no other is a later version."""

    def but_for_version(recipe: Mapping[str, Any]) -> str:
        return json.dumps({field: value for field, value in recipe.items() if field != "version"}, sort_keys=True)

    latest: dict[str, int] = {}
    told = {name: (but_for_version(recipe), int(recipe.get("version", 0))) for name, recipe in recipes.items()}
    for same, version in told.values():
        latest[same] = max(version, latest.get(same, version))
    return [name for name, (same, version) in told.items() if version == latest[same]]
