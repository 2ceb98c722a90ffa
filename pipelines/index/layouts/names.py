"""Names of all layouts: of data sets, of the joints of poses, and kinds of text, which a flow reads in their place.

Whether a name is of what is indexed is the reader's to say, who knows what that is.
"""

from extractors import joints
from pipelines.index.layouts.reading import LAYOUTS
from stores.texts import KINDS


def names() -> tuple[str, ...]:
    """`auto` and all others."""
    return "auto", *LAYOUTS, *joints.LAYOUTS, *KINDS
