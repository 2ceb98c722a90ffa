"""Whether joints are in the order they are said to be: bones join neighbours.

    poses of some sequences ──doubt──▶ None, or why their order is doubted and which other layout fits

Bones that join other joints than they should are long. So the bones of a layout are measured against the shortest tree
that joins all joints (their median distances over a sequence). Measured on 400 sequences each of UTD-MHAD and NW-UCLA,
20 joints, 1st, 50th and 99th percentile: the right order 1.12, 1.28, 1.39 and 1.09, 1.19, 1.51; the other data set's
order 1.49, 1.68, 1.85 and 1.41, 1.56, 1.97; each joint one place on 2.67, 3.07, 3.43 and 2.02, 2.36, 2.90; shuffled
from 2.4 upwards. How much bones stretch over time tells less, for people who stand keep any distance: in the mean 2.1
and 4.4 % of the size of the body in the right order, 2.2 and 4.6 % in the other one. Left for right cannot be seen.
"""

from collections.abc import Sequence

import numpy as np
from scipy.sparse.csgraph import minimum_spanning_tree

from extractors import joints
from extractors.joints import Layout
from extractors.poses import Poses

_OTHER_FITS = 0.88  # of another layout, as a share of the stated one's
_NONE_FITS = 1.9
_JOINTS_LEAST = 5


def doubt(sequences: Sequence[Poses]) -> str | None:
    """Why the order of the joints of some sequences of one layout is doubted; None where nothing speaks against it."""
    stated = sequences[0].layout
    own = _median(sequences, stated)
    alike = [
        each
        for each in joints.LAYOUTS.values()
        if len(each.joints) == len(stated.joints) and each.axes == stated.axes and each != stated
    ]
    ratios = {each.name: _median(sequences, each) for each in alike}
    measured = f"their bones are {own:.2f} times as long as the shortest that join all joints"
    best = min(ratios, key=lambda name: ratios[name]) if ratios else None
    if best and ratios[best] < _OTHER_FITS * own:
        return (
            f"The joints are said to be in the order of {stated.name}, and {best} fits better: {measured}, "
            f"{ratios[best]:.2f} in that order. Index them with --layout {best} if that is what they are."
        )
    if own > _NONE_FITS:
        return (
            f"The joints do not seem to be in the order of {stated.name}: {measured}, where right ones are up to 1.5. "
            "Name another --layout, or declare their own in a file, with --declare."
        )
    return None


def length_ratio(poses: Poses, layout: Layout) -> float:
    """Length of a layout's bones over that of the shortest tree of its joints, of the first person; NaN if unknown.

    Parameters
    ----------
    poses : Poses
    layout : Layout
        Of as many joints as the poses have.
    """
    places = poses.coordinates[:, 0, :, : layout.axes].astype(np.float64)
    places = places[np.isfinite(places).all((1, 2))]  # frames in which all joints were seen
    if len(places) < 2 or places.shape[1] < _JOINTS_LEAST:
        return float("nan")
    places = places[:: max(1, len(places) // 32)]
    apart = np.median(np.linalg.norm(places[:, :, None] - places[:, None], axis=-1), axis=0)
    tree = float(minimum_spanning_tree(apart).sum())
    a, b = np.array(layout.bones).T
    return float(apart[a, b].sum()) / tree if tree > 0 else float("nan")


def _median(sequences: Sequence[Poses], layout: Layout) -> float:
    ratios = np.array([length_ratio(poses, layout) for poses in sequences])
    return float(np.median(ratios[np.isfinite(ratios)])) if np.isfinite(ratios).any() else 0.0
