"""How the networks of the registry are opened: which file holds the weights, and the Keras model with them in it."""

from __future__ import annotations

import pkgutil
import warnings
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from renderer.dreaming.networks import model_file as modelfile
from renderer.dreaming.networks import squeezenet
from renderer.dreaming.networks.download import Report, fetch, weights_file
from renderer.dreaming.networks.dreamnet import SCORES
from renderer.dreaming.networks.feature_maps import smallest_side
from renderer.dreaming.networks.model_rewrite import open_up, tidy_names
from renderer.dreaming.networks.registry import NetworkSpec
from renderer.dreaming.networks.weight_files import check_weights
from renderer.errors import BadInput, EnvironmentProblem, UsageError

BUNDLED_WEIGHTS = Path(__file__).parent / "weights" / "dreamnet.keras"

SIDE = 224
"""Side of the pictures that most networks were made for, pixels."""

EFFICIENTNET_SPREAD = (0.229, 0.224, 0.225)
"""Standard deviation of ImageNet's red, green and blue; what EfficientNet's own pictures are scaled by once more."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A network that was opened.

    Attributes:
        model: without preprocessing.
        path: of the file that its weights came from.
        head: layer of its class scores, None for none.
        smallest: shortest side of a picture that the head can take, pixels.
        side: of the pictures it was made for, pixels.
    """

    model: keras.Model
    path: Path
    head: str | None = None
    smallest: int = 0
    side: int = SIDE


def open_bundled(weights: Path | None, *, spec: NetworkSpec, head: bool, report: Report | None) -> Opened:
    """Open dreamnet, or a network that was distilled as it was."""
    del spec, head, report
    path = weights or BUNDLED_WEIGHTS
    if not path.exists():
        raise EnvironmentProblem(f"The network file {path} is missing; give one with --weights, or install again.")
    try:
        model = modelfile.load_safely(path)
    except BadInput:
        raise
    except Exception as error:
        raise EnvironmentProblem(
            f"{path} is no Keras model that can be opened here: {modelfile.first_line(error)}"
        ) from error
    head_there = any(layer.name == SCORES for layer in model.layers)
    return Opened(model=model, path=path, head=SCORES if head_there else None)


def open_squeezenet(weights: Path | None, *, spec: NetworkSpec, head: bool, report: Report | None) -> Opened:
    """Open SqueezeNet v1.0; its weights are not fetched, because nobody publishes them in a form that we read."""
    del spec, head, report
    if weights is None:
        raise EnvironmentProblem(
            "The weights of 'squeezenet' are not on this machine; give them with --weights FILE.npz. "
            "docs/networks.md says how to make that file from what its authors publish."
        )
    return Opened(
        model=squeezenet.load_squeezenet(weights), path=weights, head="scores", smallest=31, side=squeezenet.SIDE
    )


def blank(spec: NetworkSpec) -> keras.Model | None:
    """Build a network of the registry with random weights, to see its layers; None where these need its weights."""
    if spec.application is not None:
        return open_up(build_application(spec.application, head=False), None)[0]
    return pkgutil.resolve_name(spec.blank)() if spec.blank else None


def open_application(weights: Path | None, *, spec: NetworkSpec, head: bool, report: Report | None) -> Opened:
    """Open a network of `keras.applications`; its weights are fetched if need be.

    Args:
        weights: a file to use in place of the network's own; None for those.
        spec: its entry in the registry.
        head: whether its class scores are wanted.
        report: told how far a download is.

    Raises:
        EnvironmentProblem: weights that are missing, broken, do not fit, or cannot be downloaded.
        BadInput: a file that cannot be weights.
    """
    application = spec.application
    assert application is not None
    try:
        path = weights or fetch(weights_file(application, head=head), report=report)
    except EnvironmentProblem as error:
        raise EnvironmentProblem(
            f"The weights of {application} are not on this machine. {error} Or give a weights file with "
            "--weights FILE. The bundled network, dreamnet, needs no download."
        ) from error
    check_weights(path)
    model, whole = _load_application(application, path, head=head)
    side = model.input_shape[1] or SIDE  # free where the head does not hold it
    _scale_efficientnet(model, application)
    opened, scores = open_up(model, str(model.layers[-1].name) if whole else None)
    smallest = smallest_side(opened, [scores]) if scores else 0
    return Opened(model=opened, path=path, head=scores, smallest=smallest, side=side)


def _load_application(application: str, path: Path, *, head: bool) -> tuple[keras.Model, bool]:
    """Build a network with the weights in a file, and tell whether they have a head; if need be, they must."""
    said = ""
    for whole in (head, not head):
        model = build_application(application, head=whole)
        try:
            _load_all_weights(model, path)
        except Exception as error:  # Keras and the file's library raise many kinds
            said = said or modelfile.first_line(error)
            continue
        if head and not whole:
            raise EnvironmentProblem(
                f"The weights in {path} have no head: it was cut off, so {application} tells no classes apart with "
                f"them. Expected are those with head, as in {weights_file(application, head=True).name}."
            )
        return model, whole
    raise EnvironmentProblem(
        f"The weights in {path} do not fit {application}: {said}. "
        f"Expected are weights of keras.applications.{application}, as .weights.h5 or .h5."
    )


def build_application(application: str, *, head: bool) -> keras.Model:
    """Build a network of `keras.applications` with random weights, its scores bare, its layers counted from zero."""
    build = getattr(keras.applications, application)
    options = {"classifier_activation": None} if head else {}
    model = build(include_top=head, weights=None, **options)
    tidy_names(model)
    return model


def _load_all_weights(model: keras.Model, weights: Path) -> None:
    """Load weights for every layer; Keras itself only warns where a file lacks some, and leaves those random."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*[Ss]kipping")
        model.load_weights(weights)


def _scale_efficientnet(model: keras.Model, application: str) -> None:
    """Divide EfficientNet's pictures by the root of their spread once more, as Keras does with ImageNet's weights.

    Keras adds a layer for it only where it loads those weights itself.
    """
    if application.startswith("EfficientNetB"):
        layer = model.get_layer("normalization")
        mean, variance, *rest = layer.get_weights()
        layer.set_weights([mean, variance * np.array(EFFICIENTNET_SPREAD, np.float32), *rest])
        layer.finalize_state()


def open_file(weights: Path | None, *, spec: NetworkSpec, head: bool, report: Report | None) -> Opened:
    """Open any Keras model file; see `model_file`."""
    del spec, head, report
    if weights is None:
        raise UsageError("The network 'file' is a Keras model file; say which, like --network my.keras.")
    model, scores, side = modelfile.open_file(weights)
    smallest = smallest_side(model, [scores]) if scores else 0
    return Opened(model=model, path=weights, head=scores, smallest=smallest, side=side or SIDE)
