"""Departures: in what a run is other than what was published, told from what the run says of itself.

    run.json ─┬─ what it read against the paper's inputs, its options and training against the published ones ─▶ lines
              └─ what always departs, as its head or its network declares it (`heads.base.Paper`)

A head says once what its paper has: `Options` and `published` hold the settings, `paper` what it was fed with and what
no setting tells. A row of a table may have published settings of its own (`as_published`), which then are the measure.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import heads
from pipelines.learn import options, trainables
from pipelines.learn.training import Training

_OURS = ("seed",)  # of no paper
# whose layers are trained
_WHOLE = {"bert_tokens": "bert_base_uncased", "minilm_tokens": "minilm"} | {
    f"{network}_below_{above}": whole
    for network, whole in (
        ("r2plus1d_18", "r2plus1d_18_segments"),
        ("r2plus1d_34", "r2plus1d_34_segments"),
        ("tsm_resnet50", "tsm_resnet50"),
    )
    for above in ("stage", "block")
}
INPUTS = ("feature", "encoder", "objects", "k")  #: settings of a run that say what it reads


@dataclasses.dataclass(frozen=True)
class AsPublished:
    """What a row of a table says was published.

    Attributes
    ----------
    options : of the head and its training, in place of its defaults
    inputs : by setting, what was read in place of what the head's paper says
    """

    options: tuple[str, ...] = ()
    inputs: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


def of_run(about: Mapping[str, Any], published: AsPublished | None = None) -> tuple[str, ...]:
    """In what a run of `fit` departs; nothing where it has no head, or its head no paper.

    Parameters
    ----------
    about : `run.json`
    published : what a table says of the row that the run stands in

    Returns
    -------
    tuple of str
        `lr 0.001 for 0.0001` and the like, those of the inputs first, those that no setting tells last.
    """
    if about.get("runs"):  # several that were judged as one
        return ()
    config = about["config"]
    head = heads.find(config["head"])
    if head.paper is None:
        return ()
    published = published or AsPublished()
    given = options.pairs(published.options)
    training = options.as_published(head.published, given)
    wanted = options.settings(config["head"], head.Options, given, training, {})
    tuned = options.pairs(config["tune"])
    found = [*_inputs(about, {**head.paper.inputs, **published.inputs})]
    for settings, own in zip(wanted, (about["options"], about["training"]), strict=True):
        found += _settings(dataclasses.asdict(settings), own, tuned)
    found += [f"{name} chosen from {values.replace(',', ', ')}" for name, values in tuned.items()]
    found += ["scores standardised"] if config.get("standardise") else []
    found += [f"only {' and '.join(config['part'])} of what is seen"] if config.get("part") else []
    frozen = () if about["texts"].get("layers_trained") else head.paper.frozen
    still = (head.paper.still[bool(about["videos"].get("layers_trained"))],) if head.paper.still else ()
    return (*found, *frozen, *still, *head.paper.always)


def of_network(about: Mapping[str, Any]) -> tuple[str, ...]:
    """In what a run of `finetune` departs, by its `finetune.json`; nothing where what was trained has no paper."""
    config = about["config"]
    kind = trainables.find(config["model"])
    if kind.paper is None:
        return ()
    wanted = {field.name: field.default for field in dataclasses.fields(kind.Options)}
    wanted |= {**dataclasses.asdict(Training()), **kind.trained_by, **kind.paper.settings}
    given = options.settings(config["model"], kind.Options, options.pairs(config.get("options", ())), {}, {})
    asked = {name.partition("=")[0] for name in config.get("options", ())} | set(kind.paper.settings)
    own = {name: value for name, value in dataclasses.asdict(given[1]).items() if name in asked}
    own |= dataclasses.asdict(given[0])
    own |= {name: config[name] for name in wanted if config.get(name) is not None}
    found = [*_differing("model", config["model"], kind.paper.inputs.get("model"))]
    found += _settings(wanted, own, {})
    found += [f"only {' and '.join(config['part'])} of what is seen"] if config.get("part") else []
    return (*found, *kind.paper.always)


def _settings(wanted: Mapping[str, Any], own: Mapping[str, Any], tuned: Mapping[str, str]) -> Iterator[str]:
    for name, value in own.items():
        value = tuple(value) if isinstance(value, list) else value
        if name in wanted and name not in tuned and name not in _OURS and value != wanted[name]:
            yield f"{name} {_said(value)} for {_said(wanted[name])}"


def _inputs(about: Mapping[str, Any], paper: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """What the run read that the paper, or the row, did not."""
    captions = " (captions)" if about["videos"]["captions"] else ""
    objects = (about.get("objects") or {}).get("feature", "")
    yield from _differing("feature", _whole(about["videos"]["feature"]), paper.get("feature"), captions)
    yield from _differing("encoder", _whole(about["texts"]["feature"]), paper.get("encoder"))
    yield from _differing("objects", _plain(objects), paper.get("objects"))
    if (each := about["texts"].get("a_class", {}).get("description")) is not None and "k" in paper:
        if each < float(paper["k"][0]):
            yield f"{each:.0f} descriptions a class in the mean for {paper['k'][0]}"
        else:
            yield from _differing("k", str(about["config"]["k"]), paper["k"])


def _differing(name: str, own: str, wanted: tuple[str, ...] | None, more: str = "") -> Iterator[str]:
    if wanted is not None and (more or own not in map(_whole, wanted)):
        yield f"{name} {own or 'none'}{more} for {' or '.join(_WHOLE.get(_plain(w), w) or 'none' for w in wanted)}"


def _whole(feature: str) -> str:
    """The extractor of a feature set; of what lies below layers that are trained, that of the whole network."""
    name = _plain(feature)
    return _WHOLE.get(name, name)


def _plain(feature: str) -> str:
    """The extractor of a feature set, without options and key.

    >>> _plain("raw_joints:frame=hip@12ab")
    'raw_joints'
    """
    return feature.partition("@")[0].partition(":")[0]


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}"
    return "/".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value) or "none"
