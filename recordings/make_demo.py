"""Make ``recordings/demo`` again: ``make demo``.

Starts the devnet (a real PLC, two real PDSes), publishes as eight accounts with the library itself,
changes and deletes things as people do, and records both firehoses. Nothing in the recording is
written by hand.
"""

from __future__ import annotations

import asyncio
import io
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import webdataset as wds

import atdata
from atdata.atmosphere import (
    AtmosphereClient,
    AtmosphereIndex,
    DatasetPublisher,
    LensPublisher,
    PDSBlobStore,
)
from atdata.lens import lens
from deploy.devnet.devnet import Account, Devnet
from indexer.recordings import record
from recordings import demo_samples as samples

ROOT = Path(__file__).resolve().parent


PROVENANCE = "make demo (recordings/make_demo.py against deploy/devnet)"


# --- accounts -----------------------------------------------------------------------------------


@dataclass
class Author:
    """One account, logged in, with its index and what it has published."""

    account: Account
    client: AtmosphereClient
    index: AtmosphereIndex
    schemas: dict[type, str] = field(default_factory=dict)
    datasets: dict[str, str] = field(default_factory=dict)

    def schema(self, sample_type: type, description: str, version: str = "1.0.0") -> str:
        uri = self.index.publish_schema(sample_type, version=version, description=description)
        self.schemas[sample_type] = uri
        return uri


def join(devnet: Devnet, pds: int, name: str) -> Author:
    account = devnet.create_account(pds, f"{name}-lab")  # bare words are reserved
    client = AtmosphereClient(base_url=account.pds_url)
    client.login(account.handle, account.password)
    return Author(account, client, AtmosphereIndex(client, data_store=PDSBlobStore(client)))


# --- datasets -----------------------------------------------------------------------------------


def shard(rows: Iterable[Any], start: int = 0) -> bytes:
    """One tar of samples, as the specification's manual approach writes it."""
    buffer = io.BytesIO()
    with wds.writer.TarWriter(buffer) as sink:
        for i, row in enumerate(rows, start):
            sink.write({**row.as_wds, "__key__": f"{i:06d}"})
    return buffer.getvalue()


@dataclass(frozen=True)
class Plan:
    """One blob-stored dataset: who publishes which rows under which description."""

    author: str
    name: str
    rows: Iterator[Any]
    description: str
    tags: tuple[str, ...]
    license: str
    shards: int = 1


def plans() -> list[Plan]:
    s = samples
    return [
        Plan("drawing", "drawn-digits", s.digits(200, 1), "Seven-segment digits drawn with a soft, slanted pen: 28×28 greyscale, twenty of each. A small stand-in where handwritten digits would be too heavy.", ("images", "digits", "classification"), "CC0-1.0", 2),
        Plan("drawing", "drawn-digits-test", s.digits(50, 2), "Held-out digits for drawn-digits, from another seed.", ("images", "digits", "classification", "test-split"), "CC0-1.0"),
        Plan("drawing", "woven-textures", s.textures(24, 3), "Woven, rippled and banded surfaces by interference of plane waves, 64×64 colour.", ("images", "textures", "classification"), "CC BY 4.0"),
        Plan("fractals", "julia-circle", s.julia(36, 4), "Julia sets for 36 parameters along a circle; neighbouring samples are neighbouring parameters, so it can be played as a film.", ("images", "fractals", "mathematics"), "CC-BY-4.0"),
        Plan("fractals", "julia-coarse", s.julia(12, 5, size=48), "Every third parameter of julia-circle at half the size: for tests and slow links.", ("images", "fractals", "mathematics", "small"), "CC-BY-4.0"),
        Plan("fractals", "elementary-automata", s.automata(24, 6), "Space-time pictures of rules 30, 45, 73, 90, 110 and 150, each from four random first rows.", ("images", "automata", "mathematics"), "MIT"),
        Plan("vision", "shapes-and-masks", s.shapes(60, 7), "Overlapping discs, squares and rings with a per-pixel class mask. For trying out segmentation in a minute.", ("images", "segmentation", "synthetic"), "Apache-2.0", 2),
        Plan("vision", "shapes-and-masks-small", s.shapes(12, 8, size=32), "Twelve 32×32 pictures in the form of shapes-and-masks.", ("images", "segmentation", "synthetic", "small"), "Apache-2.0"),
        Plan("vision", "ripples-only", s.textures(12, 9, size=48), "Textures at 48×48 for comparing with woven-textures.", ("images", "textures"), "Apache 2.0"),
        Plan("sound", "plucked-scale", s.clips(32, 10), "Quarter-second plucked tones of one scale at 8 kHz, four takes of each note.", ("audio", "music", "classification"), "CC-BY-SA-4.0"),
        Plan("sound", "plucked-scale-low-rate", s.clips(16, 11, rate=4000), "The same notes at 4 kHz.", ("audio", "music", "small"), "CC-BY-SA-4.0"),
        Plan("terrain", "rolling-hills", s.terrain(16, 12), "A four by four map of 48×48 height tiles in metres, tile_x and tile_y say where.", ("terrain", "elevation", "maps"), "ODbL-1.0"),
        Plan("terrain", "rolling-hills-b", s.terrain(16, 13), "A second landscape in the form of rolling-hills.", ("terrain", "elevation", "maps"), "ODbL-1.0"),
        Plan("weather", "air-temperature-days", s.series(20, 14, "degC", 12.0), "Synthetic quarter-hourly air temperature, one station's day a sample.", ("time-series", "weather", "temperature"), "CC0-1.0"),
        Plan("weather", "river-gauge-days", s.series(20, 15, "m", 2.4), "Synthetic river levels above datum in metres, one station's day a sample.", ("time-series", "hydrology"), "CC0-1.0"),
        Plan("weather", "grid-load-days", s.series(20, 16, "MW", 310.0), "Synthetic electricity demand of small grids.", ("time-series", "energy"), "CC0-1.0"),
        Plan("words", "patient-sentences-en", s.sentences(80, 17, "en"), "Small English sentences about lenses, shards and samples, with their words.", ("text", "english", "synthetic"), "CC0-1.0"),
        Plan("words", "geduldige-saetze-de", s.sentences(80, 18, "de"), "Kurze deutsche Sätze über Linsen, Proben und Fragen, mit Wortliste.", ("text", "german", "synthetic"), "CC0-1.0"),
        Plan("features", "ten-clusters", s.features(400, 19), "Ten Gaussian clusters in 128 dimensions; label is the cluster.", ("features", "clustering", "synthetic"), "MIT", 2),
        Plan("features", "ten-clusters-small", s.features(60, 20, size=32), "Ten clusters in 32 dimensions.", ("features", "clustering", "synthetic", "small"), "MIT"),
    ]  # fmt: skip


EXTERNAL = [
    ("features", "ten-clusters-archive", samples.FeatureSample, "A large version of ten-clusters, kept outside the network.", ("features", "clustering"), "MIT"),
    ("drawing", "drawn-digits-archive", samples.DigitSample, "A million drawn digits in a hundred shards, kept outside the network.", ("images", "digits", "large"), "CC0-1.0"),
    ("fractals", "julia-dense-archive", samples.ImageSample, "Ten thousand Julia sets, kept outside the network.", ("images", "fractals", "large"), "CC-BY-4.0"),
    ("vision", "shapes-archive", samples.SegmentedSample, "Half a million pictures with masks, kept outside the network.", ("images", "segmentation", "large"), "Apache-2.0"),
    ("sound", "plucked-archive", samples.ClipSample, "Every note of the piano, kept outside the network.", ("audio", "music", "large"), "CC-BY-SA-4.0"),
    ("terrain", "hills-archive", samples.TerrainSample, "A landscape of 100 × 100 tiles, kept outside the network.", ("terrain", "elevation", "large"), "ODbL-1.0"),
    ("weather", "temperature-archive", samples.SeriesSample, "Ten years of days, kept outside the network.", ("time-series", "weather", "large"), "CC0-1.0"),
    ("words", "sentences-archive-en", samples.TextSample, "A million sentences, kept outside the network.", ("text", "english", "large"), "CC0-1.0"),
    ("words", "sentences-archive-de", samples.TextSample, "Eine Million Sätze, außerhalb des Netzes.", ("text", "german", "large"), "CC0-1.0"),
    ("terrain", "coastlines-archive", samples.TerrainSample, "Only the tiles that sea level crosses, kept outside the network.", ("terrain", "maps", "large"), "see the project page"),
    ("sound", "plucked-archive-flac-notes", samples.ClipSample, "Notes on how plucked-archive was cut; withdrawn later in this recording.", ("audio", "music"), "CC-BY-SA-4.0"),
]  # fmt: skip

SCHEMAS = {
    "features": (samples.FeatureSample, "Feature vectors with labels"),
    "drawing": (samples.DigitSample, "One drawn digit: uint8, 28 × 28"),
    "fractals": (samples.ImageSample, "Image classification sample"),
    "vision": (samples.SegmentedSample, "A picture with a per-pixel class mask"),
    "sound": (samples.ClipSample, "A mono waveform in −1…1"),
    "terrain": (samples.TerrainSample, "A tile of heights in metres"),
    "weather": (samples.SeriesSample, "Evenly spaced measurements"),
    "words": (samples.TextSample, "A sentence with its language and words"),
}

PDS_OF = {
    "features": 0,
    "drawing": 0,
    "fractals": 0,
    "vision": 0,
    "sound": 1,
    "terrain": 1,
    "weather": 1,
    "words": 1,
}


def publish_blobs(authors: dict[str, Author], schema_of: dict[type, str]) -> None:
    for plan in plans():
        author = authors[plan.author]
        rows = list(plan.rows)
        step = -(-len(rows) // plan.shards)
        blobs = [shard(rows[i : i + step], i) for i in range(0, len(rows), step)]
        author.datasets[plan.name] = DatasetPublisher(author.client).publish_with_blobs(
            blobs=blobs,
            schema_uri=schema_of[type(rows[0])],
            name=plan.name,
            description=plan.description,
            tags=list(plan.tags),
            license=plan.license,
        )


def publish_external(authors: dict[str, Author], schema_of: dict[type, str]) -> None:
    for owner, name, sample_type, description, tags, licence in EXTERNAL:
        author = authors[owner]
        urls = f"https://data.example.org/{name}/{{000000..000009}}.tar"
        entry = AtmosphereIndex(author.client).insert_dataset(
            atdata.Dataset[sample_type](urls),  # type: ignore[valid-type]
            name=name,
            schema_ref=schema_of[sample_type],
            description=description,
            tags=list(tags),
            license=licence,
        )
        author.datasets[name] = entry.uri


def complete_example(author: Author, folder: Path) -> None:
    """The specification's complete example, steps 2 to 5, as its own dataset."""
    rows = list(samples.features(100, 21))
    with wds.writer.TarWriter(str(folder / "features.tar")) as sink:
        for i, row in enumerate(rows):
            sink.write({**row.as_wds, "__key__": f"{i:06d}"})
    entry = author.index.insert_dataset(
        atdata.Dataset[samples.FeatureSample](str(folder / "features.tar")),
        name="synthetic-features-v1",
        schema_ref=author.schemas[samples.FeatureSample],
        tags=["features", "synthetic"],
    )
    author.datasets["synthetic-features-v1"] = entry.uri


# --- lenses -------------------------------------------------------------------------------------


@lens
def image_label(source: samples.ImageSample) -> samples.LabelSample:
    return samples.LabelSample(label=source.label)


@lens
def clip_label(source: samples.ClipSample) -> samples.LabelSample:
    return samples.LabelSample(label=source.label)


LENSES = [
    ("fractals", "digit-as-image", samples.DigitSample, samples.ImageSample, "Grey digit to colour image, the digit as its label"),
    ("vision", "drop-the-mask", samples.SegmentedSample, samples.ImageSample, "The picture without its mask"),
    ("features", "image-histogram", samples.ImageSample, samples.FeatureSample, "A 128-bin colour histogram of the image"),
    ("sound", "clip-spectrum", samples.ClipSample, samples.FeatureSample, "The first 128 magnitudes of the spectrum"),
    ("terrain", "height-as-image", samples.TerrainSample, samples.ImageSample, "Heights as a hill-shaded picture"),
    ("weather", "series-window", samples.SeriesSample, samples.FeatureSample, "A day's values, padded to 128"),
    ("words", "text-label", samples.TextSample, samples.LabelSample, "Only the language tag"),
]  # fmt: skip


def publish_lenses(authors: dict[str, Author], schema_of: dict[type, str]) -> None:
    for owner, name, source, target, description in LENSES:
        code = {"repository": "https://git.example.org/demo/lenses", "commit": "4f" * 20}
        path = f"lenses/{name.replace('-', '_')}.py"
        LensPublisher(authors[owner].client).publish(
            name=name,
            source_schema=schema_of[source],
            target_schema=schema_of[target],
            description=description,
            getter_code={**code, "path": f"{path}:get"},
            putter_code={**code, "path": f"{path}:put"},
        )
    for owner, function, source in (
        ("fractals", image_label, samples.ImageSample),
        ("sound", clip_label, samples.ClipSample),
    ):
        LensPublisher(authors[owner].client).publish_from_lens(
            function, source_schema=schema_of[source], target_schema=schema_of[samples.LabelSample]
        )


# --- what people do afterwards ------------------------------------------------------------------


def old_generations(author: Author, schema: str) -> None:
    """What earlier and later writers put on the network: read by everyone, no longer written."""
    made = "2025-03-04T05:06:07.123456+00:00"
    fields = [
        {
            "name": "values",
            "fieldType": {"$type": "ac.foundation.dataset.schemaType#ndarray", "dtype": "float64"},
            "optional": False,
        },
        {
            "name": "unit",
            "fieldType": {
                "$type": "ac.foundation.dataset.schemaType#primitive",
                "primitive": "str",
            },
            "optional": True,
        },
    ]
    old = author.client.create_record(
        "ac.foundation.dataset.sampleSchema",
        {"name": "OldSeries", "version": "0.9.0", "fields": fields, "createdAt": made},
    )
    author.client.create_record(
        "ac.foundation.dataset.lens",
        {
            "name": "old-series-upgrade",
            "sourceSchema": old.uri,
            "targetSchema": schema,
            "description": "A lens of the first generation: no code references",
            "createdAt": made,
        },
    )
    author.client.create_record(
        "science.alt.dataset.entry",
        {
            "name": "tide-tables-http",
            "schemaRef": old.uri,
            "description": "An entry of the successor namespace, shards over HTTP with checksums.",
            "tags": ["time-series", "tides"],
            "license": "CC-BY-4.0",
            "storage": {
                "$type": "science.alt.dataset.storageHttp",
                "shards": [
                    {
                        "url": "https://data.example.org/tides/000000.tar",
                        "checksum": {"algorithm": "none", "digest": ""},
                    }
                ],
            },
            "createdAt": made,
        },
    )


def noise(author: Author, count: int) -> None:
    """Records that are none of ours, as nearly everything on the network is."""
    for i in range(count):
        author.client.create_record(
            "app.bsky.feed.post",
            {"text": f"post {i}: nothing about datasets", "createdAt": "2026-01-01T00:00:00Z"},
        )
    author.client.create_record(
        "ac.foundation.datasetx.record",
        {"name": "a look-alike", "createdAt": "2026-01-01T00:00:00Z"},
    )


def second_thoughts(authors: dict[str, Author]) -> None:
    """Updates, deletes, a handle change, a deactivation and the return."""
    for owner, name, more in (
        ("drawing", "woven-textures", " Second edition: corrected labels."),
        ("words", "patient-sentences-en", " Revised: the full stops are back."),
        ("sound", "plucked-scale", " Loudness is now normalised."),
    ):
        client, uri = authors[owner].client, authors[owner].datasets[name]
        body = dict(client.get_record(uri).value)
        body["description"] += more
        client.put_record(uri, body)
    authors["sound"].client.delete_record(authors["sound"].datasets["plucked-archive-flac-notes"])
    authors["terrain"].client.delete_record(authors["terrain"].datasets["rolling-hills-b"])
    authors["fractals"].client.call(
        "com.atproto.identity.updateHandle", {"handle": "julia-sets.pds0.test"}
    )
    authors["weather"].client.call("com.atproto.server.deactivateAccount", {})
    noise(authors["terrain"], 3)
    authors["weather"].client.call("com.atproto.server.activateAccount")


def publish_all(devnet: Devnet, folder: Path) -> None:
    authors = {name: join(devnet, pds, name) for name, pds in PDS_OF.items()}
    for author in authors.values():
        noise(author, 2)
    schema_of: dict[type, str] = {}
    for name, (sample_type, description) in SCHEMAS.items():
        schema_of[sample_type] = authors[name].schema(sample_type, description)
    schema_of[samples.LabelSample] = authors["words"].schema(samples.LabelSample, "Only a label")
    authors["weather"].schema(samples.SeriesSample, "Evenly spaced, gaps marked", version="1.10.0")
    complete_example(authors["features"], folder)
    publish_blobs(authors, schema_of)
    publish_external(authors, schema_of)
    publish_lenses(authors, schema_of)
    old_generations(authors["weather"], schema_of[samples.SeriesSample])
    second_thoughts(authors)


def main() -> None:
    target = ROOT / "demo"
    with tempfile.TemporaryDirectory() as scratch, Devnet(pds_count=2) as devnet:
        folder = Path(scratch)
        atdata.configure(plc=devnet.plc, dev=True)
        publish_all(devnet, folder)
        sources = {
            f"pds{i}": pds.url.replace("http", "ws", 1) for i, pds in enumerate(devnet.pdses)
        }
        made = folder / "demo"
        asyncio.run(
            record(sources, made, plc=devnet.plc, dev=True, idle_seconds=2.0, provenance=PROVENANCE)
        )
        shutil.rmtree(target, ignore_errors=True)
        shutil.move(made, target)
    print(f"made {target.relative_to(ROOT.parent)}")


if __name__ == "__main__":
    main()
