"""Versions of code: a hash of the modules that a job runs, blind to comments and layout.

The hash covers the modules given and every module of the package that they import, also inside
functions. Packages whose `__init__` only passes names on are looked through: who takes one name
depends on the module that defines it, not on its neighbours. Modules imported by a computed name
are the caller's to give. The text hashed does not depend on the version of Python.
"""

import ast
import hashlib
import io
import tokenize
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "pipeline"
LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER}
BREAKS = {tokenize.NEWLINE: ";", tokenize.INDENT: "{", tokenize.DEDENT: "}"}
DIGITS = 12


@cache
def version(*modules: str) -> str:
    """Return the version of all code that the modules run."""
    digest = hashlib.sha256()
    for module in closure(*modules):
        digest.update(f"{module}\0{_essence(module)}\0".encode())
    return digest.hexdigest()[:DIGITS]


@cache
def closure(*modules: str) -> tuple[str, ...]:
    """Return the package's modules that the given ones need, themselves included, sorted.

    Raises:
        FileNotFoundError: if one of the given modules does not exist.
    """
    seen: set[str] = set()
    todo = list(modules)
    for module in modules:
        if _path(module) is None:
            raise FileNotFoundError(f"no module {module} below {ROOT}")
    while todo:
        module = todo.pop()
        if module in seen or _path(module) is None:
            continue
        seen.add(module)
        todo += _imports(module)
        parent = module.rpartition(".")[0]
        if parent and not _passes_names_on(parent):
            todo.append(parent)
    return tuple(sorted(seen))


def _path(module: str) -> Path | None:
    base = ROOT.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(_path(module).read_text(encoding="utf-8"))


@cache
def _imports(module: str) -> list[str]:
    """Return the package's modules that a module imports anywhere in its text."""
    found: list[str] = []
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            if base.split(".")[0] == PACKAGE:
                found += (_definer(base, alias.name) for alias in node.names)
    return [name for name in found if name.split(".")[0] == PACKAGE]


def _absolute(module: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    if _path(module).name != "__init__.py":
        parts = parts[:-1]
    parts = parts[: len(parts) - node.level + 1]
    return ".".join(parts + ([node.module] if node.module else []))


def _definer(package: str, name: str) -> str:
    """Return the module that `from package import name` really asks for."""
    if _path(f"{package}.{name}"):
        return f"{package}.{name}"
    if _path(package) and _passes_names_on(package):
        for node in _tree(package).body:
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    if (alias.asname or alias.name) == name:
                        return _definer(_absolute(package, node), alias.name)
    return package


@cache
def _passes_names_on(module: str) -> bool:
    """Tell whether a package's `__init__` holds nothing but a docstring, imports and __all__."""
    path = _path(module)
    if path is None or path.name != "__init__.py":
        return False
    return all(
        isinstance(node, ast.Import | ast.ImportFrom)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")
        for node in _tree(module).body
    )


@cache
def _essence(module: str) -> str:
    """Return a module's text without comments, docstrings and layout."""
    return " ".join(essence(_path(module).read_text(encoding="utf-8")))


def essence(source: str) -> list[str]:
    """Return the tokens of a source text that can change what it does."""
    kept: list[str] = []
    for statement in _statements(_whole_strings(source)):
        docstring = all(kind == tokenize.STRING or kind in BREAKS for kind, _ in statement)
        depth = (tokenize.INDENT, tokenize.DEDENT)
        kept += [text for kind, text in statement if kind in depth or not docstring]
    return kept


def _statements(tokens: Iterable[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    """Yield the tokens of each logical line, the changes of depth before it included."""
    statement: list[tuple[int, str]] = []
    for kind, text in tokens:
        statement.append((kind, BREAKS.get(kind, text)))
        if kind == tokenize.NEWLINE:
            yield statement
            statement = []
    yield statement


def _whole_strings(source: str) -> Iterator[tuple[int, str]]:
    """Yield tokens without layout; an f-string is one of them, as before Python 3.12."""
    lines = source.splitlines(keepends=True)
    start_kind = getattr(tokenize, "FSTRING_START", None)
    end_kind = getattr(tokenize, "FSTRING_END", None)
    depth, start = 0, (0, 0)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if start_kind is not None and token.type == start_kind:
            start = token.start if depth == 0 else start
            depth += 1
        elif end_kind is not None and token.type == end_kind:
            depth -= 1
            if depth == 0:
                yield tokenize.STRING, _between(lines, start, token.end)
        elif depth == 0 and token.type not in LAYOUT:
            yield token.type, token.string


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    if start[0] == end[0]:
        return lines[start[0] - 1][start[1] : end[1]]
    middle = lines[start[0] : end[0] - 1]
    return "".join([lines[start[0] - 1][start[1] :], *middle, lines[end[0] - 1][: end[1]]])
