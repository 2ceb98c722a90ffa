"""Word vectors: every format read as written, means as the formula says, and words without a vector named."""

import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.text import encoded
from extractors import word_files
from extractors.errors import BadWeights, ExtractorError, MachineFault, OutOfVocabulary, WeightsMissing
from extractors.sent2vec import Sent2Vec
from extractors.word_vectors import GloVe50d, WordVectors, text_words

WORDS = ["dog", "walk", "Taichi", "über", "1984", "push", "ups", "eye", "New_York"]
VECTORS = np.random.default_rng(0).standard_normal((len(WORDS), 5)).astype(np.float32)


def text(path: Path, header: bool = False, end: str = "\n") -> Path:
    lines = [" ".join([word, *(repr(float(v)) for v in row)]) for word, row in zip(WORDS, VECTORS, strict=True)]
    path.write_text("".join(line + end for line in [f"{len(WORDS)} 5"] * header + lines), "utf-8", newline="")
    return path


def binary(path: Path, newline: bytes = b"\n") -> Path:
    rows = [w.encode() + b" " + struct.pack("<5f", *v) + newline for w, v in zip(WORDS, VECTORS, strict=True)]
    path.write_bytes(f"{len(WORDS)} 5\n".encode() + b"".join(rows))
    return path


def array(path: Path) -> Path:
    np.save(path, np.asfortranarray(VECTORS))
    pq.write_table(pa.table({"index": WORDS}), path.with_name(path.name.replace("_emb.npy", "_index.parquet")))
    return path


FORMATS: dict[str, Callable[[Path], Path]] = {
    "word2vec": lambda folder: binary(folder / "w.bin"),
    "word2vec-without-newlines": lambda folder: binary(folder / "w.bin", b""),
    "glove": lambda folder: text(folder / "w.txt"),
    "word2vec-text": lambda folder: text(folder / "w.txt", header=True),
    "fasttext": lambda folder: text(folder / "w.vec", header=True, end=" \n"),
    "windows": lambda folder: text(folder / "w.txt", end="\r\n"),
    "array": lambda folder: array(folder / "w_emb.npy"),
}


def features(extractor: WordVectors | GloVe50d, texts: list[str]) -> np.ndarray:
    extractor.load("cpu")
    units = [unit for unit in extractor.tokens(texts) if isinstance(unit, np.ndarray)]
    assert len(units) == len(texts)
    return encoded(extractor, units)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_words_and_vectors_written(name: str, tmp_path: Path) -> None:
    path = FORMATS[name](tmp_path)
    for _ in range(2):  # the second time by the kept index
        file = word_files.opened(path)
        assert file.width == 5
        numbers = file.find([*WORDS, "cat", "", "\ud83d"])
        assert numbers[len(WORDS) :] == [-1, -1, -1]
        assert np.array_equal(file.take(np.array(numbers[: len(WORDS)])), VECTORS)
        assert file.take(np.zeros(0, int)).shape == (0, 5)


def test_features_are_the_unit_mean_of_unit_vectors(tmp_path: Path) -> None:
    extractor = WordVectors(str(text(tmp_path / "w.txt")))
    assert extractor.outputs["features"].shape == (5,)
    got = features(extractor, ["dog walk dog", "Walk TAICHI unheard"])
    for row, words in zip(got, (["dog", "walk", "dog"], ["walk", "Taichi"]), strict=True):
        total = np.zeros(5)
        for word in words:
            vector = VECTORS[WORDS.index(word)].astype(float)
            total += vector / np.sqrt((vector * vector).sum())
        np.testing.assert_allclose(row, total / np.sqrt((total * total).sum()), rtol=1e-6)
    assert got.dtype == np.float32


def test_row_does_not_depend_on_its_batch(tmp_path: Path) -> None:
    extractor = WordVectors(str(binary(tmp_path / "w.bin")))
    alone = features(extractor, ["dog walk"])
    many = features(extractor, ["taichi dog", "dog walk", "über 1984 dog walk", "dog walk"])
    assert np.array_equal(many[1], alone[0])
    assert np.array_equal(many[3], alone[0])


def test_words_are_found_as_written_then_lower_then_capital_then_in_parts(tmp_path: Path) -> None:
    extractor = WordVectors(str(text(tmp_path / "w.txt")))
    for said, meant in (("DOG", "dog"), ("taichi", "Taichi"), ("Über", "über")):
        assert np.array_equal(features(extractor, [f"{said} ."]), features(extractor, [f"{meant} ."])), said
    assert np.array_equal(features(extractor, ["push-ups now"]), features(extractor, ["push ups"]))
    assert np.array_equal(features(extractor, ["dog's walk"]), features(extractor, ["dog walk"]))
    assert text_words("EyeDog") == ["eye", "dog"]
    assert text_words("") == text_words(" . ") == []


def test_words_without_a_vector_are_counted_and_a_text_of_them_alone_is_a_failure(tmp_path: Path) -> None:
    extractor = WordVectors(str(text(tmp_path / "w.txt")))
    texts = ["dog frobs grault", "frobs", "frob-dog grault frobs", " ... "]
    assert extractor.missing(texts) == {"frobs": 3, "grault": 2, "frob": 1}
    found = extractor.tokens(texts)
    assert [isinstance(one, OutOfVocabulary) for one in found] == [False, True, False, True]
    assert "frobs" in str(found[1])
    assert "no word" in str(found[3])


def test_damage_is_named_by_line_or_byte(tmp_path: Path) -> None:
    def refused(data: bytes, match: str) -> None:
        path = tmp_path / "w"
        path.write_bytes(data)
        with pytest.raises(BadWeights, match=match) as caught:
            WordVectors(str(path)).load("cpu")
        assert "\n" not in str(caught.value)

    plain, headed = text(tmp_path / "a").read_bytes(), text(tmp_path / "b", header=True).read_bytes()
    lines = plain.splitlines(keepends=True)
    refused(b"".join(lines[:3])[: -len(lines[2]) // 2], "line 3: expected a word and 5 numbers")
    refused(b"".join([*lines[:2], lines[2].strip() + b" 0.5\n"]), "line 3: .* got 7 fields")
    refused(headed[: headed.rindex(b"\n", 0, -1) + 1], "announces 9 words and holds 8")
    refused(plain.replace("über".encode(), b"\xfcber"), r"line 4: the word b'\\xfcber' is not UTF-8")
    whole = binary(tmp_path / "c").read_bytes()
    refused(whole[:-5], f"byte {len(whole) - len('New_York') - 22}: .* word 9 is not whole")
    refused(whole + b"more", "more follows")
    refused(whole.replace(b"dog", b"\xffog"), "byte 4: .* not UTF-8")
    refused(b"", "not a file of word vectors")
    refused(b"\x1f\x8b\x08 packed\nx", "not a file of word vectors")


def test_numbers_that_are_none_are_named_when_they_are_asked_for(tmp_path: Path) -> None:
    path = text(tmp_path / "w.txt")
    path.write_text(path.read_text().replace(repr(float(VECTORS[1, 2])), "1.2.3"))
    with pytest.raises(BadWeights, match=r"byte \d+: .*1\.2\.3"):
        features(WordVectors(str(path)), ["walk on"])


def test_array_needs_its_table_of_as_many_words(tmp_path: Path) -> None:
    path = array(tmp_path / "w_emb.npy")
    beside = tmp_path / "w_index.parquet"
    pq.write_table(pa.table({"index": WORDS[1:]}), beside)
    with pytest.raises(BadWeights, match="a word a row"):
        WordVectors(str(path)).load("cpu")
    array(path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(BadWeights, match="cannot be read"):
        WordVectors(str(path)).load("cpu")
    beside.unlink()
    with pytest.raises(WeightsMissing, match=r"w_index\.parquet"):
        WordVectors(str(path)).load("cpu")


def test_words_with_blanks_and_words_that_stand_twice(tmp_path: Path) -> None:
    path = tmp_path / "w.txt"
    path.write_text("dog 1 0\n. . . 0 1\nat x@y.z 1 1\ndog 5 5\n")
    file = word_files.opened(path)
    numbers = file.find(["dog", ". . .", "at x@y.z"])
    assert file.take(np.array(numbers)).tolist() == [[1, 0], [0, 1], [1, 1]]


def test_index_is_kept_made_again_for_another_file_and_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = text(tmp_path / "w.txt")
    WordVectors(str(path)).load("cpu")
    kept = list((tmp_path / "weights" / "word-indexes").iterdir())
    assert len(kept) == 1
    kept[0].write_bytes(b"damaged")
    assert len(features(WordVectors(str(path)), ["dog walk"])) == 1
    path.write_text("cat 1 0\n")
    assert features(WordVectors(str(path)), ["cat cat"]).tolist() == [[1, 0]]
    assert len(list((tmp_path / "weights" / "word-indexes").iterdir())) == 2
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("ZSAR_WEIGHTS", str(tmp_path / "file"))
    assert features(WordVectors(str(path)), ["cat cat"]).tolist() == [[1, 0]]


def test_random_vectors_know_every_word_and_keep_to_their_seed() -> None:
    texts = ["any word", "word any", "other word"]
    first, again, other = (features(WordVectors(f"random:{seed}"), texts) for seed in (1, 1, 2))
    assert first.shape == (3, 300)
    assert np.array_equal(first, again)
    np.testing.assert_allclose(first[0], first[1], atol=1e-6)
    assert not np.allclose(first, other)


def test_words_are_part_of_the_recipe_and_torch_is_not_needed(tmp_path: Path) -> None:
    path = array(tmp_path / "w_emb.npy")
    before = WordVectors(str(path)).recipe("digest", "").key
    pq.write_table(pa.table({"index": WORDS[::-1]}), tmp_path / "w_index.parquet")
    assert WordVectors(str(path)).recipe("digest", "").key != before
    code = (
        "import sys; from extractors.word_vectors import WordVectors as W; w = W(sys.argv[1]); w.load('cpu'); "
        "w.recipe('', ''); w.tokens(['dog']); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == 0
    with pytest.raises(ExtractorError, match="needs a file of word vectors"):
        WordVectors().weights_path()


@pytest.mark.pack
def test_glove_of_the_pack_puts_like_by_like() -> None:
    extractor = GloVe50d()
    near = features(extractor, ["riding a horse", "riding a pony", "cooking pasta"])
    assert near.shape == (3, 50)
    assert near[0] @ near[1] > near[0] @ near[2]
    assert extractor.missing(["HandstandPushups", "TaiChi", "xqzt"]) == {"xqzt": 1}


def test_sent2vec_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "m.bin").write_bytes(b"x")
    with pytest.raises(WeightsMissing, match=r"wiki_bigrams\.bin"):
        Sent2Vec().weights_path()
    with pytest.raises(MachineFault, match="pip install"):
        Sent2Vec(str(tmp_path / "m.bin")).load("cpu")


def test_sent2vec_asks_the_package_text_by_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sent2vec.py").write_text(
        "import numpy as np\n"
        "class Sent2vecModel:\n"
        "    def load_model(self, path): pass\n"
        "    def get_emb_size(self): return 2\n"
        "    def embed_sentence(self, text): return np.array([[len(text), text.count(' ,')]], np.float32)\n"
    )
    (tmp_path / "m.bin").write_bytes(b"x")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "sent2vec", raising=False)
    with pytest.raises(BadWeights, match="width=2"):
        Sent2Vec(str(tmp_path / "m.bin")).load("cpu")
    extractor = Sent2Vec(str(tmp_path / "m.bin"), options={"width": 2})
    extractor.load("cpu")
    units = [unit for unit in extractor.tokens(["A dog, Über!"]) if isinstance(unit, np.ndarray)]
    assert encoded(extractor, units).tolist() == [[len("a dog , über !"), 1]]
    monkeypatch.delitem(sys.modules, "sent2vec")
