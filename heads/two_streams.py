"""Two recurrent streams in place of ResT's transformer: the ablation of its Table 3(a).

    x = LN(last state of an RNN or LSTM over r_1 .. r_T)             (B, D)
    a word's state = GELU(W [x, state of another one over w_1 .. w_W])

One recurrent network over both modalities tells the class by its words and learns nothing of the video, the paper says;
so x comes of the video alone here too, and words are told with x beside them. How deep they are is not published: one
layer each.

Paper: Lin et al., CVPR 2022, section 4.3, "Importance of the Transformer architecture".
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

STREAMS = {"rnn": nn.RNN, "lstm": nn.LSTM}


class TwoStreams(nn.Module):
    """What takes the place of `CrossModal`.

    Parameters
    ----------
    kind : `rnn` or `lstm`
    width, hidden_size : p and D
    """

    def __init__(self, kind: str, width: int, hidden_size: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, hidden_size)
        self.visual = STREAMS[kind](hidden_size, hidden_size, batch_first=True)
        self.words = STREAMS[kind](hidden_size, hidden_size, batch_first=True)
        self.joined = nn.Linear(2 * hidden_size, hidden_size)
        self.norm = nn.LayerNorm(hidden_size)

    def forward(self, segments: Tensor, words: Tensor, more: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `CrossModal.forward`."""
        x = self.seen(segments, more)
        states = self.words(words)[0]
        beside = x[:, None].expand(-1, states.shape[1], -1)
        return x, functional.gelu(self.joined(torch.cat([beside, states], 2)))

    def seen(self, segments: Tensor, more: Tensor | None = None) -> Tensor:
        """As `CrossModal.seen`, without further tokens, which have no place in a sequence."""
        normed: Tensor = self.norm(self.visual(self.project(segments))[0][:, -1])
        return normed
