"""Random vectors: drawn of the text and a seed alone, the same wherever it stands, and near to nothing."""

import itertools
import re
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.text import encoded
from extractors import options
from extractors.base import TextExtractor
from extractors.errors import ExtractorError
from extractors.random_vectors import RandomVectors

ALIKE = ["sit down", "sit down now", "Sit down", "sitting down", "stand up", "standing up", "", "sit  down"]


def asked(spec: str = "random_vectors") -> TextExtractor:
    found = options.asked(spec, None, "fp32")
    assert isinstance(found, RandomVectors)
    found.load("cpu")
    return found


def vectors(texts: list[str], spec: str = "random_vectors") -> np.ndarray:
    extractor = asked(spec)
    units = [unit for unit in extractor.tokens(texts) if isinstance(unit, np.ndarray)]
    assert len(units) == len(texts)
    return encoded(extractor, units)


def test_a_text_has_one_unit_vector_in_any_batch() -> None:
    texts = [f"text {k}" for k in range(600)]
    many = vectors(texts)
    assert (many.shape, many.dtype) == ((600, 384), np.float32)
    np.testing.assert_allclose(np.linalg.norm(many, axis=1), 1, rtol=1e-6)
    for at in (0, 255, 256, 599):
        assert vectors([texts[at]])[0].tobytes() == many[at].tobytes()
    assert vectors(texts[::-1]).tobytes() == many[::-1].tobytes()
    assert len({row.tobytes() for row in many}) == 600


def test_another_process_draws_the_same() -> None:
    """A vector drawn by Python's own hash of the text would be another one in each process."""
    code = (
        "import sys; from extractors.random_vectors import RandomVectors as R; r = R(); r.load('cpu'); "
        "import numpy as np; sys.stdout.write(r(np.stack(r.tokens(['sit down'])))['features'].tobytes().hex()); "
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == vectors(["sit down"])[0].tobytes().hex()


def test_another_seed_draws_others() -> None:
    drawn = [vectors(ALIKE, f"random_vectors:seed={seed}") for seed in (0, 1, 2)]
    assert drawn[0].tobytes() == vectors(ALIKE).tobytes()
    for one, other in itertools.combinations(drawn, 2):
        assert np.abs((one * other).sum(1)).max() < 0.25  # 5 deviations of 1 / sqrt(384)


def test_what_texts_say_does_not_bring_them_together() -> None:
    """Cosines of unit vectors of normal draws have the mean 0 and the deviation 1 / sqrt(D)."""
    texts = [
        f"{verb} {thing}{now}" for verb in ("sit", "stand") for thing in map(str, range(100)) for now in ("", " now")
    ]
    found = vectors(texts, "random_vectors:width=400").astype(np.float64)
    cosines = found @ found.T
    apart = cosines[np.triu_indices(len(texts), 1)]
    assert abs(apart.mean()) < 0.002
    assert apart.std() == pytest.approx(1 / 20, rel=0.03)
    alike = np.array([cosines[k, k + 1] for k in range(0, len(texts), 2)])  # with and without the word now
    assert abs(alike.mean()) < 4 * 0.05 / np.sqrt(len(alike))
    same = vectors(ALIKE)
    off = (same @ same.T)[np.triu_indices(len(ALIKE), 1)]
    assert np.abs(off).max() < 0.25


@pytest.mark.parametrize("width", [2, 50, 768])
def test_the_width_is_an_option(width: int) -> None:
    extractor = asked(f"random_vectors:width={width}")
    assert extractor.outputs["features"].shape == (width,)
    units = [unit for unit in extractor.tokens(["sit down"]) if isinstance(unit, np.ndarray)]
    found = extractor(np.stack(units))["features"]
    assert found.shape == (1, width)
    row = extractor.rows({"features": found[0]}, len(units[0]))["features"]
    assert (row.shape, row.dtype) == ((1, width), np.float32)
    assert extractor.columns() == {}


def test_the_recipe_names_its_options_and_no_weights() -> None:
    recipe = asked("random_vectors:seed=7,width=50").recipe("none", "probe")
    assert recipe.sampling == {"seed": 7, "width": 50}
    assert (recipe.weights, recipe.probe) == ("none", "")
    assert options.of_recipe(recipe.to_dict(), None).recipe("none", "") == recipe
    specs = ("random_vectors", "random_vectors:seed=7", "random_vectors:width=50", "random_vectors:seed=7,width=50")
    assert len({asked(spec).recipe("none", "").key for spec in specs}) == 4


@pytest.mark.parametrize("weights", ["random:1", "gone.bin"])
def test_no_weights_are_taken(weights: str) -> None:
    assert RandomVectors().weights_path() is None
    message = rf"^random_vectors takes no weights, got '{re.escape(weights)}'\. Drop --weights random_vectors=\.\.\.$"
    with pytest.raises(ExtractorError, match=message):
        options.asked("random_vectors", weights, "fp32")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("random_vectors:width=1", "^random_vectors: width is at least 2 and seed at least 0, got 1 and 0"),
        ("random_vectors:seed=-1", "^random_vectors: width is at least 2 and seed at least 0, got 384 and -1"),
        ("random_vectors:size=3", "no option is called 'size'; there are: seed, width"),
        ("random_vectors:seed=x", "seed must be of type int, got 'x'"),
    ],
)
def test_an_option_that_does_not_fit_is_refused_before_anything_is_computed(spec: str, message: str) -> None:
    with pytest.raises(ExtractorError, match=message) as told:
        asked(spec).recipe("none", "")
    assert "\n" not in str(told.value)


def test_it_computes_in_fp32_alone() -> None:
    with pytest.raises(ExtractorError, match="random_vectors computes in fp32, got precision 'bf16'"):
        options.asked("random_vectors", None, "bf16")
