"""Layouts of joints that users declared, kept in the root: `joints/NAME-DIGEST.toml`, as they were given.

a TOML file ──declare──▶ a layout known here and kept         root ──load──▶ all of them known to this process
"""

from pathlib import Path

from extractors import declared_joints, joints
from extractors.joints import Layout
from pipelines.errors import UsageError
from stores.root import Root, checked_name

_FOLDER = "joints"


def declare(path: str, root: Root) -> Layout:
    """Read a layout from a file, keep it in the root, and make it known.

    Raises
    ------
    UsageError
        There is no such file, it is no text, or its name is none that a layout can have.
    ExtractorError
        It declares no layout, see `extractors.declared_joints`.
    """
    try:
        text = Path(path).expanduser().read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The layout {path} cannot be read: {error}. Give a TOML file (docs/poses.md).") from error
    found = declared_joints.layout_of(text, checked_name(Path(path).stem), path)
    if not root.exists(_FOLDER, f"{found.name}.toml"):
        root.write_text(text, _FOLDER, f"{found.name}.toml")
    return joints.declare(found)


def load(root: Root) -> None:
    """Make all layouts that were declared in a root known to this process."""
    for name in root.names_in(_FOLDER):
        stem = name.removesuffix(".toml")
        if name.endswith(".toml") and stem not in joints.LAYOUTS:
            text = root.read_text(_FOLDER, name)
            joints.declare(declared_joints.layout_of(text, stem.rpartition("-")[0], name))
