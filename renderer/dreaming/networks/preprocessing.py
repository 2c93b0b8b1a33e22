"""How networks want their pictures, from RGB in [0, 1]. Nothing here imports TensorFlow.

A new way is one line in `PREPROCESSING` at the foot; any range of numbers needs none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from renderer.errors import UsageError

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)

_NUMBER = r"([-+]?\d+(?:\.\d+)?)"
_RANGE = re.compile(rf"(bgr:)?{_NUMBER}\.\.{_NUMBER}")

Function = Callable[[Any], Any]
"""From pictures `(..., 3)`, RGB in [0, 1], to what a network wants."""


def preprocessing(how: str) -> Function:
    """Return the function that prepares pictures for a network.

    Args:
        how: key of `PREPROCESSING`, or black and white as numbers, like `-1..1`; with `bgr:` before them the colours
            come in the order blue, green, red, like `bgr:0..255`.

    Raises:
        UsageError: it is neither.
    """
    if how in PREPROCESSING:
        return PREPROCESSING[how]
    match = _RANGE.fullmatch(how.strip().lower())
    if not match or float(match[2]) == float(match[3]):
        raise UsageError(
            f"There is no preprocessing {how[:100]!r}; known: {', '.join(PREPROCESSING)}, or black and white as "
            "numbers, like -1..1 or bgr:0..255."
        )
    black, white = float(match[2]), float(match[3])
    order = slice(None, None, -1 if match[1] else None)
    return lambda x: x[..., order] * (white - black) + black


PREPROCESSING: dict[str, Function] = {
    "unit": lambda x: x,  # as they are
    "tf": lambda x: x * 2.0 - 1.0,  # [-1, 1]
    "byte": lambda x: x * 255.0,  # 0 to 255
    "caffe": lambda x: x[..., ::-1] * 255.0 - np.array([103.939, 116.779, 123.68], np.float32),
    "torch": lambda x: (x - IMAGENET_MEAN) / IMAGENET_STD,
    "squeezenet": lambda x: x[..., ::-1] * 255.0 - np.array([104.0, 117.0, 123.0], np.float32),  # Caffe, rounded
}
