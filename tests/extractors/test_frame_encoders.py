"""Networks of frames: torchvision's and timm's, one feature a frame, whatever stands beside it."""

import pytest
import torch
from torch import nn
from torchvision import models

from extractors.errors import ExtractorError
from extractors.frame_encoders import Consensus, FrameEncoder

SIZES = {"resnet18": 512, "resnet101": 2048, "mobilenet_v2": 1280, "vgg16": 512, "googlenet": 1024}


@pytest.mark.parametrize(("name", "width"), [*SIZES.items(), ("timm:lcnet_035", 1280), ("timm:resnet10t", 512)])
def test_a_feature_a_frame(name, width):
    torch.manual_seed(0)
    encoder = FrameEncoder(name).eval()
    clips = torch.randn(2, 3, 3, 40, 40)
    with torch.no_grad():
        tokens = encoder(clips)
        assert tokens.shape == (2, 3, width)
        assert (encoder.features, encoder.tokens(3)) == (width, 3)
        alone = encoder(clips[1:, :, 2:])
    assert torch.allclose(tokens[1:, 2:], alone, rtol=1e-3, atol=1e-3)


def test_r2plus1d_gives_a_token_for_eight_frames():
    encoder = FrameEncoder("r2plus1d", 2)
    for frames in (8, 9, 16):
        assert encoder(torch.randn(1, 3, frames, 24, 24)).shape == (1, encoder.tokens(frames), 16)


def test_a_resnet_is_torchvisions():
    torch.manual_seed(0)
    theirs, mine = models.resnet18(weights=None), FrameEncoder("resnet18")
    mine.network.load_state_dict({n: each for n, each in theirs.state_dict().items() if not n.startswith("fc.")})
    theirs.fc = nn.Identity()
    frames = torch.randn(2, 3, 32, 32)
    assert torch.equal(mine(frames[None].transpose(1, 2))[0], theirs(frames))


def test_activations_computed_again_have_the_same_gradients():
    gradients = []
    for recompute in (False, True):
        torch.manual_seed(0)
        encoder = FrameEncoder("resnet18", recompute=recompute)
        encoder(torch.randn(2, 3, 2, 32, 32)).square().sum().backward()
        gradients.append([parameter.grad for parameter in encoder.parameters()] + list(encoder.buffers()))
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


def test_consensus_is_a_linear_layer_on_the_mean():
    consensus, tokens = Consensus(5, 3), torch.randn(2, 4, 5)
    assert torch.allclose(consensus(tokens), consensus.linear(sum(tokens[:, t] for t in range(4)) / 4), atol=1e-6)


@pytest.mark.parametrize("name", ["resnet", "timm:", "timm:no_such", "../resnet18", "lcnet_035"])
def test_what_is_not_there_is_named(name):
    with pytest.raises(ExtractorError, match=f"No network of frames is called {name!r}; there are: resnet18, "):
        FrameEncoder(name)
