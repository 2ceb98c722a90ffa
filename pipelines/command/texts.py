"""`zsar texts ...`: what is said of classes."""

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.command.base import app, command, without_zeros
from pipelines.command.screen import Bar, Shown, Table, counts
from pipelines.texts.settings import LintConfig, ObjectTextsConfig, PhrasesConfig, RankConfig, TextsConfig
from untrusted.names import few

if TYPE_CHECKING:
    from stores.root import Root

_SHOWN = 20

texts_app = typer.Typer(
    help="Texts about classes: names, definitions, descriptions, phrases, objects.", no_args_is_help=True
)
app.add_typer(texts_app, name="texts")


@command("add", TextsConfig, texts_app)
def add(settings: TextsConfig, root: "Root") -> Shown:
    """Read texts, link them to the classes of a set, keep each once.

    Spellings need not agree: `ApplyEyeMakeup`, `apply_eye_makeup` and `Applying eye makeup` are one class. What cannot
    be linked or read is reported with its name or its line, and the rest is kept.

    A record without a text of its own tells parts: {"class": ..., "head": ..., "start": ...}. What stands beside a
    description is taken to be about that, and left out; of a list of classes, all that is not a name.

    Cells of CSV are split by what splits its column names (class;description), or as a first line says: sep=;.

    JSON: read, new, duplicate, unlinked; texts (new ones to encode), classes (that got new ones); bad, problems,
    unlinked_names and left_out (fields) where there are any.
    """
    from pipelines.texts import adding

    with Bar("Reading") as advance:
        report = adding.add(settings, root, lambda read: advance(read, 0))
    fields = without_zeros(dataclasses.asdict(report), "bad", "unlinked_names", "problems", "left_out")
    parts: list[str | Table] = [
        counts("Texts", {name: fields[name] for name in ("read", "new", "duplicate", "unlinked")})
    ]
    if report.unlinked_names:
        names = sorted(report.unlinked_names.items(), key=lambda item: -item[1])[:_SHOWN]
        parts.append(Table(f"Of no class of {settings.set}", [{"named": name, "texts": n} for name, n in names]))
    if report.problems:
        rows = [{"file": file, "line": line, "problem": why} for file, line, why in report.problems[:_SHOWN]]
        parts.append(Table(f"Not read ({report.bad})", rows))
    said = []
    if report.left_out:
        named = ", ".join(f"{field} ({count})" for field, count in report.left_out.items())
        why = f"Left out, as they stand beside a description: {named}. Give parts of a class in a file of their own."
        if settings.kind == "class":
            why = f"Left out, as a class is its name alone: {named}. Put a name that holds a comma between quotes."
        said.append(why)
    return Shown(fields, parts, said)


@command("link", group=texts_app)
def link(
    root: "Root",
    *,
    set: Annotated[str, typer.Option("--set", help="The set of classes.")],
    dataset: Annotated[str, typer.Option("--dataset", help="Name of the data set.")],
) -> Shown:
    """Say which class of a set each label of a data set's videos means, and which mean none.

    JSON: labels, linked, unlinked (names), classes (label to class).
    """
    from pipelines.texts import adding

    classes = adding.link(set, dataset, root)
    unlinked = [label for label, name in classes.items() if name is None]
    linked = len(classes) - len(unlinked)
    parts: list[str | Table] = [counts(f"Labels of {dataset}", {"labels": len(classes), f"linked to {set}": linked})]
    if unlinked:
        parts.append(Table(f"Of no class of {set}", [{"label": label} for label in unlinked]))
    return Shown({"labels": len(classes), "linked": linked, "unlinked": unlinked, "classes": classes}, parts)


@command("rank", RankConfig, texts_app)
def rank(settings: RankConfig, root: "Root") -> Shown:
    """Rank each class's descriptions by relevance to its name, and keep the k best (CoCo).

    What word vectors are missing is computed first. Only classes whose descriptions changed are ranked again.

    JSON: name, classes, ranked, kept, descriptions, unranked, without_vector.
    """
    from pipelines.texts import rank

    report = rank.rank(settings, root)
    fields = dataclasses.asdict(report)
    totals = {name: fields[name] for name in ("classes", "ranked", "kept", "descriptions")}
    parts = [counts(f"Ranking {report.name}", totals)]
    if report.without_vector:
        parts.append(f"{report.without_vector} texts have no word in the vocabulary and are in no ranking.")
    if report.unranked:
        parts.append(f"Not ranked, for want of descriptions or of a word vector: {few(report.unranked)}.")
    return Shown(fields, parts)


@command("phrases", PhrasesConfig, texts_app)
def phrases(settings: PhrasesConfig, root: "Root") -> Shown:
    """Parse definitions (or names) into verb phrases, the atomic actions that classes share (JigsawNet).

    JSON: classes, phrases, shared, from_names, new, top (phrase and its classes), page (URL of the picture).
    """
    from pipelines.texts import phrases

    report = phrases.phrases(settings, root)
    fields = dataclasses.asdict(report)
    totals = {name: fields[name] for name in ("classes", "phrases", "shared", "from_names", "new")}
    rows = [{"phrase": phrase, "n": len(own), "classes": ", ".join(own)} for phrase, own in report.top[:_SHOWN]]
    shared = [Table("Shared by most classes", rows)] if rows else []
    return Shown(fields, [counts("Phrases", totals), *shared, f"Look at {report.page}"])


@command("objects", ObjectTextsConfig, texts_app)
def objects(settings: ObjectTextsConfig, root: "Root") -> Shown:
    """Add what was recognised in videos as texts: each object with its gloss (ER), a video's five joined.

    JSON: videos, missing, objects, joined (JigsawNet's texts of videos), new, glossed (ER's).
    """
    from pipelines.texts import objects

    fields = dataclasses.asdict(objects.object_texts(settings, root))
    return Shown(fields, [counts("Object texts", fields)])


@command("lint", LintConfig, texts_app)
def lint(
    settings: LintConfig,
    root: "Root",
    *,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with status 1 if anything was found.")] = False,
) -> Shown:
    """Find what would quietly spoil an experiment: missing texts, classes that look alike, unrelated definitions.

    JSON: findings, a list of rule, name, what, mend.
    """
    from pipelines.texts import lint

    with Bar("Looking") as advance:
        findings = [dataclasses.asdict(finding) for finding in lint.lint(settings, root, advance)]
    found = Table(f"{settings.set}: {len(findings)} to look at", findings)
    parts = [found if findings else f"{settings.set}: nothing found."]
    return Shown({"findings": findings}, parts, status=int(bool(findings and strict)))
