"""Name the frames of thirteen small films by their hash: `python -m benchmarks.frames`. See README.md here.

Two versions of Dreamreel that print the same lines on the same machine make the same films, bit by bit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.tools import INCEPTION_WEIGHTS, ROOT, Benchmark, Command, Figure, tell

SAMPLES = ROOT / "samples"
CLASSES = Path("data/weights/squeezenet_v1.0_imagenet.npz")
SMALL = ("--size", "160x96")
BEFORE = ("--dreams", "frame", "--set", "dream.reference=frame", "--set", "camera.resample=catmull-rom")
"""How zooms were made before there were sizes and rates of dreams: what recipes of then mean."""

ZOOM = ("zoom", *SMALL, *BEFORE, "--frames", "4")
VIDEO = ("video", str(SAMPLES / "clip.mp4"), *SMALL, "--start", "1.3", "--end", "1.7")
STILL = ("still", str(SAMPLES / "flower.jpg"), *SMALL)


def films(shared: Path) -> Mapping[str, tuple[str, ...]]:
    """Return the films, what is asked of the command line for each."""
    guide = str(SAMPLES / "clouds.jpg")
    return {
        "zoom": ZOOM,
        "zoom of a picture": ("zoom", str(SAMPLES / "flower.jpg"), *ZOOM[1:], "--preset", "coral"),
        "zoom, turning and grey": (*ZOOM, "--preset", "daguerreotype", "--rotate", "20", "--edges", "wrap"),
        "video": VIDEO,
        "video, one look": (*VIDEO, "--preset", "silver"),
        "video, blended": (*VIDEO, "--carry", "blend", "--keep-colour"),
        "still": STILL,
        "loop": (*ZOOM[:-2], "--frames", "8", "--fps", "4", "--loop"),
        "guide": (*ZOOM, "--objective", "match", "--guide", guide),
        "style": (*STILL, "--preset", "brushwork", "--style", guide, "--steps", "4"),
        "class": (*STILL, "--preset", "apparition", "--of", "goldfish", "--weights", str(shared / CLASSES)),
        "tiles": ("still", "--size", "1920x1080", "--steps", "1", "--octaves", "2", "--memory", "2GB"),
        "recipe": (*STILL, "--preset", "google", "--weights", str(shared / INCEPTION_WEIGHTS), "--steps", "3"),
    }


def pixels(path: Path) -> str:
    """Return the hash of a picture's pixels, or of all pictures' in a folder."""
    from PIL import Image

    digest = hashlib.sha256()
    for file in sorted(path.glob("*.png")) if path.is_dir() else [path]:
        with Image.open(file) as image:
            digest.update(image.convert("RGB").tobytes())
    return digest.hexdigest()[:16]


def hashes(shared: Path, chosen: str) -> Iterator[tuple[str, str]]:
    """Make the films whose names contain `chosen`; give their names and the hashes of their frames."""
    with tempfile.TemporaryDirectory() as folder:
        for name, args in films(shared).items():
            if chosen not in name:
                continue
            tell(f"frames: {name}")
            plain = "-".join(name.replace(",", "").split())
            out = Path(folder, f"{plain}.png" if args[0] == "still" else plain)
            if args[0] != "still":
                out.mkdir()  # Films are written as folders of pictures.
            with Command(*args, "-o", str(out), "-q") as command:
                command.finish()
            yield name, pixels(out)


def frames(options: argparse.Namespace) -> Iterator[Figure]:
    """Make the films, and hold them to what another version made."""
    before = json.loads(options.against.read_text()) if options.against else {}
    found = {}
    for name, digest in hashes(options.shared, options.film):
        found[name] = digest
        yield Figure(name, before.get(name, "-"), digest, before[name] == digest if name in before else None)
    if options.save:
        options.save.write_text(json.dumps(found, indent=1) + "\n")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--save", type=Path, help="write the hashes here, to hold another version to them")
    parser.add_argument("--against", type=Path, help="hashes that another version wrote")
    parser.add_argument("--film", default="", help="only films whose name contains this")


BENCHMARK = Benchmark(
    name="frames",
    about="Name the frames of small films of every kind by their hash.",
    measurements={"films": frames},
    add_options=add_options,
    smallest={"film": "video, one look"},
    quick=("films",),
)


if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
