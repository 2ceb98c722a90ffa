"""Maps below the last layers of a network, and these layers: together they give what the whole network gives."""

import numpy as np
import pytest
import torch

from extractors import options
from extractors.layers_above import AboveFrames

# the small one of two, what gives the features of the whole, options that make a CPU quick
PAIRS = [
    ("r2plus1d_18_below_stage", "r2plus1d_18_segments", "frames=8,resize=36,crop=34"),
    ("r2plus1d_18_below_block", "r2plus1d_18_segments", "frames=8,resize=36,crop=34"),
    ("r2plus1d_34_below_block", "r2plus1d_34_segments", "frames=8,resize=34,crop=32"),
    ("tsm_resnet50_below_stage", "tsm_resnet50", "resize=70,crop=66"),
    ("tsm_resnet50_below_block", "tsm_resnet50", "resize=70,crop=66"),
    ("jigsaw_below_stage", "jigsaw", "frames=8,resize=36,crop=34"),
    ("jigsaw_below_block", "jigsaw", "frames=8,resize=36,crop=34"),
]


def loaded(name: str, told: str):
    extractor = options.asked(f"{name}:{told}", "random:3", "fp32")
    extractor.load("cpu")
    return extractor


@pytest.mark.parametrize(("lower", "whole", "told"), PAIRS)
def test_the_layers_above_the_maps_give_the_features_of_the_whole(lower, whole, told):
    below, all_of_it = loaded(lower, told), loaded(whole, told)
    clip = (all_of_it.sampling.frames, *all_of_it.geometry.size, 3)
    units = np.random.default_rng(0).integers(0, 256, (all_of_it.batch_units["cpu"], *clip), np.uint8)
    maps = below.rows(below(units))["maps"]
    wanted = all_of_it.rows(all_of_it(units))["features"].astype(np.float32)
    assert maps.dtype == np.float16
    assert maps.shape[1:] == below.outputs["maps"].shape
    layers = below.above().eval()
    videos = torch.from_numpy(maps.astype(np.float32)).unflatten(0, (len(units), -1))
    with torch.no_grad():
        found = layers(videos)
    assert found.shape == (len(units), layers.rows(tuple(videos.shape[1:])), wanted.shape[-1])
    scale = np.abs(wanted).max()
    assert scale > 0
    assert np.abs(found.flatten(0, 1).numpy() - wanted).max() < 4e-3 * scale


def test_they_are_kept_as_small_as_the_module_says():
    sizes = {name: options.asked(name, "random:0", "fp32").outputs["maps"].shape for name, _, _ in PAIRS}
    assert sizes["r2plus1d_18_below_stage"] == (256, 8, 14, 14)
    assert sizes["r2plus1d_34_below_block"] == (512, 4, 7, 7)
    assert sizes["tsm_resnet50_below_stage"] == (1024, 14, 14)
    assert sizes["tsm_resnet50_below_block"] == (2048, 7, 7)
    assert sizes["jigsaw_below_stage"] == (256, 4, 14, 14)
    assert 2 * np.prod(sizes["r2plus1d_18_below_stage"]) == 802_816


def test_a_shift_takes_an_eighth_of_either_neighbour_and_none_of_another_clip():
    extractor = options.asked("tsm_resnet50_below_block:resize=34,crop=32", "random:0", "fp32")
    layers = extractor.above()
    x = torch.arange(16.0)[:, None, None, None].expand(16, 16, 1, 1)  # two clips; each frame holds its number
    wanted = torch.zeros(16, 16)
    for frame in range(16):
        clip = frame // 8
        for channel in range(16):
            other = frame + 1 if channel < 2 else frame - 1 if channel < 4 else frame
            wanted[frame, channel] = other if other // 8 == clip and other >= 0 else 0
    assert isinstance(layers, AboveFrames)
    assert torch.equal(layers.blocks[0]._shift(x)[:, :, 0, 0], wanted)
    with pytest.raises(ValueError, match="7 frames are no whole clips of 8"):
        layers(torch.zeros(1, 7, *extractor.outputs["maps"].shape))
