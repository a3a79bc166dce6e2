"""The layers of the package, lowest first: a package imports from lower layers only."""

LAYERS = (
    ("bundled", "errors", "version"),
    ("config", "extras", "label_sides", "labels"),
    ("kernels", "formats", "visualization", "presets", "label_sets", "pickles", "text", "outputs"),
    ("results", "published", "tiling"),
    ("processing", "tracking"),
    ("rasters", "video", "volumes"),
    ("modeling", "losses", "datasets", "metrics"),
    ("checkpoints", "curation"),
    ("runtimes",),
    ("inference",),
    ("batch", "evaluation", "export", "profiling", "selection", "serving"),
    ("training",),
    ("cli",),
)

RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
