"""Networks of frames to train from the beginning: a clip in, a feature a frame out.

    (B, 3, T, H, W) float ─frame by frame─▶ feature after the last average pooling (B, T, p)

torchvision's ResNets, MobileNetV2, VGG16 and GoogLeNet, and every network of timm by `timm:NAME`. `r2plus1d` looks at
frames together: its features are averaged over space alone, so that a token stands for eight frames. VGG16's last
pooling leaves 7 x 7 places of 512; their mean is taken here.

Paper: Lin et al., Cross-modal Representation Learning for Zero-shot Action Recognition (ResT), CVPR 2022, section 3.2.
"""

from collections.abc import Callable

from torch import Tensor, nn

from extractors.errors import ExtractorError
from extractors.r2plus1d_network import PUBLISHED_WIDTH, R2Plus1D
from extractors.recompute import recomputed

_TIMM = "timm:"


def _resnet(name: str) -> nn.Module:
    from torchvision import models

    network: nn.Module = getattr(models, name)(weights=None)
    network.fc = nn.Identity()
    return network


def _mobilenet() -> nn.Module:
    from torchvision.models import mobilenet_v2

    network: nn.Module = mobilenet_v2(weights=None)
    network.classifier = nn.Identity()
    return network


def _vgg() -> nn.Module:
    from torchvision.models import vgg16

    return nn.Sequential(vgg16(weights=None).features, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _googlenet() -> nn.Module:
    from torchvision.models import googlenet

    network: nn.Module = googlenet(weights=None, aux_logits=False, init_weights=True)
    network.fc = nn.Identity()
    return network


_OF_FRAMES: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "resnet18": (lambda: _resnet("resnet18"), 512),
    "resnet34": (lambda: _resnet("resnet34"), 512),
    "resnet50": (lambda: _resnet("resnet50"), 2048),
    "resnet101": (lambda: _resnet("resnet101"), 2048),
    "mobilenet_v2": (_mobilenet, 1280),
    "vgg16": (_vgg, 512),
    "googlenet": (_googlenet, 1024),
}
NAMES = (*_OF_FRAMES, "r2plus1d", f"{_TIMM}NAME")


class FrameEncoder(nn.Module):
    """A network of frames, its weights drawn from torch's generator.

    Parameters
    ----------
    name : of `NAMES`
    width : of the first layer of `r2plus1d`
    recompute : activations are computed again on the way back instead of kept

    Attributes
    ----------
    features : p

    Raises
    ------
    ExtractorError
        Nothing is called so.
    """

    def __init__(self, name: str, width: int = PUBLISHED_WIDTH, recompute: bool = False) -> None:
        super().__init__()
        self._clips = name == "r2plus1d"
        self._recompute = recompute and not self._clips
        if self._clips:
            self.network: nn.Module = R2Plus1D(width, recompute)
            self.features = 8 * width
        elif name in _OF_FRAMES:
            make, self.features = _OF_FRAMES[name]
            self.network = make()
        else:
            self.network = _of_timm(name)
            self.features = int(getattr(self.network, "head_hidden_size", self.network.num_features))  # type: ignore[arg-type]

    def tokens(self, frames: int) -> int:
        """How many tokens so many frames give."""
        return -(-frames // 8) if self._clips else frames

    def forward(self, clips: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, tokens, p)."""
        if isinstance(self.network, R2Plus1D):
            return self.network.places(clips).mean((3, 4)).transpose(1, 2)
        frames = clips.transpose(1, 2).flatten(0, 1)
        found: Tensor = recomputed(self.network, frames, self.network) if self._recompute else self.network(frames)
        return found.view(len(clips), clips.shape[2], -1)


def _of_timm(name: str) -> nn.Module:
    import timm

    known = name.removeprefix(_TIMM)
    if not name.startswith(_TIMM) or not timm.is_model(known):
        raise ExtractorError(f"No network of frames is called {name!r}; there are: {', '.join(NAMES)} as timm has it.")
    network: nn.Module = timm.create_model(known, pretrained=False, num_classes=0)
    return network


class Consensus(nn.Module):
    """What tells classes apart by the mean of all tokens, to train an encoder alone: (B, T, p) -> (B, K)."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, p) -> logits (B, K)."""
        logits: Tensor = self.linear(tokens.mean(1))
        return logits
