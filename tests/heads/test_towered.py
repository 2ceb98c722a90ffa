"""A head above layers that are trained with it: what carries a gradient, what is kept; nothing else changes."""

import dataclasses

import pytest
import torch
from torch import nn

from heads.base import ClassTexts, Texts, Videos
from heads.er import ER, ErOptions
from heads.jigsaw import JigsawNet, JigsawOptions
from heads.nearest import Nearest, NearestOptions
from heads.towered import Towered, through
from tests.heads import made

L = 4  # tokens of the longest text


class Mean(nn.Module):
    """A linear layer on the mean of the tokens there are."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(made.A, made.A).double()

    def forward(self, states):
        return self.linear(states.nanmean(-2))


def states_of(classes: ClassTexts, seed: int) -> ClassTexts:
    """The same texts told by token states, of different lengths."""
    random = torch.Generator().manual_seed(seed)
    kinds = {}
    for kind, own in classes.kinds.items():
        states = torch.randn(len(own.features), L, made.A, generator=random, dtype=torch.float64)
        for row in range(len(states)):
            states[row, 1 + row % L :] = torch.nan
        kinds[kind] = Texts(states, own.text, own.owner)
    return ClassTexts(classes.names, kinds)


SEEN, UNSEEN = states_of(made.seen(), 1), states_of(made.unseen(), 2)
HEADS = {
    "er": lambda: ER(made.D, made.A, ErOptions(joint=6, dropout=0)),
    "jigsaw": lambda: JigsawNet(made.D, made.A, JigsawOptions(heads=2)),
}


def begun(make, captioned: bool = False) -> Towered:
    torch.manual_seed(0)
    tower = Mean()
    head = made.shaken(make())
    towered = Towered(head, tower, captioned)
    towered.begin(made.videos("none"), SEEN)
    towered.epoch()
    return towered


@pytest.mark.parametrize("name", HEADS)
def test_it_scores_as_the_head_does_on_what_the_layers_make(name):
    towered = begun(HEADS[name]).eval()
    videos = made.videos("none")
    for classes in (SEEN, UNSEEN):
        plain = classes.through(towered.text)
        assert torch.allclose(towered.scores(videos, classes), towered.head.scores(videos, plain), atol=1e-12)
        assert torch.allclose(towered.class_vectors(classes), towered.head.class_vectors(plain), atol=1e-12)
    assert towered.reads(towered.options) == towered.head.reads(towered.options)


def test_the_loss_is_that_of_the_head_and_texts_of_other_classes_carry_no_gradient():
    towered = begun(HEADS["er"])
    states = {
        kind: dataclasses.replace(own, features=own.features.clone().requires_grad_())
        for kind, own in SEEN.kinds.items()
    }
    seen = ClassTexts(SEEN.names, states)
    videos = made.videos("none").take(torch.tensor([0, 4]))  # both of class 2
    total = sum(towered.loss(videos, seen).values())
    plain = sum(towered.head.loss(videos, SEEN.through(towered.text)).values())
    assert float(total.detach()) == pytest.approx(float(plain.detach()), abs=1e-12)
    total.backward()
    own = seen["elaboration"]
    moved = own.features.grad.nan_to_num().abs().sum((1, 2)) > 0
    assert torch.equal(torch.nonzero(moved).flatten(), torch.unique(own.text[own.owner == 2]))
    assert bool((towered.text.linear.weight.grad != 0).any())


def test_what_was_made_last_is_kept_until_an_epoch_begins():
    towered = begun(HEADS["er"])
    first = made.videos("none").take(torch.tensor([0]))  # class 2
    towered.loss(first, SEEN)
    kept = towered._kept["seen"]["elaboration"].clone()
    with torch.no_grad():
        towered.text.linear.weight += 0.1
    towered.loss(made.videos("none").take(torch.tensor([1])), SEEN)  # class 0
    now = towered._kept["seen"]["elaboration"]
    own = SEEN["elaboration"]
    changed = (now != kept).any(1)
    assert torch.equal(torch.nonzero(changed).flatten(), torch.unique(own.text[own.owner == 0]))
    towered.epoch()
    towered.loss(first, SEEN)
    fresh = through(towered.text, own.features)
    assert torch.allclose(towered._kept["seen"]["elaboration"], fresh, atol=1e-12)


def test_captions_go_through_the_same_layers():
    torch.manual_seed(0)
    towered = Towered(Nearest(made.A, made.A, NearestOptions()).double(), Mean(), captioned=True)
    segments = torch.randn(made.N, made.M, L, made.A, dtype=torch.float64)
    segments[0, 1, 2:] = torch.nan
    videos = Videos(segments, made.LABELS)
    towered.begin(videos, SEEN)
    shown = torch.stack([torch.stack([towered.text(each) for each in own]) for own in segments])
    plain = towered.head.scores(Videos(shown), SEEN.through(towered.text))
    assert torch.allclose(towered.scores(videos, SEEN), plain, atol=1e-12)


def test_the_layers_are_what_learns_by_a_share_of_the_rate():
    towered = begun(HEADS["er"])
    lower = {id(parameter) for parameter in towered.lower()}
    assert lower == {id(parameter) for parameter in towered.text.parameters()}
