"""Filters, classes and neighbours: what `dreamreel networks` shows of a network, from a tiny one in a file."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from typer.testing import CliRunner

from renderer.cli.main import app
from renderer.dreaming.networks.download import MIRROR
from renderer.dreaming.networks.network import Network, load_network
from renderer.dreaming.networks.registry import NETWORKS
from renderer.errors import BadInput, UsageError
from renderer.inspect.classify import classify
from renderer.inspect.filters import enlarged, filter_sheet, first_filters
from renderer.inspect.nearest_images import similar, similarities
from renderer.media.images import read_image, write_image

COLOURS = {"red": (0.9, 0.1, 0.1), "green": (0.1, 0.9, 0.1), "blue": (0.1, 0.1, 0.9)}


def eye(order: str = "rgb") -> keras.Model:
    """A network that finds red, green and blue: one filter and one class for each."""
    kernel = np.zeros((3, 3, 3, 3), np.float32)
    for channel, colour in enumerate(order):
        kernel[1, 1, channel, "rgb".index(colour)] = 1.0
    picture = keras.Input((None, None, 3))
    layer = layers.Conv2D(3, 3, padding="same", activation="relu", name="colours")
    maps = layer(picture)
    layer.set_weights([kernel, np.zeros(3, np.float32)])
    scores = layers.Dense(3, activation="softmax", use_bias=False, name="kinds")
    out = scores(layers.GlobalAveragePooling2D()(maps))
    scores.set_weights([8 * np.eye(3, dtype=np.float32)])
    return keras.Model(picture, out)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A network file, a folder of pictures of one colour each, and things in it that are no pictures."""
    folder = tmp_path_factory.mktemp("looking")
    (folder / "pictures").mkdir()
    eye().save(folder / "eye.keras")
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        for number in range(3):
            picture = np.float32(colour) + rng.normal(0, 0.03, (20, 24, 3)).astype(np.float32)
            write_image(picture, folder / "pictures" / f"{name}-{number}.png")
    (folder / "pictures" / "broken.jpg").write_text("no picture")
    (folder / "pictures" / ".hidden.png").write_text("no picture")
    return folder


@pytest.fixture
def network(folder) -> Network:
    return load_network("file", weights=folder / "eye.keras", preprocess="unit", precision="float32")


def run(*args):
    return CliRunner().invoke(app, [str(arg) for arg in ("networks", *args)])


def test_a_picture_is_put_into_its_class_with_scores_and_probabilities(network, folder):
    paths = [folder / "pictures" / f"{name}-0.png" for name in COLOURS]
    for number, (path, guesses) in enumerate(classify(network, paths, top=3)):
        assert path == paths[number]
        assert guesses[0].number == number
        assert [g.score for g in guesses] == sorted((g.score for g in guesses), reverse=True)
        assert sum(g.probability for g in guesses) == pytest.approx(1)
        mean = read_image(path).mean((0, 1))
        assert guesses[0].score == pytest.approx(8 * mean[number], rel=0.05)
    with pytest.raises(UsageError, match="--top"):
        next(classify(network, paths, top=0))


def test_classes_have_names_where_there_are_imagenets_thousand(folder):
    picture = keras.Input((None, None, 3))
    scores = layers.GlobalAveragePooling2D()(layers.Conv2D(1000, 3, name="all")(picture))
    spec = NETWORKS["squeezenet"]
    head = "scores"
    model = keras.Model(picture, layers.Activation("linear", name=head)(scores))
    ((_, guesses),) = classify(Network("x", model, spec=spec, head=head), [folder / "pictures" / "red-0.png"])
    assert len(guesses) == 5
    assert not any(guess.name.isdecimal() for guess in guesses)


def test_the_pictures_most_alike_come_first_and_the_one_asked_for_is_left_out(network, folder):
    found, _ = similar(network, folder / "pictures" / "green-1.png", folder / "pictures", layer="colours", top=4)
    assert {one.path.name for one in found[:2]} == {"green-0.png", "green-2.png"}
    assert len(found) == 4
    assert found[0].similarity > 0.95 > 0.5 > found[2].similarity


def test_files_that_are_no_pictures_are_named_and_passed_over(network, folder):
    found, passed_over = similar(network, folder / "pictures" / "red-0.png", folder / "pictures")
    assert [(path.name, "not a picture" in why) for path, why in passed_over] == [("broken.jpg", True)]
    assert len(found) == 8


def test_a_picture_is_like_itself_and_a_channel_that_is_always_high_says_nothing():
    rng = np.random.default_rng(0)
    features = rng.normal(0, 1, (6, 5)).astype(np.float32)
    features[3] = features[0]
    lifted = features + np.float32([1000, 0, 0, 0, 0])
    alike = similarities(lifted)
    assert alike.argmax() == 2
    assert alike.max() == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(alike, similarities(features), atol=2e-2)
    assert similarities(features[:2]).shape == (1,)


def test_a_search_that_cannot_be_made_says_why(network, folder, tmp_path):
    picture = folder / "pictures" / "red-0.png"
    with pytest.raises(UsageError, match="'colours'"):
        similar(network, picture, folder, layer="colors")
    with pytest.raises(BadInput, match="does not exist"):
        similar(network, picture, tmp_path / "none")
    with pytest.raises(BadInput, match="no picture to compare"):
        similar(network, picture, tmp_path)
    with pytest.raises(BadInput, match="not a folder"):
        similar(network, picture, picture)


@pytest.mark.parametrize(("order", "how"), [("rgb", "unit"), ("bgr", "bgr:0..255")])
def test_filters_are_shown_in_the_colours_of_the_picture(order, how):
    from dataclasses import replace

    spec = replace(NETWORKS["dreamnet"], preprocessing=how)
    name, filters = first_filters(Network("eye", eye(order), spec=spec))
    assert name == "colours"
    assert filters.shape == (3, 3, 3, 3)
    np.testing.assert_allclose(filters[:, 1, 1] / filters.max(), np.eye(3), atol=1e-6)


def test_filters_are_enlarged_without_smoothing_around_middle_grey():
    kernel = np.zeros((2, 2, 3), np.float32)
    kernel[0, 1] = (4.0, -4.0, 2.0)
    shown = enlarged(kernel, 5)
    assert shown.shape == (10, 10, 3)
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) == 2
    np.testing.assert_allclose(shown[0, 9], (1.0, 0.0, 0.75))
    np.testing.assert_allclose(shown[9, 9], 0.5)


def test_filters_on_other_things_than_colours_are_grey():
    keras.utils.set_random_seed(1)
    picture = keras.Input((None, None, 3))
    mixed = layers.Conv2D(8, 1, name="mix")(picture)
    deep = keras.Model(picture, layers.Conv2D(5, 3, name="look")(mixed))
    thin = keras.Model(picture, layers.DepthwiseConv2D(3, depth_multiplier=2, name="each")(picture))
    for model, layer, count in ((deep, "look", 5), (thin, "each", 6)):
        name, filters = first_filters(Network("x", model, spec=NETWORKS["dreamnet"]))
        assert (name, filters.shape) == (layer, (count, 3, 3, 3))
        assert (filters[..., 0] == filters[..., 2]).all()
    none = keras.Model(picture, layers.MaxPooling2D()(picture))
    with pytest.raises(UsageError, match="no convolution"):
        filter_sheet(Network("x", none, spec=NETWORKS["dreamnet"]))


def test_classify_prints_a_line_for_each_picture(folder):
    pictures = [folder / "pictures" / f"{name}-0.png" for name in ("red", "blue")]
    given = ("--network", folder / "eye.keras", "--preprocess", "unit")
    done = run("classify", *pictures, *given, "--top", 2)
    assert done.exit_code == 0, done.output
    assert [line.split(": ")[1][0] for line in done.stdout.splitlines()] == ["0", "2"]
    rows = [json.loads(line) for line in run("classify", *pictures, *given, "--json").stdout.splitlines()]
    assert [row["classes"][0]["number"] for row in rows] == [0, 2]
    assert rows[0]["path"] == str(pictures[0])


def test_similar_prints_what_it_finds_and_draws_it(folder, tmp_path):
    picture, sheet = folder / "pictures" / "blue-2.png", tmp_path / "sheet.png"
    given = ("--in", folder / "pictures", "--network", folder / "eye.keras", "--preprocess", "unit", "--top", 2)
    done = run("similar", picture, *given, "-o", sheet)
    assert done.exit_code == 0, done.output
    assert {Path(line.split()[1]).name for line in done.stdout.splitlines()} == {"blue-0.png", "blue-1.png"}
    assert "broken.jpg" in done.stderr
    assert read_image(sheet).shape[1] > 2 * 224
    assert run("similar", picture, *given, "-o", sheet).exit_code == 2


def test_filters_and_layers_of_a_model_file(folder, tmp_path):
    sheet = tmp_path / "filters.png"
    done = run("filters", folder / "eye.keras", "--preprocess", "unit", "-o", sheet, "--json")
    assert json.loads(done.stdout)["path"] == str(sheet)
    assert read_image(sheet).shape[0] > 96
    rows = run("layers", folder / "eye.keras", "--preprocess", "unit", "--json").stdout.splitlines()
    assert [json.loads(row)["name"] for row in rows] == ["colours"]


def test_layers_are_listed_before_any_weights_are_here(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for name in ("squeezenet", "vgg16"):
        rows = [json.loads(line) for line in run("layers", name, "--json").stdout.splitlines()]
        assert {row["name"] for row in rows if row["recommended"]} == set(NETWORKS[name].layers)
    assert not list(tmp_path.iterdir())


def test_the_list_tells_which_weights_are_here(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5").touch()
    rows = {(row := json.loads(line))["name"]: row for line in run("list", "--json").stdout.splitlines()}
    assert rows.keys() == NETWORKS.keys()
    there = {name: rows[name]["weights"] for name in ("dreamnet", "squeezenet", "vgg16", "vgg19")}
    assert there == {"dreamnet": "bundled", "squeezenet": "--weights", "vgg16": "here", "vgg19": "to fetch"}


BAD = [
    (["classify", "none.png"], 4, "none.png"),
    (["classify", "red.png"], 5, "--weights"),
    (["classify", "red.png", "--network", "dreamnet"], 2, "no head"),
    (["classify", "red.png", "--network", "none.keras"], 5, "none.keras"),
    (["classify", "red.png", "--network", "squeezent"], 2, "'squeezenet'"),
    (["classify", "red.png", "--network", "text.keras", "--preprocess", "tf"], 4, "no Keras model"),
    (["classify", "red.png", "--network", "dreamnet", "--preprocess", "caffee"], 2, "caffe"),
    (["similar", "red.png", "--in", "nowhere"], 4, "nowhere"),
    (["similar", "red.png", "--in", ".", "-o", "x.mp4"], 2, "like a picture"),
    (["similar", "red.png", "--in", ".", "-o", "red.png", "--overwrite"], 2, "is an input"),
    (["filters", "vgg16", "-o", "x.png"], 5, "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    (["fetch", "vgg16"], 5, "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    (["fetch", "squeezenet"], 2, "docs/networks.md"),
    (["fetch", "vgg61"], 2, "'vgg16'"),
    (["layers", "text.keras", "--weights", "other.h5"], 2, "holds its weights"),
]


def test_bad_input_ends_with_a_sentence_and_its_exit_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv(MIRROR, (tmp_path / "mirror").as_uri())
    write_image(np.full((8, 8, 3), 0.5, np.float32), tmp_path / "red.png")
    (tmp_path / "text.keras").write_text("no model")
    for args, code, words in BAD:
        done = run(*args)
        assert (done.exit_code, words in done.stderr) == (code, True), (args, done.output)
        assert "Traceback" not in done.output


def test_fetch_brings_weights_from_a_mirror_and_refuses_others(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv(MIRROR, tmp_path.as_uri())
    (tmp_path / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5").write_bytes(b"other weights")
    done = run("fetch", "dreamnet", "vgg16")
    assert done.exit_code == 5
    assert done.stdout == "dreamnet: bundled\n"
    assert "6d6bbae143d832006294945121d1f1fc" in done.stderr
    assert list((tmp_path / "keras" / "models").iterdir()) == []


@pytest.mark.shared
@pytest.mark.slow
def test_squeezenet_knows_most_photographs(shared):
    weights = shared / "weights" / "squeezenet_v1.0_imagenet.npz"
    network = load_network("squeezenet", weights=weights, precision="float32")
    files = sorted((shared / "photos").glob("*.jpg"))
    chosen = list(range(12, len(files), 40))
    found = classify(network, [files[i] for i in chosen])
    right = [guesses[0].number == i for i, (_, guesses) in zip(chosen, found, strict=True)]
    assert np.mean(right) > 0.45
