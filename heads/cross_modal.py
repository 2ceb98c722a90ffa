"""ResT's transformer: visual tokens, and the words of a label behind a mask, in one stack.

    z_0 = [CLS], r_1 .. r_T (projected to D), w_1 .. w_W          each with a learned position
    z'  = LN(MSA(z) + z),   z = LN(MLP(z') + z')                  L layers, GELU
    x   = LN(z_L[CLS])                                            (B, D)

[CLS] and visual tokens attend to each other alone; a word attends to them, to the words on its left, and to itself. So
no word reaches x, and a video without a label has the same x. `attention=full` is the paper's ablation: all attend to
all.

The paper does not say where positions come from, how words are cut or embedded, or how much drops out. Learned
positions, whole words with a learned vector each, and a dropout of .1 are ours.

Paper: Lin et al., Cross-modal Representation Learning for Zero-shot Action Recognition, CVPR 2022, section 3.2,
supplement C.1 (equations 7 to 9).
"""

import torch
from torch import Tensor, nn

ATTENTION = ("single", "full")
STD = 0.02  #: of fresh positions, [CLS] and words, as BERT has it


class CrossModal(nn.Module):
    """The transformer.

    Parameters
    ----------
    width : p, of what a visual token is projected from
    tokens : T, at most
    hidden_size : D
    depth, heads : L, and heads of attention
    dropout : within the layers
    attention : `single`: visual tokens see no word; `full`: all see all
    """

    def __init__(
        self,
        width: int,
        tokens: int,
        hidden_size: int,
        depth: int,
        heads: int,
        dropout: float,
        attention: str = "single",
    ) -> None:
        super().__init__()
        if hidden_size % heads:
            raise ValueError(f"hidden_size must be a multiple of heads, got {hidden_size} and {heads}.")
        if attention not in ATTENTION:
            raise ValueError(f"attention is {' or '.join(ATTENTION)}, got {attention!r}.")
        self._full = attention == "full"
        self.project = nn.Linear(width, hidden_size)
        self.cls = nn.Parameter(torch.empty(hidden_size))
        self.positions = nn.Parameter(torch.empty(1 + tokens, hidden_size))
        for fresh in (self.cls, self.positions):
            nn.init.normal_(fresh, std=STD)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(hidden_size, heads, 4 * hidden_size, dropout, "gelu", batch_first=True)
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(hidden_size)

    def forward(self, segments: Tensor, words: Tensor, more: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Both modalities.

        Parameters
        ----------
        segments : (B, T, p)
        words : (B, W, D)
            As they are embedded, at their positions.
        more : (B, r, D), optional
            Further visual tokens, which say themselves where they are; NaN where there are none.

        Returns
        -------
        x (B, D), and the last layer's state of each word (B, W, D)
        """
        visual = self._visual(segments, more)
        out = self._through(torch.cat([visual, words], 1), self._mask(visual.shape[1], words.shape[1], words.device))
        return self.norm(out[:, 0]), out[:, visual.shape[1] :]

    def seen(self, segments: Tensor, more: Tensor | None = None) -> Tensor:
        """(B, T, p) -> x (B, D), of videos alone."""
        normed: Tensor = self.norm(self._through(self._visual(segments, more), None)[:, 0])
        return normed

    def _visual(self, segments: Tensor, more: Tensor | None) -> Tensor:
        """(B, 1 + T + r, D): [CLS] and the visual tokens, at their positions."""
        tokens = self.project(segments)
        first = self.cls.expand(len(tokens), 1, -1)
        placed = torch.cat([first, tokens], 1) + self.positions[: 1 + tokens.shape[1]]
        return placed if more is None else torch.cat([placed, more], 1)

    def _through(self, z: Tensor, mask: Tensor | None) -> Tensor:
        lacking = z.isnan().any(2)
        absent = torch.zeros_like(lacking, dtype=z.dtype).masked_fill(lacking, -torch.inf) if lacking.any() else None
        bias = None if mask is None else torch.zeros_like(mask, dtype=z.dtype).masked_fill(mask, -torch.inf)
        z = z.masked_fill(lacking[:, :, None], 0)  # nobody looks there
        for layer in self.layers:
            z = layer(z, src_mask=bias, src_key_padding_mask=absent)
        return z

    def _mask(self, visual: int, words: int, device: torch.device) -> Tensor | None:
        """(S, S) bool, true where a row's token must not look."""
        if self._full:
            return None
        mask = torch.ones(visual + words, visual + words, dtype=torch.bool, device=device).triu(1)
        mask[:visual, :visual] = False
        return mask
