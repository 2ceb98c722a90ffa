"""What features were trained on: what a recipe tells of weights stands in place of what the extractor says."""

import numpy as np
import pytest

from pipelines.learn.protocols import met_before as pretraining
from pipelines.learn.protocols.met_before import met_before, trained_on

OWN = {"dataset": "utd", "classes": ["Swipe left", "clap"], "kept_back": False}


def near_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make all names mean the same."""
    monkeypatch.setattr(pretraining, "word_vectors", lambda names: np.ones((len(names), 2)))


@pytest.mark.parametrize(
    ("feature", "told", "expected"),
    [
        ("stgcn_small@0a", OWN, ("utd (2 classes)",)),
        ("i3d_k400@0a", OWN, ("utd (2 classes)",)),
        ("stgcn@0a", {"dataset": "ntu60", "classes": []}, ("ntu60 (all classes)",)),
        ("stgcn@0a", {"dataset": "kinetics400", "classes": []}, ("Kinetics-400",)),
        ("stgcn@0a", {}, ()),
        ("i3d_k400@0a", {}, ("ImageNet-1k", "Kinetics-400")),
        ("r2plus1d_34@0a", {}, ("IG-65M", "Kinetics-400")),
        ("r2plus1d_34_segments@0a", {}, ("IG-65M", "Kinetics-400")),
        ("r2plus1d_34_ig65m@0a", {}, ("IG-65M",)),
        ("r2plus1d_18@0a", {}, ("Kinetics-400",)),
        ("i3d_k400@0a", {"dataset": "", "classes": [], "random": True}, ("nothing, the weights are random",)),
        ("imported@0a", {}, ("unknown",)),
    ],
)
def test_it_is_told_by_the_recipe_else_by_the_extractor(feature, told, expected):
    assert trained_on(feature, told) == expected


def test_classes_that_weights_saw_are_found_by_name_and_an_honest_split_has_none(monkeypatch):
    near_all(monkeypatch)
    data = trained_on("stgcn_small@0a", OWN)
    found = met_before(("wave", "swiping_left"), data, OWN, "utd")
    assert [(row.test, row.pretraining, row.how) for row in found] == [("swiping_left", "Swipe left", "name")]
    assert met_before(("wave", "Swipe right"), data, OWN, "utd") == ()


def test_of_another_data_set_what_means_the_same_counts_too(monkeypatch):
    near_all(monkeypatch)
    found = met_before(("applaud", "clap"), trained_on("stgcn_small@0a", OWN), OWN, "ntu")
    assert {(row.test, row.how) for row in found} == {("clap", "name"), ("applaud", "distance")}


def test_published_weights_of_kinetics_met_its_classes(monkeypatch):
    monkeypatch.setattr(pretraining, "_near", lambda *given: [])
    told = {"dataset": "kinetics400", "classes": []}
    (row,) = met_before(("Archery", "waiting"), trained_on("stgcn@0a", told), told, "d")
    assert (row.test, row.pretraining) == ("Archery", "archery")
