"""What is seen of an item on a page that is one file."""

import base64
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa

from pipelines.look import query_page
from pipelines.look.query import Hits
from pipelines.look.seen import PLACES, PoseViewer, film
from pipelines.look.segments import SCHEMA
from pipelines.look.settings import QueryConfig
from stores.features import FeatureStore
from tests.conftest import make_video, picture
from tests.pipelines import skeletons


def pixels(url: str) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(base64.b64decode(url.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_frames_are_those_of_the_span(tmp_path):
    path = make_video(tmp_path / "a.mp4", frames=50, size=(160, 120), options={"crf": "5"})
    found = film(str(path), 1.0, 2.0)
    assert found.link == path.as_uri() + "#t=1.00,2.00"
    for url, place in zip(found.frames, PLACES, strict=True):
        own = picture(int(25 * (1 + place)), 160, 120)
        other = picture(int(25 * place), 160, 120)
        shown = cv2.resize(pixels(url), (160, 120)).astype(int)
        assert np.abs(shown - own).mean() < np.abs(shown - other).mean() / 2


def test_of_a_whole_film_frames_are_spread_over_it(tmp_path):
    path = make_video(tmp_path / "a.mp4", frames=50, size=(160, 120))
    found = film(str(path), None, None)
    assert len(set(found.frames)) == 3
    assert found.link == path.as_uri()
    assert film(str(path), None, None, pictured=False).frames == ()


def test_what_cannot_be_seen_says_why(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no film")
    found = film(str(tmp_path / "a.mp4"), 0.0, 1.0)
    assert found.frames == ()
    assert "cannot open it" in found.why_not
    assert film("s3://bucket/a.mp4", 0.0, 1.0).link == ""
    assert film("relative.mp4", 0.0, 1.0).why_not == "its file is not here"


def test_poses_are_drawn(root, tmp_path):
    skeletons.dataset(root, tmp_path, each=2)
    name, row = next(iter(skeletons.rows(root).items()))
    found = PoseViewer(root).seen(row["uri"], row["key"].hex(), name)
    assert len(found.drawings) == 3
    assert all(f'aria-label="skeleton of {name}' in each for each in found.drawings)
    gone = PoseViewer(root).seen(row["uri"], "00" * 32, name)
    assert gone.drawings == ()
    assert gone.why_not


def test_the_page_of_a_query_draws_poses(root, tmp_path):
    skeletons.dataset(root, tmp_path, each=2)
    held = FeatureStore(root).create("stgcn@ab", {"decoder": "x"}, "ab", {"features": ((4,), "float32")})
    name, row = next(iter(skeletons.rows(root).items()))
    own = dict.fromkeys(SCHEMA.names) | {"dataset": "p", "video_id": name, "uri": row["uri"], "segment": 0}
    table = pa.Table.from_pylist([own | {"key": row["key"].hex()}], schema=SCHEMA)
    table = table.add_column(0, "score", pa.array([0.5], pa.float32()))
    hits = Hits(table, held.name, "features", "a space", (), 0.0)
    page = Path(query_page.page(QueryConfig(like=name), hits, root).removeprefix("file://")).read_text()
    assert page.count('aria-label="skeleton of') == 3
