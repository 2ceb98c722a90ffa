"""The graph of a layout's joints, partitioned as ST-GCN's spatial configuration has it.

    Layout ─distances─▶ (V, V) hops ─spatial─▶ A (3, V, V) float32: root, centripetal, centrifugal

With D[w] = sum over v of (A0 + I)[v, w], the entry of v and w, joined or one joint, is 1 / D[w] in one of the three
subsets and 0 in the other two: columns of their sum are one. With r(v) the hops from v to the centre,

    A[0]   v = w
    A[1]   r(v) > r(w), what comes in towards the centre, and r(v) = r(w)
    A[2]   r(v) < r(w), what goes out

The published code counts hops up to 1 only, so that joints further from the centre than that compare as equal; its
weights fit that graph alone. `cap=None` counts them all: the partition that the paper describes.

Paper: Yan et al., Spatial Temporal Graph Convolutional Networks, AAAI 2018, section 3.3 (spatial configuration) and
equation 10, which normalises with D^-1/2 A D^-1/2 where the published code has A D^-1, as here.
"""

import numpy as np

from extractors.joints import Layout

#: how far hops are counted in the published code
PUBLISHED_CAP = 1


def distances(joints: int, bones: tuple[tuple[int, int], ...], cap: int | None = None) -> np.ndarray:
    """Hops between joints.

    Parameters
    ----------
    joints : int
    bones : tuple of (int, int)
    cap : int or None
        Count hops up to this number; None counts them all.

    Returns
    -------
    (V, V) float64, infinite where there is no way, or none within `cap`
    """
    joined = np.zeros((joints, joints), bool)
    for a, b in bones:
        joined[a, b] = joined[b, a] = True
    hops = np.full((joints, joints), np.inf)
    reached = np.eye(joints, dtype=bool)
    for hop in range(1 + (joints - 1 if cap is None else cap)):
        hops[reached & np.isinf(hops)] = hop
        reached = (reached.astype(int) @ joined) > 0
    return hops


def spatial(layout: Layout, cap: int | None = PUBLISHED_CAP) -> np.ndarray:
    """The partitioned, column-normalised adjacency of a layout.

    Parameters
    ----------
    layout : Layout
    cap : int or None
        How far hops to the centre are counted: 1 as published, None for the true partition.

    Returns
    -------
    (3, V, V) float32

    Examples
    --------
    >>> from extractors.joints import NTU_25
    >>> [int((part > 0).sum()) for part in spatial(NTU_25)]
    [25, 40, 8]
    >>> [int((part > 0).sum()) for part in spatial(NTU_25, cap=None)]
    [25, 24, 24]
    """
    joints = len(layout.joints)
    hops = distances(joints, layout.bones, 1)
    near = hops <= 1
    weight = near / near.sum(0)
    to_centre = distances(joints, layout.bones, cap)[:, layout.centre]
    outward = to_centre[:, None] < to_centre[None, :]
    subsets = (hops == 0, (hops == 1) & ~outward, (hops == 1) & outward)
    return np.stack([np.where(subset, weight, 0) for subset in subsets]).astype(np.float32)
