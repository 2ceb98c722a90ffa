"""The heads by name; a class is imported when it is asked for, so that listing them imports no torch."""

HEADS = {
    "nearest": "heads.nearest:Nearest:NearestOptions",
    "er": "heads.er:ER:ErOptions",
    "jigsaw": "heads.jigsaw:JigsawNet:JigsawOptions",
    "coco": "heads.coco:CoCo:CoCoOptions",
    "pseudo": "heads.pseudo:Pseudo:PseudoOptions",
    "conse": "heads.conse:ConSE:ConseOptions",
    "ridge": "heads.ridge:Ridge:RidgeOptions",
    "devise": "heads.devise:DeViSE:BilinearOptions",
    "ale": "heads.ale:ALE:BilinearOptions",
    "sje": "heads.sje:SJE:BilinearOptions",
    "dem": "heads.dem:DEM:DemOptions",
    "eszsl": "heads.eszsl:ESZSL:EszslOptions",
    "gcn": "heads.gcn:GCN:GcnOptions",
    "relation": "heads.relation:RelationNet:RelationOptions",
    "e2e": "heads.e2e:E2E:E2eOptions",
}
