"""docs/poses.md names every joint and bone of every layout as the code does."""

from pathlib import Path

import pytest

from extractors.joints import LAYOUTS, Layout

DOCS = Path(__file__).parents[2] / "docs/poses.md"


@pytest.mark.parametrize("layout", [*LAYOUTS.values()], ids=lambda each: each.name)
def test_the_table_of_layouts_says_what_the_code_does(layout: Layout):
    names = ", ".join(f"{number} {joint}" for number, joint in enumerate(layout.joints))
    bones = " ".join(f"{a}-{b}" for a, b in layout.bones)
    assert f"| `{layout.name}` | {names} | {layout.centre} | {bones} |" in DOCS.read_text().splitlines()
