"""Colours in which a step is made: a matrix each, from the step's own colours to R, G, B.

A gradient g becomes C^T g before it is brought to one scale, and the step becomes C times that. All are scaled so that
a step of unrelated colours keeps its root mean square. A new one is one line in `COLOURS` at the foot.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from renderer.dreaming.networks.preprocessing import IMAGENET_STD

_LUCID_SPREAD = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], np.float32)

DECORRELATED: NDArray[np.float32] = _LUCID_SPREAD / np.linalg.norm(_LUCID_SPREAD, axis=0).max()
"""lucid's square root of the covariance of colours in ImageNet, by its longest column: `rgb = DECORRELATED @ own`."""


def _even(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    return (matrix * np.sqrt(3) / np.linalg.norm(matrix)).astype(np.float32)


COLOURS: dict[str, NDArray[np.float32] | None] = {
    "rgb": None,
    "natural": _even(DECORRELATED),
    "standard": _even(np.diag(IMAGENET_STD)),
}
