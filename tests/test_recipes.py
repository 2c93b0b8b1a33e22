"""The presets that are named for published recipes dream as those do: each is written out here once more, plainly.

What is compared is the formula, on a tiny network and small pictures; shifts come from the dreamer's own keyed draws.
"""

from __future__ import annotations

import cv2
import keras
import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
from keras import layers

from renderer.dreaming.networks.network import Network
from renderer.dreaming.networks.registry import NetworkSpec
from renderer.films.render_setup import open_dreamer
from renderer.settings.presets import resolve

STEPS = 3
TUTORIAL, KERAS = (51, 51), (112, 100)
"""Sizes whose octaves are the same whether they are rounded or cut."""

MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


@pytest.fixture(scope="module")
def network():
    """A network without edges in its slopes: at a relu's, a rounding error is as good as a step of another length."""
    keras.utils.set_random_seed(3)
    picture = keras.Input((None, None, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="softplus", name="shallow")(picture)
    x = layers.Conv2D(12, 3, padding="same", activation="softplus", name="middle")(x)
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="softplus", name="deep")(x)
    spec = NetworkSpec(summary="smooth", preprocessing="tf", layers=("deep",), mix={"deep": 1.0}, smallest=16)
    return Network("smooth", keras.Model(picture, x), spec=spec, precision="float32")


@pytest.fixture
def dreamer_of(monkeypatch, network):
    """Make the dreamer of a preset, with the small network in place of its own."""
    monkeypatch.setattr("renderer.dreaming.networks.network.shared_network", lambda *_, **__: network)

    def make(preset, mix, *sets):
        wanted = [f"dream.first_steps={STEPS}", f"dream.layers={mix}", *sets]
        return open_dreamer(resolve(presets=[preset], sets=wanted).settings, kind="still")[1]

    return make


def photo(width, height):
    """A picture with broad forms, fine ones, black and white."""
    rng = np.random.default_rng(2)
    broad = cv2.resize(rng.uniform(-0.1, 1.1, (5, 6, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(broad + rng.normal(0, 0.05, (height, width, 3)), 0, 1).astype(np.float32)


def gradient_of(network, names, loss_of, picture, to_unit):
    """Return a loss of some layers and its gradient in a picture, whose range `to_unit` brings to [0, 1]."""
    model, own = network.activations(names), tf.constant(picture, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(own)
        loss = loss_of([model(to_unit(own)[None])[name] for name in names])
    return float(loss), tape.gradient(loss, own).numpy()


def test_google_dreams_as_its_notebook(dreamer_of, network):
    dreamer, picture = dreamer_of("google", "deep:1"), photo(112, 98)
    shrunk = [255 * picture]
    for _ in range(3):
        shrunk.append(scipy.ndimage.zoom(shrunk[-1], (1 / 1.4, 1 / 1.4, 1), order=1, mode="nearest"))
    detail = np.zeros_like(shrunk[-1])
    for octave, base in enumerate(shrunk[::-1]):
        if octave:
            factors = (base.shape[0] / detail.shape[0], base.shape[1] / detail.shape[1], 1)
            detail = scipy.ndimage.zoom(detail, factors, order=1, mode="nearest")
        x = base + detail
        for down, right in dreamer._shifts(0, octave, STEPS):
            x = np.roll(x, (down, right), (0, 1))
            _, g = gradient_of(network, ["deep"], lambda a: 0.5 * tf.reduce_sum(a[0] ** 2), x, lambda p: p / 255)
            x = x + 1.5 / np.abs(g).mean() * g
            x = np.roll(x, (-down, -right), (0, 1))
            x = np.clip(x, 0, 255)
        detail = x - base
    found, _ = dreamer(picture, frame=0, seconds=0.0)
    np.testing.assert_allclose(found, x / 255, atol=1e-4)


def tutorial_step(network, x, shift):
    """Take a step of the TensorFlow tutorial on a picture in [-1, 1]."""
    x = np.roll(x, shift, (0, 1))
    _, g = gradient_of(
        network,
        ["middle", "deep"],
        lambda a: tf.add_n([tf.reduce_mean(each) for each in a]),
        x,
        lambda p: (p + 1) / 2,
    )
    g = g / (g.std() + 1e-8)
    g, x = np.roll(g, (-shift[0], -shift[1]), (0, 1)), np.roll(x, (-shift[0], -shift[1]), (0, 1))
    return np.clip(x + 0.01 * g, -1, 1)


def test_the_tensorflow_tutorial_dreams_simply(dreamer_of, network):
    picture = photo(60, 50)
    dreamer = dreamer_of("tensorflow-tutorial", "middle:1,deep:1", "dream.octave_sizes=1", "dream.jitter=0")
    x = 2 * picture - 1
    for _ in range(STEPS):
        x = tutorial_step(network, x, (0, 0))
    found, _ = dreamer(picture, frame=0, seconds=0.0)
    np.testing.assert_allclose(found, (x + 1) / 2, atol=1e-4)


def test_the_tensorflow_tutorial_dreams_with_octaves(dreamer_of, network):
    width, height = TUTORIAL
    dreamer, picture = dreamer_of("tensorflow-tutorial", "middle:1,deep:1"), photo(width, height)
    x = 2 * picture - 1
    for octave, n in enumerate(range(-2, 3)):
        size = tf.cast(tf.constant([height, width], tf.float32) * 1.3**n, tf.int32)
        x = tf.image.resize(x, size).numpy()
        for shift in dreamer._shifts(0, octave, STEPS):
            x = tutorial_step(network, x, tuple(shift))
    x = tf.image.resize(x, (height, width)).numpy()
    found, _ = dreamer(picture, frame=0, seconds=0.0)
    np.testing.assert_allclose(found, (x + 1) / 2, atol=1e-4)


def blurred(g, sigma):
    """Blur with a 9x9 Gaussian, edges mirrored."""
    axis = np.arange(-4, 5)
    kernel = np.exp(-(axis[:, None] ** 2 + axis[None] ** 2) / (2 * sigma**2))
    return cv2.filter2D(g, -1, (kernel / kernel.sum()).astype(np.float32), borderType=cv2.BORDER_REFLECT_101)


def test_pytorch_deepdream_dreams_as_published(dreamer_of, network):
    width, height = 120, 105
    dreamer, picture = dreamer_of("pytorch-deepdream", "middle:1"), photo(width, height)
    x = picture
    for level in range(4):
        shape = np.round(np.float32([height, width]) * 1.8 ** (level - 3)).astype(int)
        x = (cv2.resize(x, (int(shape[1]), int(shape[0]))) - MEAN) / STD
        for i, (down, right) in enumerate(dreamer._shifts(0, level, STEPS)):
            x = np.roll(x, (down, right), (0, 1))
            _, g = gradient_of(network, ["middle"], lambda a: tf.reduce_mean(a[0] ** 2), x, lambda p: p * STD + MEAN)
            sigma = (i + 1) / STEPS * 2.0 + 0.5
            g = (blurred(g, 0.5 * sigma) + blurred(g, sigma) + blurred(g, 2 * sigma)) / 3
            x = x + 0.09 * (g - g.mean()) / g.std()
            x = np.clip(x, -MEAN / STD, (1 - MEAN) / STD)
            x = np.roll(x, (-down, -right), (0, 1))
        x = (x * STD + MEAN).astype(np.float32)
    found, _ = dreamer(picture, frame=0, seconds=0.0)
    np.testing.assert_allclose(found, x, atol=1e-4)


@pytest.mark.parametrize("enough", [15.0, 0.02])
def test_keras_io_dreams_as_its_example(dreamer_of, network, enough):
    width, height = KERAS
    names, weights = ["shallow", "middle", "deep"], [1.0, 1.5, 2.0]
    mix = ",".join(f"{name}:{weight}" for name, weight in zip(names, weights, strict=True))
    dreamer, picture = dreamer_of("keras-io", mix, f"dream.stop_at={enough}"), photo(width, height)

    def loss_of(activations):
        each = [
            w * tf.reduce_sum(tf.square(a[:, 2:-2, 2:-2])) / np.prod(a.shape)
            for a, w in zip(activations, weights, strict=True)
        ]
        return tf.add_n(each)

    original = 2 * picture - 1
    sizes = [tuple(int(side / 1.4**i) for side in (height, width)) for i in (2, 1, 0)]
    shrunk, x, taken = tf.image.resize(original, sizes[0]).numpy(), original, []
    for size in sizes:
        x = tf.image.resize(x, size).numpy()
        for step in range(STEPS):
            loss, g = gradient_of(network, names, loss_of, x, lambda p: (p + 1) / 2)
            x = x + 0.01 * g / max(np.abs(g).mean(), 1e-6)
            taken.append(step)
            if loss > enough:
                break
        same_size = tf.image.resize(original, size).numpy()
        x = x + same_size - tf.image.resize(shrunk, size).numpy()
        shrunk = same_size
    found, _ = dreamer(picture, frame=0, seconds=0.0)
    np.testing.assert_allclose(found, (x + 1) / 2, atol=1e-4)
    assert (len(taken) < 9) == (enough < 15)
