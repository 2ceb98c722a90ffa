"""Training from proxies: the frames of the films, from a store; what lacks or does not fit is one line."""

import pickle

import numpy as np
import pytest
import torch

from extractors import clips
from extractors.sampling import Geometry, View
from pipelines.errors import UsageError
from pipelines.extract import compute
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig, VerifyConfig
from pipelines.extract.verify import verify
from pipelines.index.settings import IndexConfig
from pipelines.index.videos import index
from pipelines.learn.samples import pixels
from pipelines.learn.samples.pixels import Form, Pixels
from stores.errors import Damaged, NotInStore, WriteFailed
from stores.failures import Failure, Failures
from stores.features import FeatureStore
from tests.conftest import contents, make_video
from tests.extractors.numbered import number_of, write

FORM = Form(frames=4, stride=2, resize=64, crop=64)


@pytest.fixture
def films(root, tmp_path):
    """Six films of two classes, whose pictures say which they are."""
    (tmp_path / "films").mkdir()
    for k in range(6):
        write(tmp_path / "films" / f"v{k}.avi", "mpeg4", {"bf": "2", "g": "12"}, frames=40 + k, first=10 * k)
    (tmp_path / "labels.csv").write_text("\n".join(["id,label", *(f"v{k},{'ab'[k % 2]}" for k in range(6))]))
    index(IndexConfig((str(tmp_path / "films"),), "d", labels=(str(tmp_path / "labels.csv"),)), root)
    return tmp_path / "films"


def made(root, spec="proxy", **more):
    return extract(ExtractConfig((spec,), "d", device="cpu", workers=2, **more), root).features[0]


def samples(root, proxy="proxy", **more) -> Pixels:
    found = pixels.read("d", root, FORM, proxy)
    return Pixels(found, np.arange(len(found.ids)), found.classes, "cpu", **more)


def drawn(own: Pixels, draw: int | None) -> torch.Tensor:
    return torch.cat(
        [batch.segments for batch in own.batches([torch.tensor([0, 1, 2]), torch.tensor([3, 4, 5])], draw)]
    )


def test_a_clip_is_of_the_frames_that_are_taken_from_the_film(root, films, monkeypatch):
    made(root)
    from_films, from_proxies = (samples(root, proxy)._loader.dataset._source for proxy in ("", "proxy"))
    whole = Geometry((64, 96), (64, 96))
    for draw in range(20):
        for row in range(6):
            view = View(pixels._drawn(FORM, draw, row, True).sampling, whole)
            own, film = (each.read(row, view) for each in (from_proxies, from_films))
            assert [*map(number_of, own)] == [*map(number_of, film)]
            assert np.abs(own.astype(int) - film).mean() < 5


def test_what_is_drawn_does_not_depend_on_who_reads(root, films):
    made(root)
    own = drawn(samples(root), 7)
    assert torch.equal(drawn(samples(root, loaders=2), 7), own)
    assert not torch.equal(drawn(samples(root), 8), own)
    assert (own - drawn(samples(root, ""), 7)).abs().mean() < 0.15, "of a standard deviation; other frames are .6 apart"


def test_the_films_are_not_opened(root, films, monkeypatch):
    made(root)
    monkeypatch.setattr(clips, "read", None)
    assert drawn(samples(root), None).shape == (6, 3, 4, 64, 64)


def test_verify_recomputes_the_same_bytes_and_repairs(root, films):
    made(root)
    (report,) = verify(VerifyConfig(("proxy",), recompute=6, device="cpu"), root)
    assert (report.recomputed, report.differing, report.damaged) == (6, (), ())
    before = contents(root, "proxy")
    for chunk in (films.parent / "root" / "features").glob("proxy@*/chunks/*"):
        if chunk.stat().st_size > 4_000_000:
            chunk.unlink()
    with pytest.raises(Damaged, match=r"^Rows of proxy@\w+ are damaged: .*Run `zsar verify proxy@\w+ --repair`"):
        drawn(samples(root, loaders=1), None)
    (report,) = verify(VerifyConfig(("proxy",), repair=True, device="cpu"), root)
    assert report.repaired == 6
    assert contents(root, "proxy") == before
    assert len(drawn(samples(root), None)) == 6


def test_a_frame_that_is_no_picture_any_more_stops_the_training(root, films, monkeypatch):
    made(root)
    own = samples(root)
    monkeypatch.setattr("extractors.proxy.cv2.imdecode", lambda *_: None)
    with pytest.raises(Damaged, match=r"are damaged: frame \d+ of its proxy is no JPEG \(\w{12}\)\. Run `zsar verify"):
        drawn(own, None)
    assert own.broken == []


def test_an_extraction_that_was_cut_short_goes_on(root, films, monkeypatch):
    monkeypatch.setattr(compute, "_PORTION_BYTES", 1)
    appended, append = [], type(FeatureStore(root)).create

    def full(self, *arguments):
        own = append(self, *arguments)
        inner = own.append

        def after_two(rows, metadata=None):
            if len(appended) == 2:
                raise WriteFailed("full")
            appended.append(len(rows))
            return inner(rows, metadata)

        own.append = after_two
        return own

    with monkeypatch.context() as patch:
        patch.setattr(FeatureStore, "create", full)
        with pytest.raises(WriteFailed):
            made(root)
    assert appended == [1, 1], "a commit as soon as there are many bytes"
    with pytest.raises(UsageError, match=r"^4 of 6 videos of 'd' have no proxy in proxy@\w+ yet\. Run `zsar extract"):
        samples(root)
    report = made(root)
    assert (report.planned, report.extracted, report.skipped) == (4, 4, 2)
    whole = contents(root, "proxy")
    FeatureStore(root).drop("proxy")
    made(root)
    assert contents(root, "proxy") == whole


def test_a_video_that_failed_is_left_out_and_counted(root, films):
    made(root)
    found = FeatureStore(root).find("proxy")
    (films / "v9.avi").write_bytes(make_video(films / "v9.avi", codec="mpeg4", frames=9).read_bytes())
    (films.parent / "labels.csv").write_text("\n".join(["id,label", *(f"v{k},{'ab'[k % 2]}" for k in (*range(6), 9))]))
    index(IndexConfig((str(films),), "d", labels=(str(films.parent / "labels.csv"),)), root)
    with pytest.raises(UsageError, match="^1 of 7 videos of 'd' have no proxy"):
        samples(root)
    key = pixels.read("d", root, FORM).keys[-1]
    Failures(root).append([Failure(key, "uri", "d", found.key, found.name, "decode", "TooSmall", "too narrow")])
    now = pixels.read("d", root, FORM, "proxy")
    assert len(now.ids) == 6
    ((left_out, _, fault),) = now.faults
    assert (left_out, str(fault)) == (key, "it has no proxy: too narrow")
    assert len(pixels.read("d", root, FORM).ids) == 7, "from the films it can be learned"


def test_advice_makes_the_set_that_was_asked_for(root, films):
    made(root, "proxy:side=64,quality=80")
    make_video(films / "v9.avi", codec="mpeg4")
    (films.parent / "labels.csv").write_text("\n".join(["id,label", *(f"v{k},a" for k in (*range(6), 9))]))
    index(IndexConfig((str(films),), "d", labels=(str(films.parent / "labels.csv"),)), root)
    with pytest.raises(UsageError, match=r"Run `zsar extract proxy:quality=80,side=64 --dataset d`"):
        samples(root)
    assert made(root, "proxy:side=64,quality=80").extracted == 1
    assert len(samples(root)) == 7


def test_what_does_not_fit_is_one_line(root, films, fake):
    with pytest.raises(NotInStore, match=r"^No feature set matches 'proxy' .* Run `zsar extract proxy --dataset NAME`"):
        samples(root)
    made(root, "fake")
    with pytest.raises(UsageError, match=r"^fake@\w+ holds no frames\. Give proxy= a set that `zsar extract proxy"):
        samples(root, "fake")
    made(root, "proxy:side=48")
    with pytest.raises(UsageError, match=r"side of 48, resize=64 asks for more\. Run `zsar extract proxy:side=64"):
        samples(root)


def test_what_is_handed_to_processes_holds_no_open_store(root, films):
    made(root)
    source = samples(root)._loader.dataset._source
    view = View(pixels._whole(FORM).sampling, Geometry(64, 64))
    clip = source.read(1, view)
    again = pickle.loads(pickle.dumps(source))
    assert again._rows is None
    assert np.array_equal(again.read(1, view), clip)
