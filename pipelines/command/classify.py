"""`zsar classify` and `zsar demo`: answers about a clip."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.command.base import command
from pipelines.command.screen import Bar, ExtractBar, Shown, Table, say

if TYPE_CHECKING:
    from stores.root import Root


@command("classify")
def classify(
    root: "Root",
    *,
    clip: Annotated[str, typer.Argument(help="A video file.")],
    classes: Annotated[
        list[str] | None,
        typer.Option(
            help="Names to choose from. Once: split at commas. More often: a name each. @FILE: a name a line."
        ),
    ] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(help="Kinetics classes to treat as never seen, in the same ways.")
    ] = None,
    objects: Annotated[bool, typer.Option("--objects", help="Let the objects seen count too.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    html: Annotated[bool, typer.Option("--html", help="Write a page below the root.")] = False,
) -> Shown:
    """Say which of some classes a clip shows, whether I3D was trained on them or not; works offline.

    A class of Kinetics-400 is answered by I3D's classifier, any other by a map learned from the classifier's rows: from
    a name to the row it would have. Both stand in one calibrated answer, which says which is which.

    --classes "juggling, welding" gives two names. A name that holds a comma is given whole where --classes stands more
    than once (--classes "putting it up, then down" --classes welding), or in a file, a name a line (--classes @FILE).

    JSON: clip, answers (class, probability, source, rests_on, objects), nearest (Kinetics phrases with probability),
    objects (with score), learned_from, computed (features), seconds; with --html `page`, a URL.
    """
    from pipelines.command.given_names import names
    from pipelines.look.classify.classify import classify
    from pipelines.look.settings import ClassifyConfig

    asked, without = names("--classes", classes or (), say), names("--leave-out", leave_out or (), say)
    with Bar("Looking at the clip", counted=False):
        report = classify(ClassifyConfig(clip, asked, without, objects, device), root)
    written = {}
    if html:
        from pipelines.look.classify.page import page

        written["page"] = page(report, root)
    fields = dataclasses.asdict(report) | {"seconds": round(report.seconds, 3)} | written
    fields["answers"] = [{"class": answer.pop("name"), **answer} for answer in fields["answers"]]
    rows = [
        {"class": a.name, "probability": a.probability, "from": a.source, "by way of": ", ".join(a.rests_on)}
        for a in report.answers
    ]
    return Shown(
        fields,
        [
            Table(f"{Path(clip).name} ({report.seconds:.1f} s)", rows),
            f"Kinetics phrases nearest: {', '.join(f'{name} {p:.0%}' for name, p in report.nearest)}.",
            f"Objects seen: {', '.join(name for name, _ in report.objects)}.",
            f"The map was learned from {report.learned_from}.",
            *(f"Look at {url}" for url in written.values()),
        ],
    )


@command("demo", root="./demo/zsar-data")
def demo(
    root: "Root",
    *,
    page: Annotated[Path, typer.Option(help="The page to write.")] = Path("demo/index.html"),
) -> Shown:
    """Run everything on the real clips of the offline pack: classes and objects of each clip, as a table and a page.

    JSON: videos, contents, extracted, page, seconds, and `clips`: top classes and objects of each, and
    `answers` among a few classes that I3D was mostly not trained on.
    """
    from pipelines.look import demo

    with ExtractBar() as progress:
        report = demo.demo(root, page, progress)
    table = Table(
        "What is in the clips (I3D's Kinetics classes; EfficientNet-Lite0's ImageNet objects)",
        [
            {
                "clip": clip.video_id,
                "top-5 Kinetics classes": ", ".join(f"{name} {p:.0%}" for name, p in clip.classes),
                "objects": ", ".join(name for name, _ in clip.objects),
                "of five classes, four unseen": "{} {:.0%}".format(*clip.answers[0][:2]),
            }
            for clip in report.clips
        ],
        lines=True,
    )
    done = f"Nothing to compute: all {report.contents} clips have their features already ({report.seconds:.1f} s)."
    if report.extracted:
        files = f"{report.videos} files, {report.contents} different clips"
        computed = f"{report.extracted} features of {report.contents} clips"
        done = f"{files}; computed {computed} in {report.seconds:.0f} s."
    return Shown(dataclasses.asdict(report), [table, done, f"Look at {page} in a browser."])
