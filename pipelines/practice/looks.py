"""What somebody wears: colours of the practice world's figures, and how far colours are from one another.

numbers drawn from (seed, class, number) ─Look.drawn─▶ Look
"""

import dataclasses

import numpy as np

Colour = tuple[int, int, int]  # red, green, blue

_SKINS: tuple[Colour, ...] = (
    (255, 219, 186), (236, 188, 148), (224, 172, 125), (196, 138, 92), (150, 98, 62), (104, 66, 44),
)  # fmt: skip
_HAIRS: tuple[Colour, ...] = ((30, 24, 22), (62, 40, 26), (110, 72, 40), (190, 150, 84), (150, 148, 146), (120, 44, 24))
CLOTHES: tuple[Colour, ...] = (
    (196, 48, 52), (42, 92, 176), (36, 128, 82), (236, 186, 52), (112, 62, 146), (232, 120, 50), (240, 240, 236),
    (52, 58, 70), (38, 150, 168), (204, 92, 140), (128, 136, 60), (150, 180, 220),
)  # fmt: skip
_TROUSERS: tuple[Colour, ...] = ((40, 48, 82), (60, 62, 66), (120, 98, 70), (34, 34, 38), (86, 110, 140), (92, 40, 44))
_SHOES: tuple[Colour, ...] = ((24, 24, 26), (230, 230, 230), (170, 40, 40), (96, 62, 38))


@dataclasses.dataclass(frozen=True)
class Look:
    """Colours of a figure, and whether sleeves and trousers are long."""

    skin: Colour
    hair: Colour
    top: Colour
    trousers: Colour
    shoes: Colour
    long_sleeves: bool
    long_trousers: bool
    long_hair: bool
    girth: float

    @classmethod
    def drawn(cls, draw: np.random.Generator, girth: float) -> "Look":
        """A look; the colours of skin, top and trousers differ enough to be told apart."""
        skin, top = one_of(_SKINS, draw), one_of(CLOTHES, draw)
        while difference(skin, top) < 90:
            top = one_of(CLOTHES, draw)
        trousers = one_of(_TROUSERS, draw)
        while difference(trousers, top) < 80:
            trousers = one_of(_TROUSERS, draw)
        sleeves, legs, hair = (bool(each) for each in draw.random(3) < (0.45, 0.75, 0.35))
        return cls(skin, one_of(_HAIRS, draw), top, trousers, one_of(_SHOES, draw), sleeves, legs, hair, girth)


def one_of(colours: tuple[Colour, ...], draw: np.random.Generator) -> Colour:
    """One of some colours."""
    return colours[int(draw.integers(len(colours)))]


def difference(a: Colour, b: Colour) -> float:
    """How far two colours are from one another, of 442."""
    return float(np.linalg.norm(np.subtract(a, b)))
