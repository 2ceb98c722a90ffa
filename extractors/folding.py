"""What makes a loaded network fast without changing what it computes: one fused convolution, and what it runs on.

In eval mode BatchNorm is a scale and a shift a channel, so it goes into the convolution before it:

    scale (conv(x) - mean) / sqrt(var + eps) + bias  =  conv'(x) + bias'
    weight' = weight * g,   bias' = bias - mean * g,   g = scale / sqrt(var + eps)

Activations lie channels last (one pixel's channels beside each other). On x86 CPUs a convolution keeps its weights in
the order oneDNN wants for its shape, and ReLU and the residual sum happen while the result is still in a register
(`mkldnn::_convolution_pointwise`, the operator torch.compile lowers convolutions to). Measured on one core with
AVX-512, r2plus1d_18 in fp32: .47 s a clip, against .98 for the same folded network in torch.nn, which is slow where a
convolution is (3, 1, 1) in time (30 of the 170 GFLOP/s of a matrix product) or has many channels.

In bf16 a first layer is slow, as the matrix unit multiplies many channels at once and colours are three. Channels last,
two pixels side by side are already one of 6 channels, so a stride of 2 along a row becomes a stride of 1 over pairs:

    y[o] = sum over k of w[k] x[2 o + k - p]  =  sum over j of w'[j] x'[o + j - p / 2],   w'[j] = (w[2 j], w[2 j + 1])

with a zero before w if p is odd, and one after it if its length is. Measured on one core with AMX, the first layer of
I3D takes 39 ms so and 105 ms as it is; in fp32 it is the other way about, 166 and 149 ms.
"""

import math
import platform
from typing import Literal

import numpy as np
import torch
from torch.nn import functional

from extractors.errors import MachineFault

Activation = Literal["none", "relu", "relu6"]
_ONEDNN_NAMES: dict[str, tuple[str, list[float]]] = {
    "none": ("none", []),
    "relu": ("relu", []),
    "relu6": ("hardtanh", [0.0, 6.0]),
}


def placed(device: str, precision: str) -> tuple[torch.device, torch.dtype]:
    """The device and the dtype to compute in.

    Parameters
    ----------
    device : str
        `cpu` or `cuda[:i]`.
    precision : str
        `fp32` or `bf16`.

    Raises
    ------
    MachineFault
        No CUDA here, or bf16 asked of a CPU that has no instructions for it.
    """
    wanted = torch.device(device)
    if wanted.type == "cuda":
        if not torch.cuda.is_available():
            raise MachineFault(f"Device {device!r} was asked for and torch sees no CUDA device here. Use --device cpu.")
        # by default cuDNN rounds fp32 convolutions to TF32
        torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    elif precision == "bf16" and not has_bf16():
        raise MachineFault(
            "bf16 on a CPU needs the instruction set AVX512-BF16 or AMX-BF16, which this one lacks: it would be slower "
            "than fp32, not faster. Use precision fp32, or a GPU."
        )
    return wanted, torch.bfloat16 if precision == "bf16" else torch.float32


def has_bf16() -> bool:
    """Whether this CPU multiplies bf16 in hardware (AVX512-BF16 or AMX-BF16; on ARM the BF16 extension)."""
    has = torch.cpu.get_capabilities()
    return bool(has.get("avx512_bf16") or has.get("amx_bf16") or has.get("bf16"))


def folded(
    weight: np.ndarray, mean: np.ndarray, var: np.ndarray, eps: float, bias: np.ndarray, scale: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """A convolution's weight and bias with the BatchNorm behind it folded in.

    Parameters
    ----------
    weight : (O, I, ...) float32
    mean, var, bias, scale : (O,) float32
        The running statistics and, where the network learns them, shift and scale.
    eps : float

    Returns
    -------
    weight : (O, I, ...) float32
    bias : (O,) float32
    """
    gain = (1 if scale is None else scale.astype(np.float64)) / np.sqrt(var.astype(np.float64) + eps)
    shaped = gain.reshape(-1, *[1] * (weight.ndim - 1))
    return (weight * shaped).astype(np.float32), (bias - mean * gain).astype(np.float32)


class Convolution:
    """A convolution over 2 or 3 axes with its bias and activation, and optionally a sum before the activation.

    Parameters
    ----------
    weight : (O, I / groups, ...) float32
    bias : (O,) float32
    stride, padding : tuple of int
        One an axis; padding is with zeros, the same on both sides.
    activation : `none`, `relu` or `relu6`
    groups : int
    device, dtype : optional
        Where and in what it computes.

    The first call must come before calls from several threads: it orders the weights for the shape it sees.
    """

    def __init__(
        self,
        weight: np.ndarray,
        bias: np.ndarray,
        stride: tuple[int, ...],
        padding: tuple[int, ...],
        activation: Activation = "relu",
        groups: int = 1,
        device: torch.device | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        device = device or torch.device("cpu")
        self.stride, self.padding, self.activation, self.groups = stride, padding, activation, groups
        layout = channels_last(len(stride))
        self.kernel = weight.shape[2:]
        self.taps = int(np.prod(weight.shape[1:]))  #: multiply-adds a value of the result
        self._onednn = device.type == "cpu" and _onednn_fuses()
        self._ordered = False
        self._step, self._zeros = stride, padding
        self._pairs = self._onednn and dtype == torch.bfloat16 and weight.shape[1] == 3 and stride[-1] == 2
        if self._pairs:
            weight = _in_pairs(weight, padding[-1] % 2)
            self._step, self._zeros = (*stride[:-1], 1), (*padding[:-1], 0)
        self.weight = torch.from_numpy(weight).to(device, dtype).to(memory_format=layout)
        self.bias = torch.from_numpy(bias).to(device, dtype)

    def __call__(self, x: torch.Tensor, add: torch.Tensor | None = None) -> torch.Tensor:
        """(B, I, ...) to (B, O, ...), both channels last; `add`, of the shape of the result, is summed in first."""
        if not self._onednn:
            return self._plain(x, add)
        if self._pairs:
            x = self._paired(x)
        ones = [1] * len(self.stride)
        if not self._ordered:
            self.weight = torch.ops.mkldnn._reorder_convolution_weight(
                self.weight.contiguous(), self._zeros, self._step, ones, self.groups, list(x.shape)
            )
            self._ordered = True
        fused = torch.ops.mkldnn._convolution_pointwise
        name, limits = _ONEDNN_NAMES[self.activation]
        where = (self.weight, self.bias, self._zeros, self._step, ones, self.groups)
        if add is None:
            y: torch.Tensor = fused(x, *where, name, limits, "")
        else:
            y = fused.binary(x, add, *where, "add", 1.0, None if name == "none" else name, limits, None)
        return y

    def _paired(self, x: torch.Tensor) -> torch.Tensor:
        """Pixels (B, 3, ..., W) as pairs (B, 6, ..., P), with the zeros of the padding around them."""
        width, kernel, padding = x.shape[-1], self.kernel[-1], self.padding[-1]
        places = (width + 2 * padding - kernel) // 2 + 1
        pairs = places + self.weight.shape[-1] - 1
        before = padding + padding % 2
        rows = functional.pad(x.movedim(1, -1).flatten(-2), (3 * before, 3 * (2 * pairs - before - width)))
        return rows.view(*rows.shape[:-1], pairs, 6).movedim(-1, 1)

    def into(self, total: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """As `__call__(x, add=total)`, to the bit; may be written over `total`, which nobody else may still need.

        It spares a tensor's worth of memory traffic: up to a quarter of the time of a 1 x 1 convolution.
        """
        if not self._onednn or not self._ordered or self._pairs:
            return self(x, add=total)
        name, limits = _ONEDNN_NAMES[self.activation]
        where = (self.weight, self.bias, self.padding, self.stride, [1] * len(self.stride), self.groups)
        fused = torch.ops.mkldnn._convolution_pointwise_.binary
        y: torch.Tensor = fused(total, x, *where, "add", 1.0, None if name == "none" else name, limits, None)
        return y

    def _plain(self, x: torch.Tensor, add: torch.Tensor | None) -> torch.Tensor:
        convolve = functional.conv3d if len(self.stride) == 3 else functional.conv2d
        y = convolve(x, self.weight, self.bias, self.stride, self.padding, 1, self.groups)
        if add is not None:
            y += add
        if self.activation == "relu":
            return y.relu_()
        return y.clamp_(0, 6) if self.activation == "relu6" else y


def _in_pairs(weight: np.ndarray, before: int) -> np.ndarray:
    """A weight (O, 3, ..., k) as one of pairs (O, 6, ..., k'), after so many zeros."""
    after = (before + weight.shape[-1]) % 2
    wide = np.pad(weight, [(0, 0)] * (weight.ndim - 1) + [(before, after)])
    pairs = wide.reshape(*wide.shape[:-1], -1, 2)
    return np.ascontiguousarray(np.moveaxis(pairs, -1, 1).reshape(len(weight), 6, *pairs.shape[2:-1]))


def channels_last(axes: int) -> torch.memory_format:
    """The memory format of channels-last activations with 2 or 3 axes."""
    return torch.channels_last_3d if axes == 3 else torch.channels_last


def pixels(
    units: np.ndarray, scale: np.ndarray, shift: np.ndarray, device: torch.device, dtype: torch.dtype
) -> torch.Tensor:
    """Normalised pixels `units * scale + shift`, channels last.

    Parameters
    ----------
    units : (B, T, H, W, 3) uint8
    scale, shift : (3,) float32

    Returns
    -------
    (B, 3, T, H, W) of `dtype`, as a view of (B, T, H, W, 3) memory
    """
    batch, frames, height, width, _ = units.shape
    # a row of W * 3 values, so that the arithmetic runs over long rows and not over 3 channels at a time
    x = torch.from_numpy(np.ascontiguousarray(units)).to(device).view(batch, frames, height, width * 3).float()
    x.mul_(torch.from_numpy(np.tile(scale, width)).to(device)).add_(torch.from_numpy(np.tile(shift, width)).to(device))
    return x.to(dtype).view(batch, frames, height, width, 3).permute(0, 4, 1, 2, 3)


def in_parts(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """A batch for the first layers of a network: on a CPU clip by clip, else whole.

    The first layers' results are large, and one clip's stay in a processor's cache where four clips' do not. The last
    layers' weights are large: for those the parts are put together again, so that they are read once for all.
    """
    return torch.split(x, 1) if x.device.type == "cpu" else (x,)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME padding of one axis: zeros before and after it; the odd one goes after."""
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _onednn_fuses() -> bool:
    has: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return has and platform.machine().lower() in ("x86_64", "amd64")
