from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from renderer.dreaming.squeezenet import build_squeezenet, features, load_squeezenet, prepare
from renderer.errors import EnvironmentProblem

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
    with pytest.raises(EnvironmentProblem, match=r"text\.npz"):
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
    assert features(model, "fire7")(prepared[:2]).shape == (2, 384)
