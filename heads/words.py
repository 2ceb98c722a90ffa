"""The words of class names: what a label is as a sequence of tokens.

>>> words_of("ApplyEyeMakeup"), words_of("playing badminton (doubles)")
(['apply', 'eye', 'makeup'], ['playing', 'badminton', 'doubles'])
"""

import re
from collections.abc import Sequence

import torch
from torch import Tensor

FILL, MASK = 0, 1  #: tokens that are no words: what fills a label up, what stands for a word that is hidden
_WORD = re.compile(r"[^\W\d_]+|\d+")
_JOINED = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def words_of(name: str) -> list[str]:
    """The words of a class name in lower case, those of `CamelCase` apart; a name without any is one word itself."""
    return [word.lower() for word in _WORD.findall(_JOINED.sub(" ", name))] or [name]


def tokens_of(names: Sequence[str]) -> tuple[Tensor, int]:
    """Class names as tokens.

    Returns
    -------
    (K, W) int64, filled up on the right with `FILL`; and how many tokens there are, with the two that are no words
    """
    told = [words_of(name) for name in names]
    number = {word: k for k, word in enumerate(sorted({word for words in told for word in words}), start=2)}
    table = torch.full((len(told), max(map(len, told), default=1)), FILL)
    for row, words in zip(table, told, strict=True):
        row[: len(words)] = torch.tensor([number[word] for word in words])
    return table, len(number) + 2


def hidden(tokens: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Labels with some of their words hidden, at least one of each; drawn from torch's generator.

    Parameters
    ----------
    tokens : (B, W) int64
    share : of the words

    Returns
    -------
    The labels (B, W) with `MASK` where a word is hidden, and where that is (B, W) bool.
    """
    drawn = torch.rand(tokens.shape, device=tokens.device).masked_fill(tokens == FILL, torch.inf)
    chosen = (drawn < share) | (drawn == drawn.min(1, keepdim=True).values)
    return tokens.masked_fill(chosen, MASK), chosen
