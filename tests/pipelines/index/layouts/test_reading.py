"""The published layouts, on small trees of tiny files."""

import json
import os
import re
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import LayoutError
from pipelines.index import files as files_module
from pipelines.index.files import EXTENSIONS, File, Files, joined, look
from pipelines.index.layouts.reading import LAYOUTS, Reading, read


def tree(base: Path, *names: str) -> Path:
    for name in names:
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return base


def text(path: Path, content: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return str(path)


def reading(base: Path, *labels: str, layout: str = "auto") -> Reading:
    return read(layout, look(str(base)), labels)


def rows(found: Reading) -> dict[str, tuple[str | None, str | None]]:
    return {item.video_id: (item.label, item.split) for item in found.found}


# -- any folder -------------------------------------------------------------------------------------------------------


def test_a_folder_is_listed_to_the_bottom_by_extension_in_any_case(tmp_path):
    names = [f"sub/deeper/v{i}{extension}" for i, extension in enumerate(sorted(EXTENSIONS))]
    tree(tmp_path, *names, "A.MP4", "notes.txt", ".hidden.mp4", ".trash/b.mp4", "poster.jpg")
    found = reading(tmp_path)
    assert found.layout == "folder"
    assert sorted(rows(found)) == sorted(["A", *(name.rsplit(".", 1)[0] for name in names)])
    assert all(os.path.isabs(item.uri) and Path(item.uri).is_file() for item in found.found)


def test_a_single_file_is_a_data_set_of_one(tmp_path):
    tree(tmp_path, "walk.mkv", "other.mkv")
    assert [(i.video_id, i.uri) for i in reading(tmp_path / "walk.mkv").found] == [("walk", str(tmp_path / "walk.mkv"))]


def test_links_are_followed_but_not_in_circles(tmp_path):
    tree(tmp_path, "real/a.mp4", "set/b.mp4")
    (tmp_path / "set/linked").symlink_to(tmp_path / "real")
    (tmp_path / "set/up").symlink_to(tmp_path / "set")
    (tmp_path / "set/lost.mp4").symlink_to(tmp_path / "nowhere.mp4")
    assert sorted(rows(reading(tmp_path / "set", layout="folder"))) == ["b", "linked/a", "lost"]


def test_a_file_below_two_of_the_paths_counts_once(tmp_path):
    tree(tmp_path, "a.mp4", "sub/b.mp4")
    both = joined([look(str(tmp_path)), look(str(tmp_path / "sub"))])
    assert [f.rel for f in both.files] == ["a.mp4", "sub/b.mp4"]


def test_listing_stats_folders_only(tmp_path, monkeypatch):
    tree(tmp_path, *[f"c{i % 3}/v{i}.mp4" for i in range(30)])
    asked = []
    real = os.stat
    monkeypatch.setattr(files_module.os, "stat", lambda path, **kw: asked.append(path) or real(path, **kw))
    assert len(look(str(tmp_path)).files) == 30
    assert len([path for path in asked if str(path).endswith(".mp4")]) == 0


def test_a_name_that_is_not_utf8_is_a_fault_and_the_others_are_listed(tmp_path):
    tree(tmp_path, "good.mp4")
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.mp4")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    found = look(str(tmp_path))
    assert [f.rel for f in found.files] == ["good.mp4"]
    assert [(f.uri, f.error) for f in found.faults] == [(f"{tmp_path}/bad\\xff.mp4", "BadName")]


def test_a_folder_that_cannot_be_listed_is_a_fault_and_the_others_are_listed(tmp_path, monkeypatch):
    tree(tmp_path, "open/a.mp4", "shut/b.mp4")
    real = os.scandir

    def scandir(path):
        if str(path).rstrip("/").endswith("shut"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(files_module.os, "scandir", scandir)
    found = look(str(tmp_path))
    assert [f.rel for f in found.files] == ["open/a.mp4"]
    assert [(f.error, f.message) for f in found.faults] == [
        ("Unreachable", "The folder cannot be listed: Permission denied.")
    ]
    with pytest.raises(LayoutError, match=r"Cannot list the folder '.*shut': Permission denied. Check its permissions"):
        look(str(tmp_path / "shut"))


def test_object_stores_are_listed_with_sizes_and_times():
    fs = fsspec.filesystem("memory")
    for name in ("walk/a.mp4", "walk/sub/b.avi", "run/c.mp4", "run/.d.mp4", "readme.txt"):
        fs.pipe(f"/listed/{name}", name.encode())
    found = look("memory://listed")
    assert [f.rel for f in found.files] == ["run/c.mp4", "walk/a.mp4", "walk/sub/b.avi"]
    assert found.files[0].uri == "memory://listed/run/c.mp4"
    assert found.stats["memory://listed/walk/a.mp4"][0] == len("walk/a.mp4")
    assert all(mtime_ns > 0 for _, mtime_ns in found.stats.values())
    assert [f.rel for f in look("memory://listed/run/c.mp4").files] == ["c.mp4"]


def test_what_is_not_taken_is_counted_by_ending_here_and_on_object_stores(tmp_path):
    names = ("a.mp4", "b.MTS", "c.jpg", "d.JPG", "e.txt", "README", ".hidden.mp4", ".git/f.jpg")
    tree(tmp_path, *names)
    fs = fsspec.filesystem("memory")
    for name in names:
        fs.pipe(f"/counted/{name}", b"x")
    for path in (str(tmp_path), "memory://counted"):
        found = look(path)
        assert [file.name for file in found.files] == ["a.mp4", "b.MTS"]
        assert list(found.not_taken.items()) == [(".jpg", 2), (".txt", 1), ("without", 1)]
    assert joined([look(str(tmp_path)), look("memory://counted")]).not_taken == {".jpg": 4, ".txt": 2, "without": 2}


# -- class folders ----------------------------------------------------------------------------------------------------


def test_class_folders_are_recognised_and_label_their_videos(tmp_path):
    tree(tmp_path, "bow/1.mp4", "bow/2.mp4", "sit/1.mp4")
    found = reading(tmp_path)
    assert found.layout == "class-video"
    assert rows(found) == {"bow/1": ("bow", None), "bow/2": ("bow", None), "sit/1": ("sit", None)}


def test_split_folders_above_class_folders_give_the_split(tmp_path):
    tree(tmp_path, "train/bow/1.mp4", "validation/bow/2.mp4", "test_256/sit/3.mp4")
    assert rows(reading(tmp_path)) == {
        "train/bow/1": ("bow", "train"),
        "validation/bow/2": ("bow", "val"),
        "test_256/sit/3": ("sit", "test"),
    }


@pytest.mark.parametrize("names", [["a/1.mp4", "2.mp4"], ["a/1.mp4", "a/2.mp4"], ["a/b/1.mp4", "c/2.mp4"]])
def test_anything_else_is_just_a_folder(names, tmp_path):
    found = reading(tree(tmp_path, *names))
    assert found.layout == "folder"
    assert {item.label for item in found.found} == {None}


def test_class_video_by_name_labels_by_the_outermost_folder(tmp_path):
    tree(tmp_path, "bow/day1/1.mp4", "loose.mp4")
    assert rows(reading(tmp_path, layout="class-video")) == {"bow/day1/1": ("bow", None), "loose": (None, None)}


# -- UCF101 -----------------------------------------------------------------------------------------------------------

UCF = ("Archery/v_Archery_g01_c01.avi", "Archery/v_Archery_g08_c02.avi", "Biking/v_Biking_g01_c01.avi")
TRAIN = "Archery/v_Archery_g08_c02.avi 1\n"
TEST = "Archery/v_Archery_g01_c01.avi\nBiking/v_Biking_g01_c01.avi\n"


@pytest.mark.parametrize("flat", [False, True])
def test_ucf101_is_recognised_by_its_names_in_folders_or_flat(flat, tmp_path):
    tree(tmp_path, *(name.rpartition("/")[2] if flat else name for name in UCF))
    found = reading(tmp_path)
    assert found.layout == "ucf101"
    assert rows(found) == {
        "v_Archery_g01_c01": ("Archery", None),
        "v_Archery_g08_c02": ("Archery", None),
        "v_Biking_g01_c01": ("Biking", None),
    }


def test_the_class_ucf101_spells_in_two_ways_has_one_label(tmp_path):
    tree(tmp_path, "HandstandPushups/v_HandStandPushups_g01_c01.avi", "Archery/v_Archery_g01_c01.avi")
    assert rows(reading(tmp_path))["v_HandStandPushups_g01_c01"] == ("HandstandPushups", None)


def test_ucf101_split_files_give_label_and_split(tmp_path):
    tree(tmp_path / "videos", *UCF)
    labels = [
        text(tmp_path / "trainlist01.txt", TRAIN),
        text(tmp_path / "testlist01.txt", TEST),
        text(tmp_path / "classInd.txt", "1 Archery\n2 Biking\n"),
    ]
    found = reading(tmp_path / "videos", *labels)
    assert (found.layout, found.missing, found.faults) == ("ucf101", [], [])
    assert rows(found) == {
        "v_Archery_g01_c01": ("Archery", "test"),
        "v_Archery_g08_c02": ("Archery", "train"),
        "v_Biking_g01_c01": ("Biking", "test"),
    }


def test_ucf101_lists_are_read_with_commas_windows_line_ends_deeper_paths_and_class_names_of_several_words(tmp_path):
    tree(tmp_path / "videos", *UCF[:2])
    labels = [
        text(tmp_path / "TrainList01.TXT", f"UCF-101/{UCF[1]},1\r\n\r\n"),
        text(tmp_path / "testlist01.txt", "Archery\\v_Archery_g01_c01.avi\t \r\n"),
        text(tmp_path / "classInd.txt", "1,Archery \r\n02 Apply Eye Makeup\r\n"),
    ]
    assert rows(reading(tmp_path / "videos", *labels)) == {
        "v_Archery_g01_c01": ("Archery", "test"),
        "v_Archery_g08_c02": ("Archery", "train"),
    }
    with pytest.raises(LayoutError, match=r"classInd.txt line 1 must read NUMBER CLASS, got 'Archery'"):
        reading(tmp_path / "videos", *labels[:2], text(tmp_path / "classInd.txt", "Archery\n"))


def test_the_class_numbers_alone_leave_labels_to_the_names(tmp_path):
    tree(tmp_path / "videos", UCF[0])
    found = reading(tmp_path / "videos", text(tmp_path / "classInd.txt", "1 Archery\n"))
    assert rows(found) == {"v_Archery_g01_c01": ("Archery", None)}


def test_several_numbered_splits_are_all_kept(tmp_path):
    tree(tmp_path / "videos", UCF[0])
    text(tmp_path / "lists/trainlist02.txt", f"{UCF[0]} 1\n")
    text(tmp_path / "lists/testlist01.txt", f"{UCF[0]}\n")
    assert rows(reading(tmp_path / "videos", str(tmp_path / "lists"))) == {
        "v_Archery_g01_c01": ("Archery", "1:test,2:train")
    }


def test_re_encoded_videos_are_found_by_their_names(tmp_path):
    tree(tmp_path / "videos", "v_Archery_g08_c02.mp4")
    found = reading(tmp_path / "videos", text(tmp_path / "trainlist01.txt", TRAIN))
    assert rows(found) == {"v_Archery_g08_c02": ("Archery", "train")}


def test_missing_and_unnamed_and_doubled_videos_are_told_apart(tmp_path):
    tree(tmp_path / "videos", UCF[0], "Biking/v_Biking_g09_c09.avi")
    found = reading(tmp_path / "videos", text(tmp_path / "testlist01.txt", TEST + TEST))
    assert rows(found) == {"v_Archery_g01_c01": ("Archery", "test"), "v_Biking_g09_c09": (None, None)}
    assert [fault.uri for fault in found.missing] == ["v_Biking_g01_c01"]
    assert found.missing[0].message.startswith("testlist01.txt:2 names it, but no such file is there")


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (
            TRAIN,
            "Archery/v_Archery_g08_c02.avi\n",
            "'v_Archery_g08_c02' twice and differently: train in trainlist01.txt:1, test in testlist01.txt:1",
        ),
        (
            TRAIN,
            "Biking/v_Archery_g08_c02.avi\n",
            "twice and differently: 'Archery' in trainlist01.txt:1, 'Biking' in testlist01.txt:1",
        ),
        (
            "v_A_g08_c02.avi 1\n",
            "",
            r"trainlist01.txt line 1 must read CLASS/VIDEO.avi \[NUMBER\], got 'v_A_g08_c02.avi 1'",
        ),
        ("Archery/v_A_g08_c02.avi 2\n", "", "gives class 'Archery' the number 2, which classInd.txt gives to 'Biking'"),
    ],
)
def test_label_files_that_contradict_themselves_are_refused(train, test, message, tmp_path):
    tree(tmp_path / "videos", *UCF)
    labels = [
        text(tmp_path / "trainlist01.txt", train),
        text(tmp_path / "testlist01.txt", test),
        text(tmp_path / "classInd.txt", "1 Archery\n2 Biking\n"),
    ]
    with pytest.raises(LayoutError, match=message) as refused:
        reading(tmp_path / "videos", *labels)
    assert "\n" not in str(refused.value)


# -- HMDB51 -----------------------------------------------------------------------------------------------------------

HMDB = ("April_09_brush_hair_u_nm_np1_ba_goo_0.avi", "Show#1_(x)&y;[z]_hit_f_cm_np2_fr_med_1.avi")


def hmdb(base: Path) -> Path:
    return tree(base, f"brush_hair/{HMDB[0]}", f"hit/{HMDB[1]}", "hit/extra_hit_f_cm_np1_fr_bad_3.avi")


def test_hmdb51_is_recognised_and_labelled_by_folder(tmp_path):
    found = reading(hmdb(tmp_path))
    assert found.layout == "hmdb51"
    assert [label for label, _ in rows(found).values()] == ["brush_hair", "hit", "hit"]


def test_hmdb51_split_files_say_train_test_or_neither(tmp_path):
    hmdb(tmp_path / "videos")
    labels = [
        text(tmp_path / "brush_hair_test_split1.txt", f"{HMDB[0]} 2 \n"),
        text(tmp_path / "hit_test_split1.txt", f"{HMDB[1]} 1 \nextra_hit_f_cm_np1_fr_bad_3.avi 0 \n"),
    ]
    assert list(rows(reading(tmp_path / "videos", *labels)).values()) == [
        ("brush_hair", "test"),
        ("hit", "train"),
        ("hit", None),
    ]


def test_hmdb51_split_files_are_read_with_commas_tabs_and_windows_line_ends(tmp_path):
    hmdb(tmp_path / "videos")
    labels = [
        text(tmp_path / "brush_hair_test_split1.txt", f"{HMDB[0]},2\r\n"),
        text(tmp_path / "hit_test_split1.txt", f"hit/{HMDB[1]}\t1\r\n\r\n"),
    ]
    assert list(rows(reading(tmp_path / "videos", *labels)).values())[:2] == [("brush_hair", "test"), ("hit", "train")]


def test_two_hmdb51_files_of_one_name_are_told_apart_by_their_folders(tmp_path):
    tree(tmp_path / "videos", "hit/a.avi", "kick/a.avi")
    labels = [text(tmp_path / "hit_test_split1.txt", "a.avi 1\n"), text(tmp_path / "kick_test_split1.txt", "a.avi 2\n")]
    found = reading(tmp_path / "videos", *labels)
    assert [(i.label, i.split) for i in found.found] == [("hit", "train"), ("kick", "test")]
    (tmp_path / "videos/kick/a.avi").unlink()
    with pytest.raises(
        LayoutError, match=r"names? 'a' twice and differently: 'hit' in hit_test_split1.txt:1, 'kick' in kick_"
    ):
        reading(tmp_path / "videos", *labels)


def test_a_bad_line_of_an_hmdb51_split_file_is_named(tmp_path):
    hmdb(tmp_path / "videos")
    with pytest.raises(LayoutError, match=r"hit_test_split1.txt line 2 must read VIDEO.avi 0\|1\|2, got 'b.avi 7'"):
        reading(tmp_path / "videos", text(tmp_path / "hit_test_split1.txt", "a.avi 1\nb.avi 7\n"))


# -- Kinetics ---------------------------------------------------------------------------------------------------------

HEADER = "label,youtube_id,time_start,time_end,split,is_cc\n"
ID_1, ID_2, ID_3 = "---QUuC4vJs", "abc_def-123", "xyz_000_111"


def test_kinetics_clips_are_found_by_id_and_times_in_class_folders_with_spaces_or_underscores(tmp_path):
    tree(
        tmp_path / "v", f"air drumming/{ID_1}_000084_000094.mp4", f"passing_American_football/{ID_2}_000010_000020.mp4"
    )
    csv = text(
        tmp_path / "k400.csv",
        f'{HEADER}air drumming,{ID_1},84,94,train,0\n"passing American football",{ID_2},10,20,validate,1\n',
    )
    found = reading(tmp_path / "v", csv)
    assert found.layout == "kinetics"
    assert rows(found) == {
        f"{ID_1}_000084_000094": ("air drumming", "train"),
        f"{ID_2}_000010_000020": ("passing American football", "val"),
    }


def test_kinetics_files_by_plain_id_flat_or_below_split_folders(tmp_path):
    tree(tmp_path / "v", f"{ID_1}.mp4", f"val/{ID_2}.webm", f"train/abseiling/{ID_3}.mp4")
    csv = text(
        tmp_path / "k.csv", f"label,youtube_id,time_start,time_end\na,{ID_1},1,11\nb,{ID_2},2,12\nc,{ID_3},3,13\n"
    )
    assert rows(reading(tmp_path / "v", csv)) == {ID_1: ("a", None), ID_2: ("b", "val"), ID_3: ("c", "train")}


def test_kinetics_without_csv_takes_labels_from_class_folders(tmp_path):
    tree(tmp_path, f"train/air_drumming/{ID_1}_000084_000094.mp4", f"val/abseiling/{ID_2}_000010_000020.mp4")
    found = reading(tmp_path)
    assert found.layout == "kinetics"
    assert list(rows(found).values()) == [("air drumming", "train"), ("abseiling", "val")]


def test_two_clips_of_one_youtube_video_are_two_items(tmp_path):
    tree(tmp_path / "v", f"{ID_1}_000001_000011.mp4", f"{ID_1}_000050_000060.mp4")
    csv = text(tmp_path / "k.csv", f"{HEADER}a,{ID_1},1,11,train,\nb,{ID_1},50,60,train,\n")
    assert [label for label, _ in rows(reading(tmp_path / "v", csv)).values()] == ["a", "b"]


def test_kinetics_missing_unnamed_and_doubled(tmp_path):
    tree(tmp_path / "v", f"{ID_1}.mp4", f"{ID_3}.mp4")
    csv = text(tmp_path / "k.csv", f"{HEADER}a,{ID_1},1,11,train,0\na,{ID_1},1,11,train,0\nb,{ID_2},2,12,test,0\n")
    found = reading(tmp_path / "v", csv)
    assert rows(found) == {ID_1: ("a", "train"), ID_3: (None, None)}
    assert [fault.uri for fault in found.missing] == [f"{ID_2}_000002_000012"]


def test_the_test_split_may_hold_its_labels_back(tmp_path):
    tree(tmp_path / "v", f"{ID_1}.mp4")
    csv = text(tmp_path / "test.csv", f"youtube_id,time_start,time_end,split\n{ID_1},1,11,test\n")
    assert rows(reading(tmp_path / "v", csv)) == {ID_1: (None, "test")}
    csv = text(tmp_path / "train.csv", f"youtube_id,time_start,time_end,split\n{ID_1},1,11,train\n")
    with pytest.raises(LayoutError, match=r"train.csv:2 has no label and is not of the test split"):
        reading(tmp_path / "v", csv)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "youtube_id,begin,finish\nx,1,2\n",
            "k.csv' lacks the column label, time_start, time_end; it has: youtube_id, begin, finish. Its first line",
        ),
        ("", "k.csv' lacks the column label, youtube_id, time_start, time_end; it has: none"),
        (f"{HEADER}a,{ID_1},one,11,train,0\n", "k.csv:2 needs numbers for time_start and time_end, got 'one' and '11'"),
        (f"{HEADER}a,{ID_1}\n", "k.csv:2 needs numbers for time_start and time_end, got None and None"),
        (
            f"{HEADER}a,{ID_1},1,11,train,0\nb,{ID_1},1,11,train,0\n",
            f"'{ID_1}' twice and differently: 'a', split train, in k.csv:2, 'b', split train, in k.csv:3",
        ),
        (
            f"{HEADER}a,{ID_1},1,11,train,0\nb,{ID_1},5,15,train,0\n",
            f"'{ID_1}' twice and differently: 'a' in k.csv:2, 'b' in k.csv:3",
        ),
    ],
)
def test_a_bad_kinetics_csv_is_refused_in_one_line(content, message, tmp_path):
    tree(tmp_path / "v", f"{ID_1}.mp4")
    with pytest.raises(LayoutError, match=message) as refused:
        reading(tmp_path / "v", text(tmp_path / "k.csv", content))
    assert "\n" not in str(refused.value)


NAMED = {f"{ID_1}_000084_000094": ("air drumming", "train"), f"{ID_2}_000010_000020": ("head, massaging", "val")}


@pytest.mark.parametrize(
    "content",
    [
        "\ufefflabel, youtube_id, time_start, time_end, split\r\n"
        'air drumming, {0}, 84, 94, train \r\n"head, massaging", {1}, 10, 20, validate\r\n',
        "label;youtube_id;time_start;time_end;split\nair drumming;{0};84,0;94,0;train\nhead, massaging;{1};10;20;val\n",
        "label\tyoutube_id\ttime_start\ttime_end\tsplit\nair drumming\t{0}\t84\t94\ttrain\n\n"
        "head, massaging\t{1}\t10\t20\tval",
        ",label,youtube_id,time_start,time_end,split\n0,air drumming,{0},84.0,94.0,train\n"
        '1,"head, massaging",{1},10,20,val\n,,,,,\n',
        '"split","youtube_id","label","time_start","time_end","is_cc"\n"train","{0}","air drumming",84,94,0\n'
        '"val","{1}","head, massaging",10,20,1\n',
        "Class, Video ID ,Start Time,End,Subset\nair drumming,{0},84,94,training\n"
        '"head, massaging",{1},10,20,validation\n',
        "sep=;\nlabel;youtube_id;time_start;time_end;split\nair drumming;{0};84;94;train\n"
        "head, massaging;{1};10;20;val",
    ],
    ids=["blanks and mark", "semicolon", "tab", "numbered rows", "quoted", "other names", "a spreadsheet's first line"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_kinetics_csv_is_linked_however_it_is_separated_quoted_and_encoded(content, encoding, tmp_path):
    tree(tmp_path / "v", *[f"{name}.mp4" for name in NAMED])
    (tmp_path / "k.csv").write_bytes(content.format(ID_1, ID_2).encode(encoding))
    found = reading(tmp_path / "v", str(tmp_path / "k.csv"))
    assert (found.layout, rows(found), found.missing) == ("kinetics", NAMED, [])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"{HEADER}head, massaging,{ID_1},1,11,train,0\n", "k.csv:2 has 7 fields and there are 6 columns. Put quotes"),
        (f'{HEADER}"a,{ID_1},1,11,train,0\nb,{ID_1},1,11,train,0\n', "breaks off at line 3: .*Is a quote never closed"),
        (
            f"class,action,youtube_id,time_start,time_end\na,b,{ID_1},1,11\n",
            "the columns class, action could each be label. Call the right one 'label'",
        ),
        (f"a,{ID_1},1,11,train\n", "it has: a, .* or id and label where there are no times."),
        ("time_start,time_end,label,youtube_id\n1,11,bow\n", "k.csv:2 has no youtube_id. Mend the line or take it out"),
        (f"label,id\nbow,{ID_1}\nsit\n", "k.csv:3 has no id. Mend the line or take it out"),
        (f"id,label\n{ID_1},bow\n,sit\n", "k.csv:3 has no id. Mend the line or take it out"),
    ],
)
def test_a_csv_that_fits_in_part_is_refused_with_the_place(content, message, tmp_path):
    tree(tmp_path / "v", f"{ID_1}.mp4")
    with pytest.raises(LayoutError, match=message) as refused:
        reading(tmp_path / "v", text(tmp_path / "k.csv", content))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("k.csv", f"{HEADER}a,{ID_2},1,11,train,0\n"),
        ("trainlist01.txt", "Bow/v_Bow_g01_c01.avi 1\n"),
        ("bow_test_split1.txt", "other.avi 1\n"),
        ("a.json", '{"database": {"other": {"subset": "training", "annotations": []}}}'),
        ("list.txt", "bow/other.mp4 0\n"),
        ("t.csv", "id,label\nother,bow\n"),
    ],
)
def test_label_files_that_name_none_of_the_videos_are_refused_with_names_of_both_sides(name, content, tmp_path):
    tree(tmp_path / "v", f"{ID_1}_000001_000011.mp4")
    with pytest.raises(LayoutError) as refused:
        reading(tmp_path / "v", text(tmp_path / name, content))
    assert re.search(
        rf"The label files \({re.escape(name)}\) name none of the 1 videos: they name 1: '.*'; "
        rf"the files are '{ID_1}_000001_000011.mp4'\. Give the label files of this data set",
        str(refused.value),
    )


def test_a_folder_of_label_files_on_an_object_store_stands_for_those_in_it(tmp_path):
    tree(tmp_path / "v", "a.mp4", "b.mp4")
    fs = fsspec.filesystem("memory")
    for name, content in (("one.csv", b"id,label\na,Bow\n"), ("two.csv", b"id,label\nb,Sit\n"), ("notes.md", b"x")):
        fs.pipe(f"/labels/{name}", content)
    for paths in (("memory://labels",), ("memory://labels/one.csv", "memory://labels/two.csv")):
        assert rows(reading(tmp_path / "v", *paths)) == {"a": ("Bow", None), "b": ("Sit", None)}
    fs.pipe("/unlabelled/notes.md", b"x")
    with pytest.raises(LayoutError, match="The label folder 'memory://unlabelled' holds no .txt"):
        reading(tmp_path / "v", "memory://unlabelled")


def test_label_files_without_an_entry_are_refused(tmp_path):
    tree(tmp_path / "v", f"{ID_1}.mp4")
    with pytest.raises(LayoutError, match="name none of the 1 videos: they name none; the files are"):
        reading(tmp_path / "v", text(tmp_path / "k.csv", HEADER))


# -- lists with a class number, tables of ids -------------------------------------------------------------------------


def test_a_list_of_paths_and_numbers_gives_class_folder_and_split_of_its_name(tmp_path):
    tree(tmp_path / "v", f"{ID_1}_000084_000094.mp4", f"{ID_2}_000010_000020.mp4", "x.mp4")
    content = f"massaging person's head/{ID_1}_000084_000094.mp4 200\nair_drumming/{ID_2}_000010_000020.mp4,1\r\n"
    found = reading(tmp_path / "v", text(tmp_path / "kinetics_val_list.txt", content))
    assert found.layout == "list"
    assert rows(found) == {
        f"{ID_1}_000084_000094": ("massaging person's head", "val"),
        f"{ID_2}_000010_000020": ("air drumming", "val"),
        "x": (None, None),
    }


def test_a_list_without_folders_needs_the_class_names(tmp_path):
    tree(tmp_path / "v", "x.mp4", "y.mp4")
    listed = text(tmp_path / "train.txt", "x.mp4 1\ny.mp4 0\n")
    with pytest.raises(
        LayoutError, match="train.txt:1 names no folder, so nothing says what class 1 is. Add a file of"
    ):
        reading(tmp_path / "v", listed)
    found = reading(tmp_path / "v", listed, text(tmp_path / "classes.txt", "apply eye makeup\nbow\n"))
    assert rows(found) == {"x": ("bow", "train"), "y": ("apply eye makeup", "train")}
    with pytest.raises(LayoutError, match="train.txt:1 has class number 1, and classes.txt names 1 classes"):
        reading(tmp_path / "v", listed, text(tmp_path / "classes.txt", "bow\n"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("bow/x.mp4 0\nsit/y.mp4 0\n", "t.txt:2 gives 'sit' the number 0, which t.txt:1 gives to 'bow'"),
        ("bow/x.mp4 0\nbow/y 30 0\n", "t.txt:2 must read CLASS/VIDEO.mp4 NUMBER, got 'bow/y 30 0'"),
    ],
)
def test_a_bad_list_of_numbers_is_refused_with_the_line(content, message, tmp_path):
    tree(tmp_path / "v", "x.mp4", "y.mp4")
    with pytest.raises(LayoutError, match=message):
        reading(tmp_path / "v", text(tmp_path / "t.txt", content))


@pytest.mark.parametrize("content", ["id,label\nx.avi,Bow\nsub/y,Sit\n", "Video Name;Class\nv_x;Bow\ny.mp4;Sit\n"])
def test_a_table_of_ids_and_labels_is_joined_by_spelling(content, tmp_path):
    tree(tmp_path / "v", "x.mp4", "sub/y.mp4", "z.mp4")
    found = reading(tmp_path / "v", text(tmp_path / "t.csv", content))
    assert found.layout == "table"
    assert rows(found) == {"sub/y": ("Sit", None), "x": ("Bow", None), "z": (None, None)}


def test_a_table_that_says_two_things_of_one_id_is_refused(tmp_path):
    tree(tmp_path / "v", "x.mp4")
    with pytest.raises(
        LayoutError, match="'x' twice and differently: 'Bow', split None, in t.csv:2, 'Sit', split None"
    ):
        reading(tmp_path / "v", text(tmp_path / "t.csv", "id,label\nx,Bow\nx,Sit\n"))


PARTS = "video,label,start_s,end_s,split\nx,Bow,0,2.5,train\ny.mp4,Sit,,,\nx,Sit,2.5,4,train\nx,Bow,0,2.5,train\n"


def test_a_table_with_times_makes_parts_of_files(tmp_path):
    tree(tmp_path / "v", "x.mp4", "sub/y.mp4", "z.mp4")
    found = reading(tmp_path / "v", text(tmp_path / "t.csv", PARTS))
    assert found.layout == "table"
    items = sorted((f.video_id, f.label, f.split, f.start_s, f.end_s) for f in found.found)
    assert items == [
        ("sub/y", "Sit", None, None, None),
        ("x#0", "Bow", "train", 0.0, 2.5),
        ("x#1", "Sit", "train", 2.5, 4.0),
        ("z", None, None, None, None),
    ]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("x,Bow,2,1", "t.csv:2 needs seconds from start_s to end_s, or neither, got '2' and '1'"),
        ("x,Bow,2,", "got '2' and ''"),
        ("x,Bow,nan,3", "got 'nan' and '3'"),
        ("x,Bow,0,1\nx,Sit,0,1", "twice and differently: 'Bow' of 0 to 1 s, split None, in t.csv:2, 'Sit' of 0 to 1 s"),
        ("x,Bow,0,1\nx,Sit,,", "'Bow' of 0 to 1 s, split None, in t.csv:2, 'Sit', split None"),
    ],
)
def test_times_that_are_none_or_two_labels_of_a_part_are_refused(lines, message, tmp_path):
    tree(tmp_path / "v", "x.mp4")
    with pytest.raises(LayoutError, match=message):
        reading(tmp_path / "v", text(tmp_path / "t.csv", f"video,label,start_s,end_s\n{lines}\n"))


@pytest.mark.shared
def test_label_files_as_people_have_them_are_linked(shared_data):
    folder = shared_data / "odd/kinetics_csv"
    expected = {
        "AAAAAAAAAAA_000010_000020": "abseiling",
        "-BBBBBBBBBB_000001_000011": "massaging person's head",
        "CCCCCCCCCCC_000005_000015": "passing American football (in game)",
    }
    for path in sorted(folder.glob("*.*")):
        found = reading(folder / "v", str(path))
        listed = dict(expected)
        if path.suffix == ".txt":
            listed["CCCCCCCCCCC_000005_000015"] = None
        assert {name: label for name, (label, _) in rows(found).items()} == listed, path.name
    assert len(list(folder.glob("*.*"))) == 6


@pytest.mark.shared
def test_films_with_other_endings_are_taken(shared_data):
    found = look(str(shared_data / "odd/other_endings"))
    assert [file.name for file in found.files] == ["a.mp4", "cam.MTS", "disc.m2ts", "disc.vob", "tgif.gif"]
    assert found.not_taken == {}


# -- ActivityNet ------------------------------------------------------------------------------------------------------


def database(**videos: dict) -> str:
    return json.dumps({"version": "VERSION 1.3", "database": videos})


def entry(subset: str, *annotations: tuple[str, float, float]) -> dict:
    listed = [{"label": label, "segment": [start, end]} for label, start, end in annotations]
    return {"duration": 60.0, "subset": subset, "url": "", "annotations": listed}


def test_activitynet_segments_are_items(tmp_path):
    tree(tmp_path / "v", "v_aaa.mp4", "bbb.mkv", "v_ccc.mp4", "v_ddd.mp4")
    labels = text(
        tmp_path / "activity_net.v1-3.min.json",
        database(
            aaa=entry("training", ("Bow", 0.5, 10.25), ("Sit", 20, 30)),
            bbb=entry("validation", ("Sit", 1, 2)),
            ccc=entry("testing"),
            eee=entry("training", ("Bow", 1, 2)),
        ),
    )
    found = reading(tmp_path / "v", labels)
    assert found.layout == "activitynet"
    assert {(i.video_id, i.label, i.split, i.start_s, i.end_s) for i in found.found} == {
        ("aaa#0", "Bow", "train", 0.5, 10.25),
        ("aaa#1", "Sit", "train", 20.0, 30.0),
        ("bbb#0", "Sit", "val", 1.0, 2.0),
        ("ccc", None, "test", None, None),
        ("ddd", None, None, None, None),
    }
    assert [fault.uri for fault in found.missing] == ["eee"]


def test_a_segment_that_makes_no_sense_is_a_fault_and_the_others_are_items(tmp_path):
    tree(tmp_path / "v", "v_aaa.mp4")
    content = entry("training", ("Bow", 5, 5), ("Bow", 9, 2), ("Bow", 1, 2), ("Bow", 1, 2))
    content["annotations"].append({"label": "Sit", "segment": "all of it"})
    found = reading(tmp_path / "v", text(tmp_path / "a.json", database(aaa=content)))
    assert [item.video_id for item in found.found] == ["aaa#2"]
    assert [(fault.uri[-10:], fault.error) for fault in found.faults] == [
        (f"_aaa.mp4#{k}", "BadSegment") for k in (0, 1, 4)
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"database": {', "a.json' is broken JSON at line 1 column 15: .*Fetch it again"),
        ("[]", "a.json' has no object 'database'. Give activity_net.v1-3.json"),
        ('{"taxonomy": []}', "a.json' has no object 'database'"),
        ('{"database": {"aaa": 3}}', "the entry of 'aaa' is not an object with a list 'annotations'"),
        ('{"database": {"aaa": {"subset": "training"}, "aaa": {"subset": "testing"}}}', "'aaa' twice and differently"),
    ],
)
def test_a_bad_activitynet_file_is_refused_in_one_line(content, message, tmp_path):
    tree(tmp_path / "v", "v_aaa.mp4")
    with pytest.raises(LayoutError, match=message) as refused:
        reading(tmp_path / "v", text(tmp_path / "a.json", content))
    assert "\n" not in str(refused.value)


def test_an_entry_doubled_word_for_word_counts_once(tmp_path):
    tree(tmp_path / "v", "v_aaa.mp4")
    one = json.dumps(entry("training", ("Bow", 1, 2)))
    found = reading(tmp_path / "v", text(tmp_path / "a.json", f'{{"database": {{"aaa": {one}, "aaa": {one}}}}}'))
    assert [item.video_id for item in found.found] == ["aaa#0"]


# -- what a user gets wrong -------------------------------------------------------------------------------------------


def test_a_path_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(
        LayoutError, match=r"Nothing to index at '.*nowhere': there is no such file or folder. Check the spelling"
    ):
        look(str(tmp_path / "nowhere"))
    with pytest.raises(LayoutError, match="Nothing to index at 'memory://nowhere': there is no such object or prefix"):
        look("memory://nowhere")


def test_a_kind_of_url_that_nobody_knows_is_refused():
    with pytest.raises(LayoutError, match=r"Cannot open 'nosuch://x': .*Install the package for this kind of URL"):
        look("nosuch://x")


def test_a_folder_without_a_video_is_refused_with_what_was_looked_for(tmp_path):
    tree(tmp_path, "notes.txt", "poster.jpg")
    with pytest.raises(
        LayoutError,
        match=r"No video below .*: 2 other files \(1 .jpg, 1 .txt\), none ends in .3g2 .* Give the folder that holds",
    ):
        reading(tmp_path)


def test_a_single_file_that_is_no_video_is_refused(tmp_path):
    with pytest.raises(LayoutError, match=r"notes.txt' does not end like a video"):
        look(str(tree(tmp_path, "notes.txt") / "notes.txt"))


def test_an_unknown_layout_lists_the_known(tmp_path):
    with pytest.raises(
        LayoutError, match="No layout is called 'imagenet'; there are: auto, folder, class-video, sun397, ucf101"
    ):
        reading(tree(tmp_path, "a.mp4"), layout="imagenet")


def test_label_files_that_are_not_there_or_of_no_known_form_are_refused(tmp_path):
    tree(tmp_path / "v", "a.mp4")
    with pytest.raises(LayoutError, match=r"There is no label file '.*k.csv'. Check the spelling of --labels"):
        reading(tmp_path / "v", str(tmp_path / "k.csv"))
    with pytest.raises(
        LayoutError, match=r"Cannot tell the layout from the label files notes.txt: none is of a published form"
    ):
        reading(tmp_path / "v", text(tmp_path / "notes.txt", "hello"))
    with pytest.raises(LayoutError, match=r"they are of activitynet and kinetics. Name it with --layout"):
        reading(tmp_path / "v", text(tmp_path / "a.json", "{}"), text(tmp_path / "k.csv", HEADER))
    (tmp_path / "k.csv").write_bytes(b"label\xff")
    with pytest.raises(LayoutError, match=r"k.csv' is not UTF-8 text \(byte 5\)"):
        reading(tmp_path / "v", str(tmp_path / "k.csv"))
    (tmp_path / "none").mkdir()
    with pytest.raises(LayoutError, match=r"The label folder '.*none' holds no .txt, .csv or .json file"):
        reading(tmp_path / "v", str(tmp_path / "none"))


@pytest.mark.parametrize("layout", ["folder", "class-video"])
def test_layouts_without_label_files_refuse_them(layout, tmp_path):
    tree(tmp_path / "v", "a.mp4")
    with pytest.raises(
        LayoutError, match=f"The layout {layout} takes no label files, got '.*k.csv'. Leave --labels out"
    ):
        reading(tmp_path / "v", text(tmp_path / "k.csv", HEADER), layout=layout)


@pytest.mark.parametrize(("layout", "name"), [("ucf101", "x.txt"), ("hmdb51", "x.txt")])
def test_label_files_of_another_name_are_refused(layout, name, tmp_path):
    tree(tmp_path / "v", "a.avi")
    with pytest.raises(LayoutError, match=f"x.txt' is no {layout.upper()} (label|split) file; those are called"):
        reading(tmp_path / "v", text(tmp_path / name, "a 1"), layout=layout)


def test_activitynet_needs_its_one_label_file(tmp_path):
    with pytest.raises(LayoutError, match=r"activitynet takes one label file \(activity_net.v1-3.json\), got 0"):
        reading(tree(tmp_path, "v_a.mp4"), layout="activitynet")


paths = st.lists(st.sampled_from(["a", "b", "train", "v_X_g01_c01", "x#1", "é"]), min_size=1, max_size=4).map("/".join)


@given(
    st.lists(paths.map(lambda p: p + ".mp4"), unique=True, min_size=1),
    st.sampled_from([n for n in LAYOUTS if n not in ("activitynet", "list", "table")]),
)
def test_no_layout_loses_or_doubles_a_file(names, layout):
    files = Files(tuple(File("/base", name) for name in sorted(names)), ("/base/",), {}, ())
    for chosen in (layout, "auto"):
        found = read(chosen, files, ())
        assert sorted(item.uri for item in found.found) == sorted(f"/base/{name}" for name in names)
