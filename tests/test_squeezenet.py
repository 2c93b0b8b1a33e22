from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest

from renderer.dreaming.networks.preprocessing import PREPROCESSING
from renderer.dreaming.networks.squeezenet import build_squeezenet, load_squeezenet
from renderer.errors import BadInput, EnvironmentProblem

prepare = PREPROCESSING["squeezenet"]
SHARED = Path(__file__).parents[1].parent / "shared" / "data"
WEIGHTS = SHARED / "weights" / "squeezenet_v1.0_imagenet.npz"


def save(path: Path, model, **changes: np.ndarray) -> None:
    arrays = {}
    for layer in model.layers:
        if layer.weights:
            arrays[f"{layer.name}/kernel"], arrays[f"{layer.name}/bias"] = layer.get_weights()
    np.savez(path, **(arrays | changes))


def test_weights_come_back_from_the_file_whole(tmp_path):
    model = build_squeezenet(classes=5)
    save(tmp_path / "w.npz", model)
    again = load_squeezenet(tmp_path / "w.npz")
    picture = np.random.default_rng(0).uniform(-100, 100, (1, 67, 71, 3)).astype(np.float32)
    np.testing.assert_allclose(model(picture), again(picture), rtol=1e-5)
    assert again.output.shape == (None, 5)


def test_weights_that_do_not_fit_are_refused_by_name(tmp_path):
    model = build_squeezenet(classes=5)
    save(tmp_path / "w.npz", model, **{"fire3_squeeze1x1/bias": np.zeros(3, np.float32)})
    with pytest.raises(EnvironmentProblem, match="fire3_squeeze1x1/bias holds shape"):
        load_squeezenet(tmp_path / "w.npz")
    (tmp_path / "text.npz").write_text("no weights here")
    with pytest.raises(BadInput, match=r"text\.npz"):
        load_squeezenet(tmp_path / "text.npz")
    with pytest.raises(EnvironmentProblem, match="does not exist"):
        load_squeezenet(tmp_path / "nowhere.npz")


def test_pictures_are_prepared_as_blue_green_red_less_the_mean():
    prepared = prepare(np.array([[[1.0, 0.5, 0.0]]], np.float32))
    np.testing.assert_allclose(prepared[0, 0], [-104, 127.5 - 117, 255 - 123])


@pytest.mark.shared
@pytest.mark.skipif(not WEIGHTS.exists(), reason="the folder ../shared with real weights is absent")
def test_it_knows_most_things_on_photographs():
    files = sorted((SHARED / "photos").glob("*.jpg"))
    chosen = list(range(12, len(files), 40))  # 25 of 1,000
    pictures = []
    for i in chosen:
        photo = cv2.imread(str(files[i]))[..., ::-1]
        height, width = photo.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = cv2.resize(photo[top : top + side, left : left + side], (227, 227), interpolation=cv2.INTER_AREA)
        pictures.append(square.astype(np.float32) / 255)
    model = load_squeezenet(WEIGHTS)
    prepared = prepare(np.stack(pictures))
    order = np.argsort(-np.asarray(model(prepared)), axis=1)
    first = np.mean([order[k, 0] == i for k, i in enumerate(chosen)])
    fifth = np.mean([i in order[k, :5] for k, i in enumerate(chosen)])
    assert first > 0.4
    assert fifth > 0.65


def recipe(place: int) -> str:
    """One of the two programs in the documentation that make the weights file."""
    page = Path(__file__).parents[1] / "docs" / "networks.md"
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)[place]


class Layered:
    """Random weights of SqueezeNet as its authors, or torchvision, hold them: `(output, input, height, width)`."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.kernels = {}
        for layer in build_squeezenet().layers:
            if layer.weights:
                shape = layer.kernel.shape
                self.kernels[layer.name] = rng.normal(0, 0.1, (shape[3], shape[2], shape[0], shape[1])).astype("f")
        self.biases = {name: rng.normal(0, 0.1, len(kernel)).astype("f") for name, kernel in self.kernels.items()}

    def conv1(self, prepared: np.ndarray) -> np.ndarray:
        """Its first layer on a prepared picture `(7, 7, 3)`: one position."""
        found = np.einsum("oihw,hwi->o", self.kernels["conv1"], prepared) + self.biases["conv1"]
        return np.maximum(found, 0)


def first_layer(path: Path, picture: np.ndarray) -> np.ndarray:
    model = load_squeezenet(path)
    padded = np.pad(picture, ((0, 32), (0, 32), (0, 0)))
    return np.asarray(keras.Model(model.input, model.get_layer("conv1").output)(prepare(padded)[None]))[0, 0, 0]


def test_the_recipe_for_the_authors_weights_makes_a_file_that_fits(tmp_path, monkeypatch):
    theirs = Layered()

    class Net:
        def getParam(self, name: str, which: int) -> np.ndarray:
            name = name.replace("/", "_")
            return theirs.biases[name].reshape(1, 1, 1, -1) if which else theirs.kernels[name]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cv2.dnn, "readNetFromCaffe", lambda *_: Net(), raising=False)
    exec(recipe(0), {})  # noqa: S102
    picture = np.random.default_rng(1).random((7, 7, 3), np.float32)
    expected = theirs.conv1(picture[..., ::-1] * 255 - np.array([104, 117, 123]))
    np.testing.assert_allclose(first_layer(tmp_path / "squeezenet.npz", picture), expected, rtol=1e-3, atol=1e-2)


def test_the_recipe_for_torchvisions_weights_takes_up_the_other_preparation(tmp_path, monkeypatch):
    theirs = Layered()
    at = {f"features.{at}": f"fire{n}" for n, at in {2: 3, 3: 4, 4: 5, 5: 7, 6: 8, 7: 9, 8: 10, 9: 12}.items()}
    state = {}
    for name, kernel in theirs.kernels.items():
        fire, _, part = name.partition("_")
        where = {"conv1": "features.0", "conv10": "classifier.1"}.get(name)
        where = where or f"{next(k for k, v in at.items() if v == fire)}.{part.replace('squeeze1x1', 'squeeze')}"
        for kind, values in (("weight", kernel), ("bias", theirs.biases[name])):
            state[f"{where}.{kind}"] = types.SimpleNamespace(numpy=lambda values=values: values)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(load=lambda *_, **__: state))
    exec(recipe(1), {})  # noqa: S102
    picture = np.random.default_rng(1).random((7, 7, 3), np.float32)
    expected = theirs.conv1((picture - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225]))
    np.testing.assert_allclose(first_layer(tmp_path / "squeezenet.npz", picture), expected, rtol=1e-3, atol=1e-3)
