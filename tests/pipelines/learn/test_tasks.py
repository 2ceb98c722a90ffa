"""A task: towers, or none, below a head; which weights are trained and what they are called."""

import torch
from safetensors.torch import load_file
from torch import nn

from heads.base import ClassTexts, Videos
from heads.classifier import Classifier, ClassifierOptions
from heads.er import ER, ErOptions
from pipelines.learn.engine import train
from pipelines.learn.samples.samples import Features
from pipelines.learn.tasks import Task
from pipelines.learn.training import Training
from tests.heads import made

WIDE, NARROW = 12, 6


def videos(width: int) -> Videos:
    generator = torch.Generator().manual_seed(1)
    return Videos(torch.randn(40, 3, width, generator=generator), torch.arange(40) % 4)


def head(width: int, text_width: int) -> ER:
    torch.manual_seed(0)
    return ER(width, text_width, ErOptions(joint=5, dropout=0.0))


def texts() -> ClassTexts:
    return made.single_texts(made.seen())


def test_a_head_alone_is_the_model_and_its_weights_keep_their_names():
    own = head(WIDE, made.A)
    assert Task(Features(videos(WIDE), "cpu"), own, texts()).model is own


def test_a_network_under_a_classifier_is_the_model(tmp_path):
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * WIDE, 4))
    samples = Features(videos(WIDE), "cpu")
    task = Task(samples, Classifier(ClassifierOptions(0.1)), ClassTexts(("a", "b", "c", "d"), {}), visual=network)
    assert task.model is network
    x, labels = samples.videos.segments, samples.labels
    wanted = nn.functional.cross_entropy(network(x), labels, label_smoothing=0.1)
    (batch,) = samples.batches([torch.arange(40)], draw=1)
    assert torch.equal(task.loss(batch)["classes"], wanted)
    train(task, Training(lr=0.05, batch=8, epochs=30), tmp_path)
    right = int((network(x).argmax(1) == labels).sum()) / 40
    assert task.top1(samples, ClassTexts(("a", "b", "c", "d"), {})) == right > 0.9


def test_both_towers_and_the_head_learn_at_once_and_are_validated_through(tmp_path):
    torch.manual_seed(2)
    visual, text = nn.Linear(WIDE, NARROW), nn.Linear(made.A, NARROW)
    samples = Features(videos(WIDE), "cpu")
    task = Task(samples, head(NARROW, NARROW), texts(), visual=visual, text=text, held=(samples, texts()))
    before = {name: value.clone() for name, value in task.model.state_dict().items()}
    history = train(task, Training(lr=0.01, batch=8, epochs=2), tmp_path)
    after = load_file(tmp_path / "weights.safetensors")
    assert {name.split(".")[0] for name in after} == {"visual", "text", "head"}
    for name in ("visual.weight", "text.weight", "head.streams.video.linear.weight"):
        assert not torch.equal(after[name], before[name]), name
    shown = Videos(visual(samples.videos.segments), samples.labels)
    kinds = {kind: type(own)(text(own.features), own.text, own.owner) for kind, own in texts().kinds.items()}
    scores = task.head.eval().scores(shown, ClassTexts(texts().names, kinds))
    assert history.epochs[-1]["validation"] == int((scores.argmax(1) == samples.labels).sum()) / 40
