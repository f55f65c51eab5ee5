"""What people might ask of the demo recording, and what each of its datasets is worth as an answer.

Judged by the records alone, before anything was searched.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.search_api.judged import Judged

_DIGITS = {"drawn-digits": 3, "drawn-digits-test": 3, "drawn-digits-archive": 3}
_JULIA = {"julia-circle": 3, "julia-coarse": 3, "julia-dense-archive": 3}
_SHAPES = {"shapes-and-masks": 3, "shapes-and-masks-small": 3, "shapes-archive": 3}
_CLIPS = {"plucked-scale": 3, "plucked-scale-low-rate": 3, "plucked-archive": 3}
_TERRAIN = {"rolling-hills": 3, "hills-archive": 3, "coastlines-archive": 3}
_DAYS = {"air-temperature-days": 3, "river-gauge-days": 3, "grid-load-days": 3}
_SERIES = {**_DAYS, "temperature-archive": 3, "tide-tables-http": 3}
_CLUSTERS = {"ten-clusters": 3, "ten-clusters-small": 3, "ten-clusters-archive": 3}
_ENGLISH = {"patient-sentences-en": 3, "sentences-archive-en": 3}
_GERMAN = {"geduldige-saetze-de": 3, "sentences-archive-de": 3}
_APACHE = {**_SHAPES, "ripples-only": 3}

QUERIES: dict[str, dict[str, dict[str, int]]] = {
    "known item": {
        "drawn digits": {"drawn-digits": 3, "drawn-digits-test": 1, "drawn-digits-archive": 1},
        "Woven Textures": {"woven-textures": 3, "ripples-only": 1},
        "JULIA-CIRCLE": {"julia-circle": 3, "julia-coarse": 1},
        "shapes and masks": {"shapes-and-masks": 3, "shapes-and-masks-small": 2},
        "ten_clusters": {"ten-clusters": 3, "ten-clusters-small": 2, "ten-clusters-archive": 2},
        "plucked scale low rate": {"plucked-scale-low-rate": 3},
        "rolling hills": {"rolling-hills": 3},
        "synthetic features v1": {"synthetic-features-v1": 3},
        "geduldige sätze": {"geduldige-saetze-de": 3},
        "tide tables": {"tide-tables-http": 3},
        "the river gauge days": {"river-gauge-days": 3},
    },
    "in another order": {
        "digits drawn": {"drawn-digits": 3, "drawn-digits-test": 3, "drawn-digits-archive": 3},
        "masks and shapes": {"shapes-and-masks": 3, "shapes-and-masks-small": 3},
        "archive of hills": {"hills-archive": 3},
        "clusters, ten, small": {"ten-clusters-small": 3},
        "temperature of the air": {"air-temperature-days": 3},
    },
    "one typo": {
        "drawn digts": _DIGITS,
        "wovne textures": {"woven-textures": 3},
        "julia cirlce": {"julia-circle": 3, "julia-coarse": 1},
        "elementry automata": {"elementary-automata": 3},
        "temprature": {"air-temperature-days": 3, "temperature-archive": 3},
        "segmantation": _SHAPES,
        "pluked scale": {"plucked-scale": 3, "plucked-scale-low-rate": 3},
        "hydrolgy": {"river-gauge-days": 3},
        "electrcity demand": {"grid-load-days": 3},
        "gausian clusters": {"ten-clusters": 3},
        "coastlnes": {"coastlines-archive": 3},
    },
    "two typos": {
        "juila crcle": {"julia-circle": 3, "julia-coarse": 1},
        "wovven textrues": {"woven-textures": 3},
        "elemntary autmata": {"elementary-automata": 3},
        "rver guage": {"river-gauge-days": 3},
        "tempereture archve": {"temperature-archive": 3},
    },
    "begun": {
        "wov": {"woven-textures": 3, "ripples-only": 1},
        "elem": {"elementary-automata": 3},
        "plucked sc": {"plucked-scale": 3, "plucked-scale-low-rate": 3},
        "river ga": {"river-gauge-days": 3},
        "shapes and m": {"shapes-and-masks": 3, "shapes-and-masks-small": 3},
        "hydro": {"river-gauge-days": 3},
        "segm": _SHAPES,
        "frac": _JULIA,
    },
    "topic": {
        "handwritten digits": {
            "drawn-digits": 3,
            "drawn-digits-test": 2,
            "drawn-digits-archive": 2,
        },
        "image classification": {"woven-textures": 3, "drawn-digits": 3, "drawn-digits-test": 3},
        "music": _CLIPS,
        "musical notes": _CLIPS,
        "piano": {"plucked-archive": 3},
        "weather": {"air-temperature-days": 3, "temperature-archive": 3, "river-gauge-days": 1},
        "electricity consumption": {"grid-load-days": 3},
        "fractal images": _JULIA,
        "cellular automata": {"elementary-automata": 3},
        "river water levels": {"river-gauge-days": 3},
        "german text": _GERMAN,
        "sentences in English": _ENGLISH,
        "elevation maps": {"rolling-hills": 3, "hills-archive": 2, "coastlines-archive": 2},
        "time series": _SERIES,
        "timeseries": _SERIES,
        "test split of digits": {"drawn-digits-test": 3, "drawn-digits": 1},
        "large text corpus": {"sentences-archive-en": 3, "sentences-archive-de": 3},
        "clustering": _CLUSTERS,
        "sea level": {"coastlines-archive": 3, "rolling-hills": 1, "hills-archive": 1},
    },
    "people's words": {
        "dataset of music recordings": _CLIPS,
        "pictures of fractals": _JULIA,
        "small test images": {
            "julia-coarse": 3,
            "shapes-and-masks-small": 3,
            "drawn-digits-test": 1,
        },
        "greyscale digits 28x28": {"drawn-digits": 3, "drawn-digits-test": 2},
        "images for image segmentation with masks": _SHAPES,
        "daily temperature measurements": {"air-temperature-days": 3, "temperature-archive": 3},
        "heightmap": {"rolling-hills": 3, "hills-archive": 2, "coastlines-archive": 2},
        "cellular automaton rule 110": {"elementary-automata": 3},
        "gaussian mixture 128 dimensions": {"ten-clusters": 3},
        "power grid load": {"grid-load-days": 3},
        "Musik": _CLIPS,
        "deutsche Sätze": _GERMAN,
        "128-dimensional feature vectors": {**_CLUSTERS, "synthetic-features-v1": 3},
        "audio at 8 kHz": {"plucked-scale": 3, "plucked-scale-low-rate": 1},
        "datasets of piano music": {
            "plucked-archive": 3,
            "plucked-scale": 2,
            "plucked-scale-low-rate": 2,
        },
        "german sentence": _GERMAN,
        "english sentence dataset": _ENGLISH,
        "texture images": {"woven-textures": 3, "ripples-only": 3},
        "landscape tiles": _TERRAIN,
        "digit classification data": {
            "drawn-digits": 3,
            "drawn-digits-test": 3,
            "drawn-digits-archive": 2,
        },
        "energy demand forecasting": {"grid-load-days": 3},
        "toy dataset for segmentation": {
            "shapes-and-masks": 3,
            "shapes-and-masks-small": 3,
            "shapes-archive": 1,
        },
        "cluster": _CLUSTERS,
        "fractal": _JULIA,
        "tide": {"tide-tables-http": 3},
        "hourly temperatures": {"air-temperature-days": 3, "temperature-archive": 2},
        "mnist like digits": _DIGITS,
        "recordings of plucked strings": _CLIPS,
        "data of weather stations": {
            "air-temperature-days": 3,
            "temperature-archive": 3,
            "river-gauge-days": 2,
        },
        "elevation map of a landscape": {
            "rolling-hills": 3,
            "hills-archive": 3,
            "coastlines-archive": 2,
        },
        "a million sentences": {"sentences-archive-en": 3, "sentences-archive-de": 3},
        "wave form clips": _CLIPS,
    },
    "several tags": {
        "tag:images tag:small": {"julia-coarse": 3, "shapes-and-masks-small": 3},
        "tag:Audio tag:Small": {"plucked-scale-low-rate": 3},
        "tag:text tag:synthetic": {"patient-sentences-en": 3, "geduldige-saetze-de": 3},
        "tag:time-series -tag:large": {**_DAYS, "tide-tables-http": 3},
        "tag:images tag:mathematics circle": {"julia-circle": 3, "julia-coarse": 2},
        "images large": {
            "shapes-archive": 3,
            "julia-dense-archive": 3,
            "drawn-digits-archive": 3,
        },
        "synthetic images": {"shapes-and-masks": 3, "shapes-and-masks-small": 3},
    },
    "tags misspelt": {
        "tag:timeseries": _SERIES,
        'tag:"time series"': _SERIES,
        "tag:image tag:fractal": _JULIA,
        "tag:segmentaton": _SHAPES,
        "tag:Fractls": _JULIA,
        "tag:textures tag:imges": {"woven-textures": 3, "ripples-only": 3},
        "tag:sythetic text": {"patient-sentences-en": 3, "geduldige-saetze-de": 3},
        "tag:timeserie weather": {"air-temperature-days": 3, "temperature-archive": 3},
        "tag:terain": _TERRAIN,
        "tag:audoi": _CLIPS,
        "tag:test_split": {"drawn-digits-test": 3},
        "tag:map": {"rolling-hills": 3, "coastlines-archive": 3},
        "tag:smal images": {"julia-coarse": 3, "shapes-and-masks-small": 3},
    },
    "fields": {
        "field:mask": _SHAPES,
        "field:waveform field:sample_rate": _CLIPS,
        "field:height": _TERRAIN,
        "tile_x": _TERRAIN,
        "sample rate waveform": _CLIPS,
        "station unit": {**_DAYS, "temperature-archive": 3},
        "language words": {**_ENGLISH, **_GERMAN},
        "SegmentedSample": _SHAPES,
        "clip sample": _CLIPS,
        "height tile": _TERRAIN,
        "field:samplerate": _CLIPS,
        "field:waveforms": _CLIPS,
    },
    "licences": {
        'license:"Apache License 2.0"': _APACHE,
        "license:apache-2.0 textures": {"ripples-only": 3},
        'license:"CC BY 4.0" images': {"woven-textures": 3, **_JULIA},
        "license:cc0 german": _GERMAN,
        "music cc-by-sa": _CLIPS,
        "mit automata": {"elementary-automata": 3},
        "public domain digits": _DIGITS,
        'license:"public domain" digits': _DIGITS,
        "license:publicdomain english": _ENGLISH,
        'license:"creative commons zero" sentences': {**_ENGLISH, **_GERMAN},
        "public domain text": {**_ENGLISH, **_GERMAN},
        "license:odbl maps": {"rolling-hills": 3},
    },
    "author and topic": {
        "weather-lab archive": {"temperature-archive": 3},
        "words-lab english": _ENGLISH,
        "author:sound-lab small": {"plucked-scale-low-rate": 3},
        "author:julia-sets.pds0.test automata": {"elementary-automata": 3},
        "vision-lab textures": {"ripples-only": 3},
        "terrain lab": _TERRAIN,
        "julia-sets.pds0.test fractals": _JULIA,
        "author:weather-lab large": {"temperature-archive": 3},
        "weather lab tides": {"tide-tables-http": 3},
        "author:@terrain-lab.pds1.test maps": {"rolling-hills": 3, "coastlines-archive": 3},
        "@sound-lab music": _CLIPS,
        "drawing-lab": {**_DIGITS, "woven-textures": 3},
        "features-lab.pds0.test": {**_CLUSTERS, "synthetic-features-v1": 3},
        "drawing-lab classification": {
            "drawn-digits": 3,
            "drawn-digits-test": 3,
            "woven-textures": 3,
        },
    },
}


def demo_queries() -> Iterator[Judged]:
    """All of them."""
    for kind, queries in QUERIES.items():
        for q, grades in queries.items():
            yield Judged(kind, q, grades)
