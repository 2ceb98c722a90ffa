"""The networks of clips that are trained: the published ones, at any width."""

import pytest
import torch
from torch import nn
from torchvision.models.video import r2plus1d_18

from extractors import c3d
from extractors.c3d_network import C3D, last_places
from extractors.r2plus1d_network import R2Plus1D


def test_r2plus1d_is_torchvisions_network_without_its_classifier():
    torch.manual_seed(0)
    theirs, mine = r2plus1d_18(weights=None), R2Plus1D()
    mine.load_state_dict({name: each for name, each in theirs.state_dict().items() if not name.startswith("fc.")})
    theirs.fc = nn.Identity()
    clips = torch.randn(2, 3, 8, 32, 32)
    for network in (theirs, mine):
        network.train()
    assert torch.equal(mine(clips)[:, 0], theirs(clips))
    assert mine.features == 512


@pytest.mark.parametrize("width", [1, 3, 8])
def test_r2plus1d_of_any_width_takes_clips_of_any_size(width):
    network = R2Plus1D(width)
    assert network(torch.randn(2, 3, 5, 24, 40)).shape == (2, 1, 8 * width)
    assert network.stem[3].out_channels == width
    network(torch.randn(2, 3, 5, 24, 40)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_c3d_has_the_published_names_and_shapes():
    with torch.device("meta"):
        network = C3D()
    own = {name: tuple(each.shape) for name, each in network.state_dict().items()}
    assert own == c3d.shapes()


@pytest.mark.parametrize(("frames", "size"), [(16, 112), (16, 32), (20, 48), (33, 60)])
def test_c3d_knows_what_its_pools_leave_of_a_clip(frames, size):
    places = torch.zeros(1, 1, frames, size, size)
    for kernel, padding in (((1, 2, 2), 0), ((2, 2, 2), 0), ((2, 2, 2), 0), ((2, 2, 2), 0), ((2, 2, 2), (0, 1, 1))):
        places = nn.functional.max_pool3d(places, kernel, kernel, padding)
    assert last_places(frames, size) == tuple(places.shape[2:])
    assert C3D(1, frames, size)(torch.randn(2, 3, frames, size, size)).shape == (2, 1, 64)


def test_c3d_refuses_clips_that_its_pools_leave_nothing_of():
    with pytest.raises(ValueError, match="16 frames of 32 x 32 at least, got 8 of 112 x 112"):
        C3D(1, 8, 112)
