"""What the tests share: a tiny network, and the folder of real data where it is present."""

from __future__ import annotations

import collections
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from renderer import runtime

SHARED = Path(__file__).resolve().parents[2] / "shared"

MOST_PROCESSES = 4
"""Each of them takes a gigabyte of memory and loads TensorFlow."""

KNOWN_SKIPS = {
    "needs real data in shared/ beside the project": "the folder is no part of the project",
    "needs Chromium (apt-get install chromium)": "a browser is no Python package",
    "the folder ../shared with real weights is absent": "the same",
    "needs a user whom permissions hold back": "the tests run as root",
    "this file system takes only names in UTF-8": "as on a Mac",
}
"""Why a test may be skipped where everything of `[test]` is installed: the words of its skip -> why that may be."""


def pytest_addoption(parser):
    parser.addoption(
        "--only-known-skips", action="store_true", help="fail if a test is skipped for a reason not in KNOWN_SKIPS"
    )


def pytest_xdist_auto_num_workers(config):
    """Run all tests in some processes at once; a file or two that somebody names begin sooner in this one."""
    return 0 if config.getoption("file_or_dir") else min(MOST_PROCESSES, runtime.thread_count())


def pytest_configure(config):
    """Give each of several processes its share of the processors, where they would only wait for one another."""
    process = getattr(config, "workerinput", None)
    if process is not None and hasattr(os, "sched_setaffinity"):
        number, count = int(process["workerid"].removeprefix("gw")), process["workercount"]
        processors = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, processors[number::count] or processors[number % len(processors) :][:1])


def pytest_terminal_summary(terminalreporter, config):
    """Count the skipped tests by their reason."""
    counted = collections.Counter(map(_reason, terminalreporter.stats.get("skipped", [])))
    for reason, count in counted.most_common():
        known = KNOWN_SKIPS.get(reason, "NOT A KNOWN REASON: see KNOWN_SKIPS in tests/conftest.py")
        terminalreporter.write_line(f"{count} skipped: {reason} ({known})")


def pytest_collection_finish(session):
    """Set TensorFlow up as the program does, before a test has it compute: later its threads stay as they are."""
    if "tensorflow" in sys.modules:
        runtime.prepare()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    """Fail a run of which tests were left out that nobody knows of."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:  # One of several processes: the first one counts.
        return
    unknown = {_reason(report) for report in reporter.stats.get("skipped", [])} - KNOWN_SKIPS.keys()
    if unknown and exitstatus == pytest.ExitCode.OK and session.config.getoption("--only-known-skips"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _reason(report) -> str:
    """Return in what words a test, or all of a file, was skipped; those of an expected failure are none."""
    return report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else ""


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real weights, photographs and clips."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"needs real data in {SHARED.name}/ beside the project")
    return SHARED / "data"


@pytest.fixture(scope="session")
def tiny_network():
    """A network of three small convolutions with fixed random weights, one of them under a batch norm."""
    runtime.prepare()
    import keras
    from keras import layers

    from renderer.dreaming.networks.network import Network
    from renderer.dreaming.networks.registry import NetworkSpec

    keras.utils.set_random_seed(7)
    picture = keras.Input((None, None, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="shallow")(picture)
    x = layers.Conv2D(12, 3, padding="same", use_bias=False, name="middle_conv")(x)
    x = layers.BatchNormalization(name="middle_norm")(x)
    x = layers.Activation("relu", name="middle")(x)
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu", name="deep")(x)
    model = keras.Model(picture, x)
    rng = np.random.default_rng(0)
    norm = model.get_layer("middle_norm")
    norm.set_weights([rng.uniform(0.5, 2, 12), rng.normal(0, 0.3, 12), rng.normal(0, 0.3, 12), rng.uniform(0.5, 2, 12)])
    spec = NetworkSpec(
        summary="for tests",
        preprocessing="tf",
        layers=("shallow", "middle", "deep"),
        mix={"deep": 1.0},
        smallest=16,
    )
    return Network("tiny", model, spec=spec, precision="float32")


@pytest.fixture(scope="session")
def two_layers():
    """A network whose layers `low` and `high` are convolutions with fixed random weights."""
    runtime.prepare()
    import keras

    from renderer.dreaming.networks.network import Network
    from renderer.dreaming.networks.registry import NetworkSpec

    keras.utils.set_random_seed(5)
    picture = keras.Input((None, None, 3), name="picture")
    x = keras.layers.Conv2D(6, 5, strides=2, activation="relu", name="low")(picture)
    x = keras.layers.Conv2D(10, 3, strides=2, activation="relu", name="high")(x)
    spec = NetworkSpec(summary="tiny", preprocessing="tf", layers=("low", "high"), mix={"high": 1.0}, smallest=16)
    return Network("tiny", keras.Model(picture, x), spec=spec)


@pytest.fixture
def picture() -> np.ndarray:
    """A smooth random picture, 48x32."""
    import cv2

    coarse = np.random.default_rng(3).uniform(0.2, 0.8, (6, 8, 3)).astype(np.float32)
    return cv2.resize(coarse, (48, 32), interpolation=cv2.INTER_CUBIC)
