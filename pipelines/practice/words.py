"""Word vectors made up for the practice world: words of what is alike are near, and nobody read anything for them.

    lexicon: concept -> what it is about, words ─vectors(seed)─▶ word -> (D,) float, unit length

A concept is a random direction of its own, plus one for each thing it is about (the arms, up, a blow, ...); a word is
its concept with a little noise. So `squat` and `crouch` are near, `kick` is nearer to `leg` than `clap` is, and words
that only hold a sentence together are near to one another. That is what the vectors of words read in billions of
sentences are like, but for one thing: here it is known why.
"""

import numpy as np

WIDTH = 64
_ABOUT, _NOISE = 0.55, 0.12  # weight of what a concept is about, and of a word's own noise; a concept has 1

#: concept: what it is about: words
_LEXICON = """
raise: arm up: raise raises raised lift lifts lifting
spread: arm side: spread spreads extend extends stretch
squat: leg down: squat squats crouch crouches
kick: leg front blow: kick kicks
spin: whole turn: spin spins rotate rotates whirl around
wave: arm up greet: wave waves hello
jump: leg up air: jump jumps hop hops leap leaps
bow: trunk down front: bow bows deeply
step: leg side whole: step steps stride takes walk walks
clap: arm front sound: clap claps applaud together
punch: arm front blow: punch punches hit hits
march: leg up whole: march marches
lunge: leg front down: lunge lunges
circle: arm turn: circle circles swing swinging swings windmill
star: arm leg side air: star
lean: trunk side: lean leans tilt tilts
bend: trunk leg down: bending bends bent
straight: : straight straightens stands stand
left: : left
right: : right
arm: arm: arm arms wings
hand: arm: hand hands fist fists
leg: leg: leg legs
knee: leg: knee knees
foot: leg down: feet foot
body: trunk: body chest back upper
head: up: head overhead
up: up: up above
down: down: down low lowers lower
side: side: sideways sides side wide apart
front: front: front forward
air: air: air fly
holding: : held meet comes
often: : again times several once one other after moment
scene: : spot
linking: : a and beside both do does for in into is like of on onto out over seen so somebody that the them then
linking: : through to whole with finally somebody's person their his her
"""


def vectors(seed: int) -> dict[str, np.ndarray]:
    """Vectors (64,) of all words of the texts of the practice world, and of some that mean the same."""
    draw = np.random.default_rng([seed, WIDTH])
    directions: dict[str, np.ndarray] = {}
    found = {}
    for line in _LEXICON.strip().splitlines():
        concept, about, words = (part.strip() for part in line.split(":"))
        parts = [f"about {each}" for each in about.split()]
        for name in (concept, *parts):
            if name not in directions:
                directions[name] = draw.normal(0, 1, WIDTH) / np.sqrt(WIDTH)
        middle = directions[concept] + _ABOUT * sum((directions[part] for part in parts), np.zeros(WIDTH))
        for word in words.split():
            own = middle / np.linalg.norm(middle) + _NOISE * draw.normal(0, 1, WIDTH) / np.sqrt(WIDTH)
            found[word] = own / np.linalg.norm(own)
    return found


def written(seed: int) -> bytes:
    """A file of them: a word and its numbers a line, as GloVe's files have them."""
    lines = (f"{word} {' '.join(f'{value:.5f}' for value in own)}\n" for word, own in vectors(seed).items())
    return "".join(lines).encode()
