"""What is said of classes is in their order; vectors of words stand in a file that the project's encoder reads."""

import numpy as np

from extractors import word_files
from pipelines.practice import words
from pipelines.practice.classes import compositions
from pipelines.practice.motions import BY_NAME


def test_what_is_said_of_a_class_is_said_in_the_order_of_its_motions():
    for each in compositions(60, 0):
        assert each.name == " then ".join(each.motion_names)
        assert each.phrases == tuple(BY_NAME[name].phrase for name in each.motion_names)
        places = [each.definition.index(motion.told) for motion in each.motions]
        assert places == sorted(places)


def test_no_two_classes_are_named_by_the_same_words_in_another_order():
    for seed in range(5):
        assert len({tuple(sorted(each.name.split())) for each in compositions(60, seed)}) == 60


def test_vectors_of_words_are_read_back_from_their_file(tmp_path):
    known = words.vectors(0)
    names = list(known)
    vectors = np.stack([known[name] for name in names])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    path = tmp_path / "word_vectors.txt"
    path.write_bytes(words.written(0))
    file = word_files.opened(path)
    assert np.allclose(file.take(np.array(file.find(names))), vectors, atol=1e-5)
    assert file.find(["xylophone"]) == [-1]
    assert not np.allclose(words.vectors(1)["squat"], known["squat"])
