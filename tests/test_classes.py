from __future__ import annotations

import keras
import numpy as np
import pytest

from renderer.dreaming.networks.classes import class_number, imagenet_names
from renderer.dreaming.networks.loaders import build_application
from renderer.dreaming.networks.network import Network, load_network
from renderer.dreaming.networks.registry import NETWORKS
from renderer.dreaming.networks.squeezenet import build_squeezenet
from renderer.errors import EnvironmentProblem, UsageError


def find(which) -> int:
    return class_number(which, names=imagenet_names(), count=1000)


def test_there_are_a_thousand_names_and_each_is_one_class():
    names = imagenet_names()
    assert len(names) == len(set(names)) == 1000
    assert [find(name) for name in names] == list(range(1000))


def test_a_class_is_found_by_number_or_by_name_however_it_is_written():
    for which in (207, "207", " 207 ", "golden retriever", "Golden_Retriever", "GOLDEN-RETRIEVER"):
        assert find(which) == 207


def test_a_class_that_is_not_there_names_the_nearest():
    for which, words in (
        ("golden retreiver", "'golden retriever'"),
        (1000, "0 to 999"),
        (-1, "0 to 999"),
        ("", "no class"),
        ("zzz", "no class"),
    ):
        with pytest.raises(UsageError, match=words):
            find(which)


def test_names_that_differ_in_nothing_but_case_are_told_apart_by_it():
    assert (find("Cardigan"), find("cardigan")) == (264, 474)
    with pytest.raises(UsageError, match=r"264 .* or 474 "):
        find("CARDIGAN")


def test_a_network_without_a_head_says_so(tiny_network):
    assert tiny_network.head is None
    assert tiny_network.class_names == ()
    with pytest.raises(UsageError, match="no head"):
        tiny_network.class_number("tench")


def test_squeezenet_has_a_head_at_any_size():
    network = Network("squeezenet", build_squeezenet(), spec=NETWORKS["squeezenet"], head="scores")
    assert network.class_number("tench") == 0
    for side in (64, 99):
        answer = network.activations(["scores", "fire9"])(np.zeros((2, side, 80, 3), np.float32))
        assert answer["scores"].shape == (2, 1000)


def weights_of(application: str, path, *, head: bool) -> keras.Model:
    keras.utils.set_random_seed(3)
    model = build_application(application, head=head)
    model.save_weights(path)
    return model


def test_an_application_gives_its_scores_before_the_softmax(tmp_path):
    path = tmp_path / "whole.weights.h5"
    model = weights_of("MobileNet", path, head=True)
    network = load_network("mobilenet", weights=path, precision="float32", head=True)
    assert network.head == "predictions"
    assert network.side == 224
    assert network.class_number("tench") == 0
    pictures = np.random.default_rng(0).random((1, 224, 224, 3), np.float32)
    found = network.activations([network.head])(pictures)[network.head]
    expected = np.asarray(model(pictures * 2 - 1))
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())
    assert network.activations([network.head])(np.zeros((1, 64, 96, 3), np.float32))[network.head].shape == (1, 1000)


def test_a_head_that_was_cut_off_is_told_and_one_that_is_not_needed_does_no_harm(tmp_path):
    bare, whole = tmp_path / "bare.weights.h5", tmp_path / "whole.weights.h5"
    weights_of("MobileNet", bare, head=False)
    weights_of("MobileNet", whole, head=True)
    with pytest.raises(EnvironmentProblem, match="cut off"):
        load_network("mobilenet", weights=bare, head=True)
    assert load_network("mobilenet", weights=bare).head is None
    assert load_network("mobilenet", weights=whole).layers() == load_network("mobilenet", weights=bare).layers()


@pytest.mark.minutes
def test_a_head_of_dense_layers_becomes_convolutions_and_takes_larger_pictures(tmp_path):
    path = tmp_path / "whole.weights.h5"
    model = weights_of("VGG16", path, head=True)
    network = load_network("vgg16", weights=path, precision="float32", head=True)
    assert 208 <= network.spec.smallest <= 224
    pictures = np.random.default_rng(0).random((1, 224, 224, 3), np.float32)
    activations = network.activations([network.head])
    expected = np.asarray(model(pictures[..., ::-1] * 255 - np.array([103.939, 116.779, 123.68], np.float32)))
    np.testing.assert_allclose(activations(pictures)[network.head], expected, atol=1e-3 * np.abs(expected).max())
    assert activations(np.zeros((1, 256, 288, 3), np.float32))[network.head].shape == (1, 1000)


@pytest.mark.shared
def test_the_names_are_in_the_order_of_the_photographs(shared):
    files = sorted((shared / "photos").glob("*.jpg"))
    said = [file.stem.partition("_")[2] for file in files]
    # Two classes share their name with another one; in our list they have a longer one.
    assert [i for i, name in enumerate(said) if find(name) != i] == [134, 639]
    assert [imagenet_names()[i] for i in (134, 639)] == ["crane bird", "maillot tank suit"]
