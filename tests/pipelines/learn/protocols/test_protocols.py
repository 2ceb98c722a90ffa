"""Protocols: published splits decode to what was published, drawn ones to their formula, and the sides never meet."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extractors.class_names import KINETICS_400, class_names
from extractors.names import readable, unspaced
from pipelines.errors import UsageError
from pipelines.learn.protocols.protocols import chosen, names, protocol, resolve
from pipelines.learn.protocols.splits import Split, anywhere, folds, furthest, half, hold_out, nearest

LISTED = [name for name in names() if protocol(name).splits]
DRAWN = [name for name in names() if not protocol(name).splits and name != "truze"]
SIZES = {
    "ucf101-50": (50, 51, 0, 50),
    "hmdb51-50": (50, 26, 0, 25),
    "ucf101-truze": (1, 67, 0, 34),
    "hmdb51-truze": (1, 29, 0, 22),
    "kinetics-zsar": (3, 400, 60, 160),
    "utd-mhad-22/5": (1, 22, 0, 5),
    "utd-mhad-18/9": (1, 18, 0, 9),
    "utd-mhad-14/13": (1, 14, 0, 13),
    "nw-ucla-8/2": (1, 8, 0, 2),
    "nw-ucla-5/5": (1, 5, 0, 5),
}


def some(count: int) -> list[str]:
    return [f"class {k}" for k in range(count)]


def random_vectors(count: int, seed: int, width: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def cosine_distance(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(1 - a @ b / np.sqrt(a @ a) / np.sqrt(b @ b))


def sides(split: Split) -> tuple[set[str], set[str], set[str]]:
    return set(split.seen), set(split.validation), set(split.unseen)


# published splits


@pytest.mark.parametrize("name", LISTED)
def test_published_splits_are_partitions_of_the_published_sizes(name):
    own = protocol(name)
    count, seen, validation, unseen = SIZES[name]
    assert own.count == len(own.splits) == count
    for k, split in enumerate(own.splits):
        assert (split.protocol, split.number) == (name, k)
        assert (len(split.seen), len(split.validation), len(split.unseen)) == (seen, validation, unseen)
        assert len(set(split.classes)) == seen + validation + unseen
        assert split.classes == own.splits[0].classes


def test_three_of_the_50_splits_of_ucf101_were_published_twice_and_no_others():
    seen = [split.seen for split in protocol("ucf101-50").splits]
    assert [(seen.index(side), k) for k, side in enumerate(seen) if seen.index(side) < k] == [(0, 6), (1, 7), (2, 8)]
    assert len({split.seen for split in protocol("hmdb51-50").splits}) == 50


def test_the_seen_classes_of_kinetics_zsar_are_kinetics_400():
    assert {split.seen for split in protocol("kinetics-zsar").splits} == {tuple(sorted(class_names(KINETICS_400)))}


@pytest.mark.shared
@pytest.mark.parametrize("data", ["ucf101", "hmdb51"])
def test_the_50_splits_are_those_of_xu(data, shared_data):
    published = json.loads((shared_data / "splits" / f"{data}_xu50.json").read_text())
    ours = protocol(f"{data}-50").splits
    assert [sides(split) for split in ours] == [(set(s["seen"]), set(), set(s["unseen"])) for s in published]


@pytest.mark.shared
@pytest.mark.parametrize("data", ["ucf101", "hmdb51"])
def test_truze_is_as_published_but_for_the_spelling(data, shared_data):
    published = json.loads((shared_data / "splits" / f"{data}_truze.json").read_text())
    (ours,) = protocol(f"{data}-truze").splits
    assert {unspaced(name) for name in ours.seen} == {unspaced(name) for name in published["training"]}
    assert {unspaced(name) for name in ours.unseen} == {unspaced(name) for name in published["testing"]}
    assert ours.classes == protocol(f"{data}-50").splits[0].classes
    theirs = resolve(ours, published["training"] + published["testing"])
    assert sides(theirs) == (set(published["training"]), set(), set(published["testing"]))


@pytest.mark.shared
def test_kinetics_zsar_is_as_published(shared_data):
    published = json.loads((shared_data / "splits" / "kinetics_zsar.json").read_text())
    rows = json.loads((shared_data / "classes" / "definitions_kinetics620.json").read_text())
    theirs = [
        tuple({rows[k]["class"] for k in side} for side in split)
        for split in zip(published["trn"], published["val"], published["tst"], strict=True)
    ]
    assert [sides(split) for split in protocol("kinetics-zsar").splits] == theirs


@pytest.mark.shared
@pytest.mark.parametrize("name", [name for name in LISTED if name.startswith(("utd", "nw"))])
def test_skeleton_splits_are_those_of_purls(name, shared_data):
    data, _, counts = name.rpartition("-")
    published = json.loads((shared_data / "splits" / "purls_skeleton.json").read_text())[data]
    seen, unseen = counts.split("/")
    assert sides(protocol(name).splits[0]) == (set(published[f"rs{seen}"]), set(), set(published[f"ru{unseen}"]))


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "label_map"),
    [("ucf101-50", "ucf101"), ("ucf101-truze", "ucf101"), ("hmdb51-50", "hmdb51"), ("truze", "hmdb51")],
)
def test_published_splits_fit_the_data_sets_own_labels(name, label_map, shared_data):
    labels = (shared_data / "classes" / "labels" / f"{label_map}_label_map.txt").read_text().split()
    assert protocol(name).split(0, labels).classes == tuple(sorted(labels))


# spelling


def test_a_split_takes_the_spelling_of_the_data_set():
    split = Split("mine", 3, ("HandstandPushups", "Walking with dog"), ("apply_lipstick",), ("Shotput",))
    labels = ["HandStandPushups", "ShotPut", "WalkingWithDog", "apply lipstick"]
    assert resolve(split, labels) == Split(
        "mine", 3, ("HandStandPushups", "WalkingWithDog"), ("apply lipstick",), ("ShotPut",)
    )


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(LISTED), st.randoms(use_true_random=False))
def test_any_order_and_spelling_of_the_labels_gives_the_same_classes(name, random):
    own = protocol(name)
    number = random.randrange(own.count)
    labels = [random.choice([n, readable(n), readable(n).replace(" ", "_")]) for n in own.splits[number].classes]
    random.shuffle(labels)
    found = own.split(number, labels)
    for ours, theirs in zip(sides(found), sides(own.splits[number]), strict=True):
        assert {unspaced(n) for n in ours} == {unspaced(n) for n in theirs}
    assert sorted(labels) == list(found.classes)


def test_every_class_that_does_not_fit_is_named():
    split = Split("mine", 0, ("run", "walk"), (), ("jump", "surf"))
    with pytest.raises(UsageError) as caught:
        resolve(split, ["walking", "jumping", "swimming", "diving"])
    message = str(caught.value)
    assert "Split 'mine' #0 does not fit the 4 classes of the data set" in message
    assert "the data set lacks run, surf; of its classes on no side: diving, swimming" in message
    assert "\n" not in message
    assert resolve(split, ["run", "walking", "jump", "surf", "dive"], rest=True).seen == ("run", "walking")


def test_two_classes_of_a_split_that_are_one_in_the_data_set_are_named():
    with pytest.raises(UsageError, match="jumping and jumps are both its 'jump'"):
        resolve(Split("mine", 0, ("jumping",), (), ("jumps",)), ["jump"])


def test_plain_truze_finds_its_data_set():
    for data in ("ucf101", "hmdb51"):
        labels = protocol(f"{data}-50").splits[0].classes
        assert protocol("truze").split(0, labels) == protocol(f"{data}-truze").split(0, labels)
    with pytest.raises(UsageError, match="Split '.*-truze' #0 does not fit the 1 classes"):
        protocol("truze").split(0, ["Archery"])


# drawn splits


@pytest.mark.parametrize("name", DRAWN)
def test_drawn_splits_hold_every_class_or_half_of_them_and_their_sides_never_meet(name):
    own = protocol(name)
    for number in range(own.count):
        split = own.split(number, some(60), random_vectors(60, 0))
        assert len(set(split.classes)) == len(split.seen) + len(split.unseen) == (30 if name == "cross-0/50" else 60)
        assert len(split.unseen) == {"cross-0/50": 30, "cross-0/100": 60}.get(name, 5)
        assert not split.seen if name.startswith("cross") else len(split.seen) == 55
        assert (split.protocol, split.number) == (name, number)


def test_half_of_the_classes_is_drawn_as_e2e_does():
    labels = protocol("hmdb51-50").splits[0].classes
    for seed in range(10):
        np.random.seed(seed)
        expected = sorted(np.array(labels)[np.random.permutation(51)[: 51 // 2]])
        assert list(protocol("cross-0/50").split(seed, labels[::-1]).unseen) == expected


@settings(max_examples=30, deadline=None)
@given(st.integers(10, 40), st.integers(0, 1000))
def test_nearest_takes_the_closest_class_that_is_allowed_step_by_step(count, seed):
    labels, vectors = some(count), random_vectors(count, seed)
    of = dict(zip(labels, vectors, strict=True))
    between = [cosine_distance(of[a], of[b]) for a in labels for b in labels if a < b]
    for percentile in (50, 40, 30, 20, 10, 0):  # plain loops of what the docstring says
        gap = np.percentile(between, percentile) if percentile else -1
        unseen: list[str] = []
        companions: list[str] = []
        while len(unseen) < 5:
            pairs = [
                (cosine_distance(of[a], of[b]), a, b)
                for a in labels
                if a not in unseen
                and a not in companions
                and all(cosine_distance(of[a], of[u]) >= gap - 1e-9 for u in unseen)
                for b in labels
                if b not in unseen and a != b
            ]
            if not pairs:
                break
            least = min(pairs)[0]
            a, b = min((a, b) for distance, a, b in pairs if distance < least + 1e-8)  # of equal ones, by name
            unseen.append(a)
            companions.append(b)
        if len(unseen) == 5:
            break
    assert nearest(labels, vectors) == tuple(sorted(unseen))
    assert not set(unseen) & set(companions)


@settings(max_examples=30, deadline=None)
@given(st.integers(10, 60), st.integers(0, 1000))
def test_furthest_takes_the_classes_whose_mean_distance_is_the_highest(count, seed):
    labels, vectors = some(count), random_vectors(count, seed)
    mean = {
        a: np.mean([cosine_distance(vectors[i], vectors[j]) for j in range(count) if j != i])
        for i, a in enumerate(labels)
    }
    unseen = furthest(labels, vectors)
    assert min(mean[name] for name in unseen) >= max(mean[name] for name in labels if name not in unseen)


def test_a_nearest_split_is_easier_than_a_furthest_one():
    labels, vectors = some(60), random_vectors(60, 0)
    of = dict(zip(labels, vectors, strict=True))

    def closest(unseen: tuple[str, ...]) -> float:
        return float(np.mean([min(cosine_distance(of[u], of[s]) for s in labels if s not in unseen) for u in unseen]))

    assert closest(nearest(labels, vectors)) < closest(anywhere(labels, 0)) < closest(furthest(labels, vectors))


def test_of_twins_one_is_unseen_and_the_other_its_companion():
    twins = np.eye(10, dtype=np.float32).repeat(2, 0)  # classes 0 and 1 are alike, 2 and 3, ...
    unseen = nearest([f"{k:02d}" for k in range(20)], twins)
    assert unseen == ("00", "02", "04", "06", "08")


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 100), st.randoms(use_true_random=False))
def test_the_order_of_the_classes_changes_no_draw(seed, random):
    labels, vectors = some(30), random_vectors(30, seed)
    order = list(range(30))
    random.shuffle(order)
    shuffled = [labels[k] for k in order]
    assert half(labels, seed) == half(shuffled, seed)
    assert nearest(labels, vectors) == nearest(shuffled, vectors[order])
    assert furthest(labels, vectors) == furthest(shuffled, vectors[order])


def test_classes_that_cannot_be_chosen_from_are_refused():
    with pytest.raises(UsageError, match="5 unseen classes need 10 classes to be chosen from; there are 9"):
        nearest(some(9), random_vectors(9, 0))
    with pytest.raises(UsageError, match="10 classes need a vector each; got an array of shape"):
        furthest(some(10), random_vectors(9, 0))
    holes = random_vectors(10, 0)
    holes[3], holes[7] = np.nan, 0
    with pytest.raises(UsageError, match="without a text vector: class 3, class 7"):
        furthest(some(10), holes)
    with pytest.raises(UsageError, match="come twice: class 1"):
        half([*some(4), "class 1"], 0)
    with pytest.raises(UsageError, match="'ntu-nearest' chooses by the vectors"):
        protocol("ntu-nearest").split(0, some(60))
    with pytest.raises(UsageError, match="'cross-0/50' has splits 0 to 9; got 10"):
        protocol("cross-0/50").split(10, some(4))
    with pytest.raises(UsageError, match="'truze' has one split, 0; got -1"):
        protocol("truze").split(-1, some(4))


# validation classes


@settings(max_examples=50)
@given(st.integers(2, 60), st.floats(0.01, 0.6), st.integers(0, 99))
def test_held_out_classes_are_seen_ones_and_the_seed_decides_which(count, part, seed):
    training, validation = hold_out(some(count), part, seed)
    assert not set(training) & set(validation)
    assert sorted(training + validation) == sorted(some(count))
    assert len(validation) == max(1, round(part * count))
    assert hold_out(some(count)[::-1], part, seed) == (training, validation)


def test_seeds_hold_out_different_classes():
    assert len({hold_out(some(51), 10, seed)[1] for seed in range(20)}) == 20


@pytest.mark.parametrize("size", [0, 4, 5, 1.5, -1, 0.99, float("nan"), float("inf")])
def test_a_size_that_leaves_nothing_is_refused(size):
    with pytest.raises(UsageError, match="of 4 seen classes cannot be held out.* from 1 to 3"):
        hold_out(some(4), size, 0)


@settings(max_examples=50)
@given(st.integers(2, 60), st.integers(0, 99), st.data())
def test_every_seen_class_validates_in_one_fold(count, seed, data):
    k = data.draw(st.integers(2, count))
    made = folds(some(count), k, seed)
    assert sorted(name for _, validation in made for name in validation) == sorted(some(count))
    assert all(sorted(training + validation) == sorted(some(count)) for training, validation in made)
    assert {len(validation) for _, validation in made} <= {count // k, -(-count // k)}
    assert folds(some(count)[::-1], k, seed) == made


def test_too_many_folds_are_refused():
    with pytest.raises(UsageError, match="3 seen classes cannot make 4 folds. Give a number from 2 to 3"):
        folds(some(3), 4, 0)


# sides


def test_a_class_is_on_one_side_and_named_once():
    with pytest.raises(UsageError, match="Split 'mine' #4 has on two sides: jump, run[.]"):
        Split("mine", 4, ("run", "walk", "jump"), ("run",), ("jump",))
    with pytest.raises(UsageError, match="names twice: jump, run[.]"):
        Split("mine", 0, ("run", "run"), (), ("jump", "jump"))
    with pytest.raises(UsageError, match="has no unseen class"):
        Split("mine", 0, ("run",), (), ())


# what a user writes


def test_an_unknown_protocol_lists_the_known_ones():
    with pytest.raises(UsageError, match=r"No protocol is called 'ucf50'.*ucf101-50.*cross-0/50.*ntu-random"):
        protocol("ucf50")


def test_a_file_of_ones_own_is_a_protocol(tmp_path):
    many, one = tmp_path / "many.json", tmp_path / "one.json"
    many.write_text(json.dumps([{"seen": ["a"], "unseen": ["b"]}, {"seen": ["b"], "unseen": ["a"], "name": "x"}]))
    one.write_text(json.dumps({"training": ["a"], "validation": ["b"], "testing": ["c"]}))
    assert [split.unseen for split in protocol(str(many)).splits] == [("b",), ("a",)]
    split = protocol(str(one)).split(0, ["C", "A", "B"])
    assert split == Split(str(one), 0, ("A",), ("B",), ("C",))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "is not JSON"),
        ("[]", "holds no split"),
        ('{"seen": ["a"]}', "split 0 is not"),
        ('[{"seen": ["a"], "unseen": ["b"]}, {"seen": [0], "unseen": [1]}]', "split 1 is not .* no numbers"),
        ('{"seen": "ab", "unseen": ["c"]}', "split 0 is not"),
        ('{"seen": ["a"], "training": ["b"], "unseen": ["c"]}', "split 0 is not"),
        ("3", "split 0 is not"),
        ('{"seen": ["a"], "unseen": ["a"]}', "on two sides: a"),
    ],
)
def test_a_file_that_is_no_protocol_says_why(text, why, tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=why) as caught:
        protocol(str(path))
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"none.json cannot be read: No such file"):
        protocol(str(tmp_path / "none.json"))


def test_splits_are_chosen_by_numbers_and_ranges():
    assert chosen("0-9,12", 50) == (*range(10), 12)
    assert chosen(" 3 , 1-2,2", 50) == (1, 2, 3)
    assert chosen("all", 3) == chosen("", 3) == (0, 1, 2)


@pytest.mark.parametrize("text", ["a", "1,", "3-1", "-1", "1.5", "1-2-3", "0x3"])
def test_what_is_no_range_is_refused(text):
    with pytest.raises(UsageError, match="Splits are given as 0-9,12 or all; got "):
        chosen(text, 50)


def test_a_split_that_there_is_not_is_refused():
    with pytest.raises(UsageError, match="The protocol has splits 0 to 49; got '48-50' in '1,48-50'"):
        chosen("1,48-50", 50)
    with pytest.raises(UsageError, match="The protocol has one split, 0; got '1'"):
        chosen("1", 1)


@pytest.mark.parametrize(("name", "unseen"), [("own-3", 3), ("own-25%", 5), ("own-1%", 1)])
def test_so_many_of_the_classes_there_are_are_drawn_by_the_number_of_the_split(name, unseen):
    own, classes = protocol(name), some(20)
    splits = [own.split(number, classes) for number in range(own.count)]
    assert own.of_videos
    assert all(len(split.unseen) == unseen and split.classes == tuple(sorted(classes)) for split in splits)
    assert len({split.unseen for split in splits}) > 5
    assert splits[3] == own.split(3, classes[::-1])


@pytest.mark.parametrize("name", ["own-0", "own-19", "own-20", "own-100%"])
def test_a_draw_that_leaves_nothing_is_refused(name):
    with pytest.raises(UsageError, match=f"{name} leaves fewer than 2 of 20 classes seen, or none unseen"):
        protocol(name).split(0, some(20))


def test_the_seen_classes_of_a_file_may_be_the_rest(tmp_path):
    path = tmp_path / "own.json"
    splits = [{"seen": "rest", "validation": ["Sit"], "unseen": ["hand stand"]}, {"seen": ["bow"], "unseen": ["sit"]}]
    path.write_text(json.dumps(splits))
    own = protocol(str(path))
    assert own.of_videos
    split = own.split(0, ["Bow", "HandStand", "Run", "Sit"])
    assert (split.seen, split.validation, split.unseen) == (("Bow", "Run"), ("Sit",), ("HandStand",))
    assert own.split(1, ["Bow", "HandStand", "Run", "Sit"]).classes == ("Bow", "Sit")
    with pytest.raises(UsageError, match="the data set lacks hand stand"):
        own.split(0, ["Bow", "Run", "Sit"])
