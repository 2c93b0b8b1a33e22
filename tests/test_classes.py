from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from renderer.cli.main import app
from renderer.dreaming.networks.classes import check_word, class_numbers, imagenet_names, meanings, notes_of, words
from renderer.dreaming.networks.loaders import build_application
from renderer.dreaming.networks.network import Network, load_network
from renderer.dreaming.networks.registry import NETWORKS
from renderer.dreaming.networks.squeezenet import build_squeezenet
from renderer.errors import EnvironmentProblem, UsageError


def find_all(which) -> tuple[int, ...]:
    return class_numbers(which, names=imagenet_names(), count=1000)


def find(which) -> int:
    (number,) = find_all(which)
    return number


def test_every_class_is_of_one_kind_and_groups_hold_what_they_say():
    table = words()
    assert sorted(number for kind in table.kinds for number in table.groups[kind]) == list(range(1000))
    counts = {"dog": 118, "bird": 59, "snake": 17, "cat": 5, "fish": 16, "mammal": 218, "animal": 398, "insect": 27}
    counts |= {"spider": 6, "butterfly": 6, "monkey": 20, "car": 10, "ball": 9, "fruit": 12, "fungus": 8, "guitar": 3}
    assert {group: len(table.groups[group]) for group in counts} == counts
    assert find_all("dog") == tuple(range(151, 269))
    for group, members in {"bird": "robin toucan", "vehicle": "jeep liner", "flower": "daisy", "food": "pizza"}.items():
        assert {find(member) for member in members.split()} <= set(find_all(group))
    assert not {bare for bare, found in table.index.items() if {"class", "group"} <= {one.sort for one in found}}
    assert all(numbers and len(set(numbers)) == len(numbers) for numbers in table.groups.values())


def test_a_word_for_two_things_says_so():
    unsaid = []
    for word in words().all():
        try:
            check_word(word)
        except UsageError as error:
            assert "give its number" in str(error)
            continue
        taken, *others = meanings(word)
        if any(set(other.numbers) - set(taken.numbers) for other in others) and not list(notes_of([word])):
            unsaid.append(word)
    assert unsaid == []
    assert find("crane") == 517
    assert find("crane bird") == 134
    assert "134 ('crane bird')" in next(notes_of(["crane"]))
    for word in ("boa", "bell", "wine"):
        with pytest.raises(UsageError, match=f"{word!r} may be .* or .*; give its number"):
            find(word)


def test_words_are_found_by_other_names_and_in_the_plural():
    for word, found in (
        ("puma", (286,)),
        ("corgi", (263, 264)),
        ("castles", (483,)),
        ("daisies", (985,)),
        ("Foxes", (277, 278, 279, 280)),
        ("wolves", (269, 270, 271)),
        ("automobiles", find_all("car")),
        ("musical_instruments", find_all("musical instrument")),
    ):
        assert find_all(word) == found


def test_there_are_a_thousand_names_and_each_is_one_class():
    names = imagenet_names()
    assert len(names) == len(set(names)) == 1000
    assert [find(name) for name in names] == list(range(1000))


def test_a_class_is_found_by_number_or_by_name_however_it_is_written():
    for which in (207, "207", " 207 ", "golden retriever", "Golden_Retriever", "GOLDEN-RETRIEVER"):
        assert find(which) == 207


def test_a_class_that_is_not_there_names_the_nearest():
    for which, said in (
        ("golden retreiver", "'golden retriever'"),
        (1000, "0 to 999"),
        (-1, "0 to 999"),
        ("", "no class"),
        ("zzz", "no class"),
    ):
        with pytest.raises(UsageError, match=said):
            find(which)


def test_names_that_differ_in_nothing_but_case_are_told_apart_by_it():
    assert (find("Cardigan"), find("cardigan")) == (264, 474)
    with pytest.raises(UsageError, match=r"264 .* or 474 "):
        find("CARDIGAN")


def test_a_network_without_a_head_says_so(tiny_network):
    assert tiny_network.head is None
    assert tiny_network.class_names == ()
    with pytest.raises(UsageError, match="no head"):
        tiny_network.class_numbers("tench")


def test_squeezenet_has_a_head_at_any_size():
    network = Network("squeezenet", build_squeezenet(), spec=NETWORKS["squeezenet"], head="scores")
    assert network.class_numbers("tench") == (0,)
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
    assert network.class_numbers("tench") == (0,)
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


def run(*arguments, code=0):
    done = CliRunner().invoke(app, ["words", *arguments, "--json"])
    assert done.exit_code == code, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()] if code == 0 else done.stderr


def test_words_are_listed_and_searched():
    every = run()
    assert {row["event"] for row in every} == {"group"}
    assert next(row for row in every if row["name"] == "dog")["numbers"] == list(range(151, 269))
    meaning, *rows = run("fox")
    assert meaning["numbers"] == [277, 278, 279, 280]
    assert {"fox", "fox squirrel", "red fox"} <= {row["name"] for row in rows}
    (row,) = run("207")
    assert (row["name"], row["groups"][:2]) == ("golden retriever", ["retriever", "dog"])
    meaning, *rows = run("crane")
    assert meaning["numbers"] == [517]
    assert {row["number"] for row in rows} == {134, 517}
    assert [row["number"] for row in run("butterfl") if row["event"] == "class"] == [323, 324, 325, 326]


def test_a_word_that_finds_nothing_is_answered_in_a_sentence():
    for term, said in (("castel", "did you mean 'castle'"), ("1000", "0 to 999"), ("", "lists what there is")):
        assert said in run(term, code=2)
