"""The names are torchvision's own, in its order."""

import subprocess
import sys

import pytest

from extractors import class_names as module
from extractors.class_names import IMAGENET_1K, KINETICS_400, class_names
from extractors.errors import MachineFault


def test_the_lists_are_those_of_torchvisions_weights():
    from torchvision.models import ResNet50_Weights
    from torchvision.models.video import R2Plus1D_18_Weights

    assert list(class_names(KINETICS_400)) == R2Plus1D_18_Weights.KINETICS400_V1.meta["categories"]
    assert list(class_names(IMAGENET_1K)) == ResNet50_Weights.IMAGENET1K_V1.meta["categories"]


@pytest.mark.shared
def test_the_kinetics_order_is_that_of_the_label_map_i3d_was_published_with(shared_data):
    lines = (shared_data / "kinetics" / "i3d_k400_labels.txt").read_text().split("\n")
    assert [name.lower() for name in class_names(KINETICS_400)] == [line.lower() for line in lines if line]


def test_reading_them_imports_neither_torch_nor_torchvision():
    code = (
        "import sys; from extractors.class_names import class_names, KINETICS_400; class_names(KINETICS_400);"
        "sys.exit('torch' in sys.modules or 'torchvision' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_torchvision_that_keeps_them_elsewhere_is_named(monkeypatch, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "_meta.py").write_text("_OTHER = []\n")
    spec = type("Spec", (), {"submodule_search_locations": [str(tmp_path)]})
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(MachineFault, match="_meta.py has no list _KINETICS400_CATEGORIES"):
        class_names.__wrapped__(KINETICS_400)
