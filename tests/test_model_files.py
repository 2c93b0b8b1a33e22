"""Any Keras model file is a network, or says in a sentence why it is none."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from renderer.batch.jobfile import read_jobs
from renderer.dreaming.networks.network import Network, load_network
from renderer.dreaming.networks.preprocessing import PREPROCESSING, preprocessing
from renderer.errors import BadInput, DreamreelError, EnvironmentProblem, UsageError
from renderer.settings.presets import load_preset
from renderer.settings.schema import build, flatten, pixel_key


def body(side: int | None = None, *, channels: int = 3):
    picture = keras.Input((side, side, channels), name="seen")
    x = layers.Conv2D(6, 3, strides=2, padding="same", activation="relu", name="low")(picture)
    return picture, layers.Conv2D(9, 3, strides=2, padding="same", activation="relu", name="high")(x)


def with_head(side: int, *, flat: bool, last: str = "inside") -> keras.Model:
    keras.utils.set_random_seed(4)
    picture, x = body(side)
    x = layers.Flatten()(x) if flat else layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(7, activation="relu", name="hidden")(layers.Dropout(0.3)(x))
    x = layers.Dense(5, activation="softmax" if last == "inside" else None, name="kinds")(x)
    if last == "apart":
        x = layers.Softmax(name="chances")(x)
    if last == "activation":
        x = layers.Activation("softmax", name="chances")(x)
    return keras.Model(picture, x)


def saved(model: keras.Model, path: Path) -> Path:
    model.save(path)
    return path


def opened(path: Path, *, how: str | None = "unit") -> Network:
    return load_network("file", weights=path, preprocess=how, precision="float32")


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).random((1, 32, 32, 3), np.float32)


def test_a_model_file_is_a_network_with_layers_of_its_own(tmp_path):
    network = opened(saved(keras.Model(*body()), tmp_path / "mine.keras"))
    assert [info.name for info in network.layers()] == ["low", "high"]
    assert network.spec.layers == ("low", "high")
    assert network.spec.mix == {"high": 1.0}
    assert len(network.weights_sha256) == 64
    assert network.activations(["high"])(np.zeros((1, 40, 24, 3), np.float32))["high"].shape == (1, 10, 6, 9)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("last", ["inside", "apart", "activation"])
def test_its_head_gives_the_scores_before_the_softmax_at_any_size(tmp_path, photo, flat, last):
    model = with_head(32, flat=flat, last=last)
    network = opened(saved(model, tmp_path / "mine.keras"))
    assert network.side == 32
    scores = np.asarray(network.activations([network.head])(photo)[network.head])
    np.testing.assert_allclose(np.asarray(keras.ops.softmax(scores)), np.asarray(model(photo)), atol=1e-5)
    assert abs(scores.sum() - 1) > 1e-3
    larger = np.zeros((1, 48, 56, 3), np.float32)
    assert network.activations([network.head])(larger)[network.head].shape == (1, 5)
    assert network.spec.smallest >= (32 if flat else 1) - 8


def test_classes_without_names_are_found_by_number(tmp_path):
    network = opened(saved(with_head(32, flat=False), tmp_path / "mine.keras"))
    assert network.class_numbers(4) == network.class_numbers("4") == (4,)
    with pytest.raises(UsageError, match="0 to 4"):
        network.class_numbers(5)
    with pytest.raises(UsageError, match="no names"):
        network.class_numbers("tench")


def test_a_model_inside_the_model_is_laid_open(tmp_path, photo):
    keras.utils.set_random_seed(4)
    inner = keras.Model(*body(32), name="inner")
    more = keras.Sequential([layers.Conv2D(4, 1, name="mixed")], name="more")
    picture = keras.Input((32, 32, 3))
    outer = keras.Model(picture, layers.GlobalAveragePooling2D()(more(inner(layers.Rescaling(1 / 255.0)(picture)))))
    network = opened(saved(outer, tmp_path / "mine.keras"), how=None)
    assert network.spec.preprocessing == "byte"
    assert {"low", "high", "mixed"} <= {info.name for info in network.layers()}
    expected = inner(photo)
    np.testing.assert_allclose(network.activations(["high"])(photo)["high"], expected, atol=1e-5)


def test_layers_that_hold_the_size_are_left_out_where_maps_come_before_them(tmp_path):
    picture, x = body(32)
    words = layers.Reshape((64, 9))(x)
    model = keras.Model(picture, layers.LSTM(3)(words))
    network = opened(saved(model, tmp_path / "mine.keras"))
    assert network.head is None
    assert network.activations(["high"])(np.zeros((1, 64, 40, 3), np.float32))["high"].shape == (1, 16, 10, 9)


def test_pictures_are_prepared_as_the_user_says(tmp_path, photo):
    path = saved(keras.Model(*body()), tmp_path / "mine.keras")
    plain = opened(path).model
    for how in (*PREPROCESSING, "-1..1", "bgr:0..255"):
        found = opened(path, how=how).activations(["low"])(photo)["low"]
        prepared = preprocessing(how)(photo)
        wanted = keras.Model(plain.input, plain.get_layer("low").output)(prepared)
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-3, err_msg=how)


def test_ranges_say_what_black_and_white_are(photo):
    np.testing.assert_allclose(preprocessing("-1..1")(photo), PREPROCESSING["tf"](photo), atol=1e-6)
    np.testing.assert_allclose(preprocessing("0..255")(photo), PREPROCESSING["byte"](photo), atol=1e-4)
    np.testing.assert_allclose(preprocessing(" BGR:0..1 ")(photo), photo[..., ::-1])
    for wrong in ("1..1", "0-1", "..", "caffee", "", "rgb:0..1"):
        with pytest.raises(UsageError, match=r"-1\.\.1"):
            preprocessing(wrong)


def test_a_file_that_does_not_show_how_it_wants_its_pictures_asks(tmp_path):
    path = saved(keras.Model(*body()), tmp_path / "mine.keras")
    with pytest.raises(UsageError, match="--preprocess"):
        opened(path, how=None)


@keras.saving.register_keras_serializable("tests")
class Odd(layers.Layer):
    def call(self, x):
        return x + 1.0


def _text(path: Path) -> None:
    path.write_text("no model")


def _cut(path: Path) -> None:
    saved(keras.Model(*body()), path)
    path.write_bytes(path.read_bytes()[:-400])


def _weights(path: Path) -> None:
    keras.Model(*body()).save_weights(path.with_suffix(".weights.h5"))
    path.with_suffix(".weights.h5").rename(path)


def _numbers(path: Path) -> None:
    picture = keras.Input((4,))
    saved(keras.Model(picture, layers.Dense(2)(picture)), path)


def _grey(path: Path) -> None:
    saved(keras.Model(*body(channels=1)), path)


def _two(path: Path) -> None:
    first, second = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    saved(keras.Model([first, second], layers.Add()([first, second])), path)


def _lambda(path: Path) -> None:
    picture = keras.Input((8, 8, 3))
    saved(keras.Model(picture, layers.Lambda(lambda x: x * 2)(picture)), path)


def _plain_model(path: Path) -> None:
    saved(keras.Model(*body()), path)


def _rewritten(path: Path, member: str, data: bytes | None, *, add: bool = False) -> None:
    """Save a model, and put something else into its archive, or beside what is in it."""
    whole = saved(keras.Model(*body(8)), path.with_name("whole.keras"))
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if add or not name.startswith(member.partition(".npz")[0]):
                new.writestr(name, old.read(name))
        new.writestr(member, data)
    whole.unlink()


def _config(path: Path, layer: dict) -> None:
    """Write an archive whose model has this layer, which no saved model has."""
    whole = saved(keras.Model(*body(8)), path.with_name("whole.keras"))
    with zipfile.ZipFile(whole) as old:
        config = json.loads(old.read("config.json"))
    whole.unlink()
    before = config["config"]["layers"][-1]
    config["config"]["layers"].append({**before, "name": layer["config"]["name"], **layer})
    _rewritten(path, "config.json", json.dumps(config).encode())


def _gadget(path: Path) -> None:
    call = {"module": "builtins", "class_name": "function", "config": "system", "registered_name": "function"}
    config = {"name": "act", "activation": {**call, "module": "os"}}
    _config(path, {"class_name": "Activation", "module": "keras.layers", "config": config})


def _vocabulary(path: Path) -> None:
    config = {"name": "look", "vocabulary": str(Path(__file__))}
    _config(path, {"class_name": "StringLookup", "module": "keras.layers", "config": config})


class Told:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def _pickle(path: Path) -> None:
    stream = io.BytesIO()
    objects = np.array([{"0": Told(path.with_name("told"))}], dtype=object)
    np.savez(stream, **dict.fromkeys(("layers/low/vars", "layers/conv2d/vars", "layers/conv2d_1/vars"), objects))
    _rewritten(path, "model.weights.npz", stream.getvalue())


def _more_in_it(path: Path) -> None:
    _rewritten(path, "assets/words.txt", b"more", add=True)


def _up_and_away(path: Path) -> None:
    _rewritten(path, "../../model.weights.h5", b"up", add=True)


def _bomb(path: Path) -> None:
    _rewritten(path, "metadata.json", bytes(80 << 20))


def _hdf5(write) -> bytes:
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        write(file)
    return stream.getvalue()


def _shape_bomb(path: Path) -> None:
    data = _hdf5(lambda file: file.create_dataset("layers/low/vars/0", (1 << 20, 1 << 12), "f4", chunks=(64, 64)))
    _rewritten(path, "model.weights.h5", data)


def _elsewhere(path: Path) -> None:
    _rewritten(path, "model.weights.h5", _hdf5(lambda file: file.update({"a": h5py.ExternalLink("/etc/x", "/")})))


def _huge_layer(path: Path) -> None:
    _config(path, {"class_name": "Conv2D", "module": "keras.layers", "config": {"name": "big", "filters": 10**9}})


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "config.json").write_text("{}")


def _flat(path: Path) -> None:
    picture = keras.Input((8, 8, 3))
    saved(keras.Model(picture, layers.LSTM(2)(layers.Reshape((64, 3))(picture))), path)


BAD = [
    (_text, "mine.keras", "no Keras model"),
    (_text, "mine.h5", "no Keras model"),
    (_cut, "mine.keras", "no Keras model"),
    (_weights, "mine.h5", "no Keras model"),
    (_numbers, "mine.keras", r"takes \(None, 4\)"),
    (_grey, "mine.keras", "3"),
    (_two, "mine.keras", "one picture"),
    (_lambda, "mine.keras", "Lambda"),
    (_lambda, "mine.h5", "can hold programs"),
    (_plain_model, "mine.h5", "can hold programs"),
    (_gadget, "mine.keras", "no Keras model"),
    (_vocabulary, "mine.keras", "no Keras model"),
    (_pickle, "mine.keras", "no Keras model"),
    (_more_in_it, "mine.keras", "beside the model"),
    (_up_and_away, "mine.keras", "beside the model"),
    (_bomb, "mine.keras", "fill memory"),
    (_shape_bomb, "mine.keras", "fill memory"),
    (_huge_layer, "mine.keras", "fill memory"),
    (_elsewhere, "mine.keras", "reads other data"),
    (_folder, "mine.keras", "is a folder"),
    (_flat, "mine.keras", "8x8 alone"),
]


@pytest.mark.parametrize(("make", "name", "words"), BAD, ids=[make.__name__ + name for make, name, _ in BAD])
def test_a_file_that_cannot_dream_says_why_in_a_sentence(tmp_path, make, name, words):
    make(tmp_path / name)
    with pytest.raises(BadInput, match=words) as caught:
        opened(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert not (tmp_path / "told").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_weights_that_are_no_plain_files_or_read_others_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.keras")
    for name in ("file", "dreamnet", "vgg16", "squeezenet"):
        for path in (tmp_path / "pipe.keras", Path("/proc/self/environ"), Path("/dev/zero")):
            if path.exists():
                with pytest.raises(BadInput, match=path.name):
                    load_network(name, weights=path, preprocess="unit")
    (tmp_path / "far.weights.h5").write_bytes(_hdf5(lambda file: file.update({"a": h5py.SoftLink("/b")})))
    with pytest.raises(BadInput, match="reads other data"):
        load_network("vgg16", weights=tmp_path / "far.weights.h5")


def test_no_squeezenet_is_built_larger_than_its_file(tmp_path):
    for name, arrays in {
        "many": {"conv10/bias": np.zeros(10**6, np.float32)},
        "none": {"conv10/bias": np.float32(3)},
        "words": {"conv1/kernel": np.full((7, 7, 3, 96), "x")},
    }.items():
        np.savez(tmp_path / f"{name}.npz", **arrays)
        with pytest.raises(EnvironmentProblem, match=name):
            load_network("squeezenet", weights=tmp_path / f"{name}.npz")
    np.savez(tmp_path / "told.npz", **{"conv10/bias": np.array([Told(tmp_path / "told")], dtype=object)})
    with pytest.raises(EnvironmentProblem, match=r"told\.npz"):
        load_network("squeezenet", weights=tmp_path / "told.npz")
    assert not (tmp_path / "told").exists()


def test_a_layer_that_keras_does_not_know_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "mine.keras"
    picture = keras.Input((8, 8, 3))
    saved(keras.Model(picture, Odd()(picture)), path)
    monkeypatch.delitem(keras.saving.get_custom_objects(), "tests>Odd")
    monkeypatch.setattr(Odd, "__module__", "nowhere")
    with pytest.raises(BadInput, match="does not know"):
        opened(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(EnvironmentProblem, match=r"none\.keras"):
        opened(tmp_path / "none.keras")
    with pytest.raises(UsageError, match=r"--network my\.keras"):
        load_network("file")


def test_settings_take_a_path_for_a_network_and_know_it_by_its_content():
    settings = build({"network.name": "far/mine.keras", "network.preprocess": "-1..1"})
    assert (settings.network.name, settings.network.weights) == ("file", Path("far/mine.keras"))
    assert build(flatten(settings)) == settings
    moved = build({"network.name": "near/mine.keras", "network.preprocess": "-1..1"})
    keys = [
        pixel_key(s, inputs={"weights": w}, environment={}) for s, w in ((settings, "1"), (moved, "1"), (moved, "2"))
    ]
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"network.name": "mine.keras", "network.weights": "other.h5"}, "holds its weights"),
        ({"network.preprocess": "caffee"}, "network.preprocess.*caffe"),
    ],
)
def test_settings_that_contradict_each_other_or_mean_nothing_are_refused(values, words):
    with pytest.raises(DreamreelError, match=words):
        build(values)


def test_a_preset_names_a_model_file_beside_it(tmp_path):
    (tmp_path / "look.toml").write_text('[network]\nname = "nets/mine.keras"\npreprocess = "caffe"\n')
    preset = load_preset(str(tmp_path / "look.toml"))
    assert build(preset.values).network.weights == tmp_path / "nets" / "mine.keras"


def test_a_jobs_file_names_a_model_file_beside_it(tmp_path):
    jobs = tmp_path / "jobs.toml"
    jobs.write_text('[[job]]\nname = "one"\noutput = "one.mp4"\nset.network.name = "mine.h5"\n')
    (spec,) = read_jobs(jobs).specs
    assert spec.resolved.settings.network.weights == tmp_path / "mine.h5"
