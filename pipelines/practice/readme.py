"""The README of a practice world: what lies there, and the commands that come next, to be run in its folder."""

from collections.abc import Sequence

from pipelines.practice.classes import Composition
from pipelines.practice.motions import BY_NAME
from pipelines.practice.settings import PracticeConfig

_COMPOSITIONS = """# A practice world for zero-shot action recognition

{videos:,} films of drawn figures in {classes} classes, made by `zsar practice` with seed {seed}. **Nothing here is
real**: no person was filmed, and no number measured on it says anything about other videos. It is for trying a
pipeline, and for experiments in which one must know what is in each film.

A class is {motions} atomic motions in an order: "{name}". There are {atoms}: {named}.
Bodies, clothes, pace, amplitude, cameras, rooms, things and people that pass by vary from film to film.

| file | what |
|---|---|
| `videos/vCCC-NN.mp4` | film NN of class CCC: {size} x {size}, {fps} pictures a second, 2 to 4 s |
| `labels.csv` | `id,label` of each film |
| `definitions.json` | what is seen in a class, in a sentence |
| `phrases.json` | its verb phrases, in their order |
| `segments.csv` | which motion is done from when to when, in seconds: `id,number,motion,phrase,start_s,end_s` |
| `poses.npz` | 20 joints as a Kinect in the camera's place would have them (`kinect-20`), a sequence a film |
| `splits.json` | {splits} random splits, {unseen} classes unseen; each of their motions is one of a seen class too |
| `control.json` | {controls} splits in which one motion (`lacks`) is in no seen class |
| `word_vectors.txt` | vectors of the words, **made up**: words of like motions are near because they were put there |

## What comes next

Run these in this folder. They leave their results in `zsar-data/` here; `--root DIR` puts them elsewhere.

```
zsar index videos --dataset practice --labels labels.csv
zsar texts add definitions.json --kind definition --set practice
zsar texts phrases --set practice --corrections phrases.json
```

Features of films, and a head that is fitted on the seen classes and judged on the unseen ones. EfficientNet of the
offline pack takes a minute or two for 1,200 films on two cores; I3D (`i3d_k400:clips=1`), which sees motion, six.
What is called `ridge-practice-splits` here is the beginning of a run's name: where two begin so, as of two features,
give the whole one, which `fit` prints.

```
zsar extract efficientnet_lite0_objects --dataset practice
zsar fit ridge --dataset practice --feature efficientnet_lite0_objects --protocol splits.json --option texts=definition
zsar evaluate ridge-practice-splits
```

The same from joints, which say what there is to be had without looking at pixels:

```
zsar index poses.npz --kind poses --dataset practice-poses
zsar texts add definitions.json --kind definition --set practice-poses
zsar extract raw_joints --dataset practice-poses
zsar fit ridge --dataset practice-poses --feature raw_joints --protocol splits.json --option texts=definition
zsar evaluate ridge-practice-poses
```

To the made-up word vectors in place of a sentence encoder, as E2E learns:

```
zsar extract word_vectors --set practice --weights word_vectors=word_vectors.txt
zsar fit e2e --dataset practice --feature efficientnet_lite0_objects --protocol splits.json --encoder word_vectors \\
    --option texts=class
zsar evaluate e2e-practice-splits
zsar list results
```

## From pixels, end to end

A small R(2+1)D that nobody trained before learns towards the same made-up vectors from the films of the seen classes;
its features of the unseen ones are then judged by the nearest vector. 40 epochs take about a quarter of an hour of two
cores. One (`--epochs 1`) shows that the commands run, and stays at chance.

```
zsar finetune e2e_r2plus1d --dataset practice --protocol splits.json --splits 0 --epochs 40 --batch 16 --lr 3e-3 \\
    --option vectors=word_vectors --option width=8 --option stride=3 --option resize=64 --option crop=56 \\
    --option flip=false --option schedule=cosine
zsar judge e2e_r2plus1d --splits 0 --sampling clips=1
```

`flip=false`, as left and right tell classes apart here.

## The control

`--protocol control.json` in place of `splits.json` is the control: what is unseen has a motion that nobody was shown.
"""

_POSES = """# Recorded motion as a practice world

{videos:,} films in {classes} classes, drawn by `zsar practice --poses {poses}` with seed {seed}: the motion is that
of the sequences of the data set `{poses}`, whose licence holds for it; colours, cameras, rooms and what passes by are
made up. No number measured on it says anything about videos of people.

| file | what |
|---|---|
| `videos/NAME.mp4` | a sequence of the data set: {size} x {size}, {fps} pictures a second |
| `labels.csv` | `id,label` of each film, as the data set has them |
| `classes.txt` | its classes, a line each |
| `splits.json` | {splits} random splits of its classes; published ones have names: `utd-mhad-22/5`, `nw-ucla-8/2` |

## What comes next

Run these in this folder, with the same `--root` as the poses or another one.

```
zsar index videos --dataset {poses}-films --labels labels.csv
zsar texts add classes.txt --kind class --set {poses}-films
zsar extract efficientnet_lite0_objects --dataset {poses}-films
zsar fit ridge --dataset {poses}-films --feature efficientnet_lite0_objects --protocol splits.json --option texts=class
zsar evaluate ridge-{poses}-films
```
"""


def of_compositions(config: PracticeConfig, classes: Sequence[Composition], videos: int, controls: int) -> str:
    """Of a world of compositions."""
    used = {name for each in classes for name in each.motion_names}
    named = ", ".join(BY_NAME[name].phrase for name in BY_NAME if name in used)
    return _COMPOSITIONS.format(
        videos=videos,
        classes=len(classes),
        seed=config.seed,
        motions="two or three",
        name=classes[0].name,
        atoms=len(used),
        named=named,
        size=config.size,
        fps=config.fps,
        splits=config.splits,
        unseen=config.unseen or len(classes) // 3,
        controls=controls,
    )


def of_poses(config: PracticeConfig, videos: int, classes: int) -> str:
    """Of a world of recorded motion."""
    return _POSES.format(
        videos=videos,
        classes=classes,
        poses=config.poses,
        seed=config.seed,
        size=config.size,
        fps=config.fps,
        splits=config.splits,
    )
