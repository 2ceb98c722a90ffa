"""What a film shows follows from its seed, its class and its number, and from nothing else."""

import dataclasses

import numpy as np
import pytest

from pipelines.practice.takes import Take

TAKE = Take("v003-01", "clap then bow", seed=5, class_number=3, number=1, motions=("clap", "bow"))


def first(take: Take) -> np.ndarray:
    return next(take.pictures(32, 15))


def test_a_film_does_not_hang_on_its_name_or_on_what_was_drawn_before():
    before = first(TAKE)
    first(dataclasses.replace(TAKE, number=2))
    assert np.array_equal(first(dataclasses.replace(TAKE, name="other", label="else")), before)


@pytest.mark.parametrize("other", [{"seed": 6}, {"class_number": 4}, {"number": 2}], ids=str)
def test_another_seed_class_or_number_is_another_body_pace_and_room(other):
    take = dataclasses.replace(TAKE, **other)
    here, there = TAKE.performance(15), take.performance(15)
    assert here.body != there.body
    assert [each.motion for each in here.segments] == [each.motion for each in there.segments]
    assert [each.end_s for each in here.segments] != [each.end_s for each in there.segments]
    assert not np.array_equal(first(TAKE), first(take))


def test_the_camera_of_the_poses_is_the_one_that_films():
    done = TAKE.performance(15)
    scene = TAKE.scene(done.places(), done.body.girth, 32, 15)
    camera = TAKE.camera(done)
    assert camera.view == scene.camera.view
    assert np.array_equal(camera.at, scene.camera.at)
    assert np.array_equal(camera.shake, scene.camera.shake)
