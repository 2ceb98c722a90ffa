"""Recomputed activations: the same bits, remembered once, and less kept."""

import pytest
import torch
from torch import nn

from extractors import c3d_network, r2plus1d_network
from extractors.c3d_network import C3D
from extractors.r2plus1d_network import R2Plus1D


def network(name: str, recompute: bool) -> nn.Module:
    torch.manual_seed(0)
    return R2Plus1D(4, recompute) if name == "r2plus1d" else C3D(8, 16, 32, recompute)


def clips() -> torch.Tensor:
    return torch.randn(2, 3, 16, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["r2plus1d", "c3d"])
def test_gradients_and_what_is_remembered_are_the_same_bits(name):
    plain, again = network(name, False), network(name, True)
    for each in (plain, again):
        each.train()
        for _ in range(2):
            each(clips()).square().mean().backward()
    assert list(plain.state_dict()) == list(again.state_dict())
    for key, value in plain.state_dict().items():  # running means and variances, and how many batches they saw
        assert torch.equal(value, again.state_dict()[key]), key
    for (key, one), other in zip(plain.named_parameters(), again.parameters(), strict=True):
        assert one.grad is not None
        assert torch.equal(one.grad, other.grad), key
    if name == "r2plus1d":
        assert again.stem[1].num_batches_tracked == 2
        assert again.stem[1].running_mean.abs().sum() > 0
    with torch.no_grad():
        assert torch.equal(plain.eval()(clips()), again.eval()(clips()))


def kept_bytes(compute, modules: nn.Module) -> int:
    """Bytes of all that is kept for the way back but the weights, each storage once."""
    kept: dict[int, int] = {}
    held, weights = [], {each.untyped_storage().data_ptr() for each in modules.parameters()}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        held.append(tensor)  # else its place is given to another
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        compute()
    return sum(kept.values())


@pytest.mark.parametrize(("name", "share"), [("r2plus1d", 0.45), ("c3d", 0.6)])
def test_at_its_peak_less_is_kept(name, share, monkeypatch):
    """On the way back a part is computed again when what came after it is gone, and what came before it is not."""
    plain, again, parts = network(name, False).train(), network(name, True).train(), []
    whole = kept_bytes(lambda: plain(clips()), plain)
    module = {"r2plus1d": r2plus1d_network, "c3d": c3d_network}[name]
    with monkeypatch.context() as noted:
        noted.setattr(module, "recomputed", lambda part, x, _: parts.append((part, x.detach())) or part(x))
        again(clips())
    forward = kept_bytes(lambda: again(clips()), again)
    before, peak = 0, forward
    for part, x in parts:
        own = kept_bytes(lambda part=part, x=x: part(x.requires_grad_()), again)
        peak = max(peak, before + own)
        before += x.nbytes
    assert forward < before + 0.1 * whole
    assert peak < share * whole, f"{peak} of {whole} bytes, {forward} on the way forward"
