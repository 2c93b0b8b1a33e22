"""How a picture is climbed: all that is a part of the graph of a step. Nothing here imports TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How a picture is climbed.

    Attributes:
        normalise: key of `gradients.NORMALISERS`.
        bands: of the Laplacian normaliser.
        smoother: key of `gradients.SMOOTHERS`.
        smoothing: sigma of the blur of the gradient, pixels.
        centre: key of `gradients.CENTRES`.
        colours: key of `colours.COLOURS`, in which a step is made.
        optimiser: key of `optimisers.OPTIMISERS`. L-BFGS takes the gradient as it is: nothing of the above counts.
        momentum: how much of a step is the steps before it, for the optimisers that remember.
        penalties: keys of `regularisers.PENALTIES`; their weights come with each climb.
        turned: whether the picture is turned about before a step by more than a shift; see `transforms`.
        parametrisation: key of `parametrisation.PARAMETRISATIONS`.
        clip: whether the picture is held within [0, 1] after each step.
        border: places at the edges of every layer's activations that count as 0.
    """

    normalise: str = "laplacian"
    bands: int = 4
    smoother: str = "gauss"
    smoothing: float = 0.0
    centre: str = "none"
    colours: str = "rgb"
    optimiser: str = "ascent"
    momentum: float = 0.9
    penalties: tuple[str, ...] = ()
    turned: bool = False
    parametrisation: str = "pixels"
    clip: bool = False
    border: int = 0


USUAL = Manner()
"""How a picture is climbed if nothing else is asked for."""
