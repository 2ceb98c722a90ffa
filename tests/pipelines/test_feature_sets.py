"""Sets of an earlier decoder or version: listed, readable by full names, not what a short name means beside today's."""

import pytest

from extractors.recipe import DECODER, Recipe, is_outdated
from pipelines import feature_sets
from pipelines.errors import UsageError
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig, VerifyConfig
from pipelines.extract.verify import verify
from pipelines.look.export import export
from pipelines.look.listing import features
from pipelines.look.settings import ExportConfig
from stores.errors import Ambiguous, NotInStore
from stores.features import FeatureStore, ItemRows
from stores.root import Root


def now(root: Root) -> str:
    """The full name of the set that a run of today makes."""
    return extract(ExtractConfig(features=("fake",), dataset="d"), root).features[0].name


def made_before(root: Root, like: str, probe: str = "0123456789abcdef0123456789abcdef") -> str:
    """A set of the same rows by an earlier decoder: its probe is a digest without a version."""
    store = FeatureStore(root)
    given = store.find(like)
    recipe = Recipe.from_dict({**given.recipe, "probe": probe})
    outputs = {name: (tuple(o["shape"]), o["dtype"]) for name, o in given.recipe["outputs"].items()}
    store.create(recipe.name, recipe.to_dict(), recipe.key, outputs)
    return recipe.name


@pytest.mark.parametrize(
    ("probe", "outdated"),
    [("bb6499f26e8d889e47d448bb1708cbcc", True), ("1-bb64", True), (f"{DECODER}-bb64", False), ("", False)],
)
def test_a_recipe_without_a_version_of_the_decoder_is_of_an_earlier_one(probe, outdated):
    assert is_outdated({"probe": probe}) == outdated
    assert not is_outdated({})


def test_a_short_name_means_the_set_of_todays_decoder(root, fake, videos):
    today = now(root)
    before = made_before(root, today)
    assert feature_sets.find(root, "fake").name == today
    assert feature_sets.find(root, before).name == before
    states = {row["name"]: row["state"] for row in features(root)}
    assert states == {today: "good", before: "of an earlier decoder: extract it anew"}


def test_where_only_an_earlier_decoder_made_it_a_short_name_says_what_to_do(root, fake, videos, tmp_path):
    before = made_before(root, now(root))
    FeatureStore(root).drop(feature_sets.find(root, "fake").name)
    with pytest.raises(UsageError, match=f"fake was made by an earlier decoder.*zsar extract fake.*{before}"):
        export(ExportConfig(feature="fake", out=str(tmp_path / "f.h5"), dataset="d", format="hdf5"), root)
    assert feature_sets.find(root, before).name == before
    assert feature_sets.find(root, now(root)).name == feature_sets.find(root, "fake").name, "the advice works"


def test_a_set_of_an_earlier_decoder_is_checked_but_not_computed_again(root, fake, videos):
    store = FeatureStore(root)
    today = store.find(now(root))
    before = store.find(made_before(root, today.name))
    key = today.keys()[0]
    rows = today.rows(0)
    before.append([ItemRows(key.tobytes(), rows.values, rows.times)])
    (report,) = verify(VerifyConfig(features=(before.name,), recompute=1), root)
    assert (report.items, report.damaged, report.recomputed) == (1, (), 0)
    assert "of an earlier decoder" in report.note
    assert f"`zsar drop {before.name}`" in report.note


def test_several_sets_of_today_are_still_told_apart_by_their_keys(root, fake, videos):
    today = now(root)
    made_before(root, today)
    made_before(root, today, f"{DECODER}-another FFmpeg")
    with pytest.raises(Ambiguous):
        feature_sets.find(root, "fake")
    with pytest.raises(NotInStore):
        feature_sets.find(root, "nothing")


@pytest.fixture
def of_version_1(root, fake, videos, monkeypatch) -> tuple[str, str]:
    """Two sets that differ in the version of their extractor alone: of version 1, and of 2, which is today's."""
    before = now(root)
    monkeypatch.setattr(fake, "version", 2)
    return before, now(root)


def test_a_later_version_is_what_a_short_name_means(root, of_version_1):
    before, today = of_version_1
    assert before != today
    assert feature_sets.find(root, "fake").name == today
    assert feature_sets.find(root, before).load().values.shape == feature_sets.find(root, today).load().values.shape
    states = {row["name"]: row["state"] for row in features(root)}
    assert states == {today: "good", before: "of version 1 of fake, which is at 2: extract it anew"}


def test_where_only_an_earlier_version_is_a_short_name_still_means_it(root, of_version_1):
    before, today = of_version_1
    FeatureStore(root).drop(today)
    assert feature_sets.find(root, "fake").name == before
    (report,) = verify(VerifyConfig(features=(before,), recompute=1), root)
    assert report.damaged == ()
    assert f"{before} is of version 1 of fake, which is at 2: its rows can be read and checked" in report.note


def test_sets_that_differ_in_more_than_a_version_are_several(root, of_version_1):
    FeatureStore(root).drop(of_version_1[1])
    extract(ExtractConfig(features=("fake",), dataset="d", weights=("fake=random:7",)), root)
    with pytest.raises(Ambiguous):
        feature_sets.find(root, "fake")
