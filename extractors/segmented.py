"""A network of clips that is shown several of a video: segments one after the other, a feature each.

    (B, 3, m T, H, W) ─m clips of T frames─▶ (B m, 3, T, H, W) ─network─▶ (B, m, D)

Of the network all is trained, or its last stage or block alone: what lies below then keeps its weights, and what its
BatchNorm remembers, and has no gradient.
"""

from torch import Tensor, nn

from extractors.r2plus1d_network import R2Plus1D

TRAINED = ("all", "last_stage", "last_block", "head")


class Segmented(nn.Module):
    """R(2+1)D on the segments of videos.

    Parameters
    ----------
    network : R2Plus1D
    segments : m
    trained : `all`; `last_stage`: its fourth layer; `last_block`: the second half of that; `head`: nothing
    """

    def __init__(self, network: R2Plus1D, segments: int, trained: str = "all") -> None:
        super().__init__()
        if trained not in TRAINED:
            raise ValueError(f"trained is {', '.join(TRAINED[:-1])} or {TRAINED[-1]}, got {trained!r}.")
        self.network, self.segments, self.features = network, segments, network.features
        parts: dict[str, nn.Module] = dict(network.named_children())
        stage, block = parts["layer4"], next(iter(network.layer4))
        lower = [part for part in parts.values() if part is not stage]
        still = {"all": [], "last_stage": lower, "last_block": [*lower, block], "head": [*parts.values()]}
        self._still = still[trained]
        for part in self._still:
            part.requires_grad_(False)

    def train(self, mode: bool = True) -> "Segmented":
        """As `Module.train`; what is not trained stays as it is in evaluation."""
        super().train(mode)
        for part in self._still:
            part.eval()
        return self

    def forward(self, clips: Tensor) -> Tensor:
        """(B, 3, m T, H, W) -> (B, m, D)."""
        batch, colours, frames, *sides = clips.shape
        parts = clips.view(batch, colours, self.segments, frames // self.segments, *sides).transpose(1, 2)
        found: Tensor = self.network(parts.flatten(0, 1))
        return found.view(batch, self.segments, -1)
