"""The class names of Kinetics-400 and ImageNet-1k, as torchvision lists them, without importing it.

torchvision keeps the lists as literals in one file; reading that spares a second and 160 MB of every worker. The order
of the Kinetics names is that of I3D's label map (seen equal).
"""

import ast
import functools
import importlib.util
from pathlib import Path

from extractors.errors import MachineFault

KINETICS_400 = "_KINETICS400_CATEGORIES"
IMAGENET_1K = "_IMAGENET_CATEGORIES"


@functools.cache
def class_names(which: str) -> tuple[str, ...]:
    """The names of one of the two lists above, in the order of the classifiers' outputs.

    Raises
    ------
    MachineFault
        torchvision is not installed, or keeps its lists elsewhere.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        raise MachineFault("Class names come with torchvision, which is not installed. Run `pip install torchvision`.")
    path = Path(spec.submodule_search_locations[0]) / "models" / "_meta.py"
    try:
        for statement in ast.parse(path.read_text()).body:
            if isinstance(statement, ast.Assign) and any(
                isinstance(t, ast.Name) and t.id == which for t in statement.targets
            ):
                return tuple(ast.literal_eval(statement.value))
    except OSError:
        pass  # said below: the list is not where it was
    raise MachineFault(f"{path} has no list {which}. Install a torchvision that `constraints.txt` names.")
