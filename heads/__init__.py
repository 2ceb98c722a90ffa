"""The heads by name; a class is imported when it is asked for, so that listing them imports no torch."""

HEADS = {
    "nearest": "heads.nearest:Nearest:NearestOptions",
    "er": "heads.er:ER:ErOptions",
    "jigsaw": "heads.jigsaw:JigsawNet:JigsawOptions",
    "coco": "heads.coco:CoCo:CoCoOptions",
    "pseudo": "heads.pseudo:Pseudo:PseudoOptions",
}
