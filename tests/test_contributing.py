import re
from importlib.util import find_spec

from tests.documents import ROOT, code_without_docstring, fences, named_modules, named_paths, read_document

CONTRIBUTING = read_document("CONTRIBUTING.md")


def test_every_link_path_and_module_exists() -> None:
    paths = {path for path in named_paths(CONTRIBUTING) if "NAME" not in path}
    assert len(paths) > 15
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []
    assert [module for module in sorted(named_modules(CONTRIBUTING)) if find_spec(module) is None] == []


def test_every_stage_of_ci_is_in_the_table_in_its_order() -> None:
    stages = re.findall(r"^\w+=\(([\w ]+)\)$", read_document(".ci/run"), re.MULTILINE)
    assert re.findall(r"^\| `(\w+)` \|", CONTRIBUTING, re.MULTILINE) == " ".join(stages).split()


def test_the_layer_is_shown_as_it_stands_in_its_file() -> None:
    assert fences(CONTRIBUTING, "python") == [
        code_without_docstring("scratchformer/layers/self_attention.py", "__call__")
    ]
