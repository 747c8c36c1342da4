"""Reads the documents in the project's root: their examples, and what they say stands in files."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def read_document(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def fences(document: str, language: str) -> list[str]:
    """The code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", document, re.MULTILINE | re.DOTALL)


def code_without_docstring(file: str, name: str) -> str:
    """A function or method with its decorators, as it stands in a file, but without its docstring and indentation."""
    source = read_document(file)
    (node,) = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef) and n.name == name]
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    lines = source.splitlines()[first - 1 : node.end_lineno]
    if ast.get_docstring(node) is not None:
        docstring = node.body[0]
        del lines[docstring.lineno - first : docstring.end_lineno - first + 1]
    return "\n".join(line[node.col_offset :] for line in lines) + "\n"


def named_paths(document: str) -> set[str]:
    """The files that a document links to, shows, or names in code, from the root; no addresses of the web."""
    linked = re.findall(r"\]\(([^)#]+)[^)]*\)", document) + re.findall(r'src="([^"]+)"', document)
    named = re.findall(r"(?<![\w/])(?:scratchformer|experiments|tests|\.ci)/[\w./-]*", document)
    return {path.rstrip(".") for path in linked + named if not path.startswith("http")}


def named_modules(document: str) -> set[str]:
    """The modules that commands of a document run."""
    return set(re.findall(r"-m ((?:scratchformer|experiments|tests)[\w.]*)", document))
