"""Architecture: layers, sizes, public names, docstrings, and the tree in ARCHITECTURE.md."""

import ast
import doctest
import re
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest
from banned_names import BANNED_NAMES, BANNED_WORDS
from layers import LAYERS, RANK

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "unimask"
MODULES = sorted(PACKAGE.rglob("*.py"))

FRONT_DOOR = ("__init__", "__main__")
FORBIDDEN_NAMES = {"utils", "util", "misc", "helpers", "common", "base"}
FILE_LIMIT, FUNCTION_LIMIT, ARGUMENT_LIMIT = 400, 42, 8


def package_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_packages(path: Path) -> set[str]:
    packages = set()
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [node.module or ""]
            if node.module == "unimask":
                names = [f"unimask.{alias.name}" for alias in node.names]
        else:
            continue
        packages |= {name.split(".")[1] for name in names if name.startswith("unimask.")}
    return packages


def functions(path: Path):
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def for_each(paths: list[Path]):
    """Turn a check of a module into one test of all, which lists every module that fails.

    A test per module and rule would be thousands, whose overhead exceeds the checks.
    """

    def decorate(check):
        def test():
            failures = []
            for path in paths:
                try:
                    check(path)
                except AssertionError as error:
                    failures.append(f"{name_of(path)}: {error}")
            assert not failures, "\n\n".join(failures)

        test.__name__, test.__doc__ = check.__name__, check.__doc__
        return test

    return decorate


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


inner = [path for path in MODULES if package_of(path) not in FRONT_DOOR]


@for_each(inner)
def test_imports_point_downwards(path):
    here = package_of(path)
    wrong = {
        other for other in imported_packages(path) - {here, "version"} if RANK[other] >= RANK[here]
    }
    assert not wrong, f"{here} (rank {RANK[here]}) imports {wrong}"


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def imported_modules(path: Path) -> set[str]:
    """Return the modules that a module imports, also within functions, except for type hints."""
    modules, nodes = set(), [parse(path)]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            modules |= names & ALL_NAMES or {node.module}
        nodes += ast.iter_child_nodes(node)
    return modules & ALL_NAMES - {module_name(path)}


ALL_NAMES = {module_name(path) for path in MODULES}


def test_no_module_imports_itself_through_others():
    graph = {module_name(path): imported_modules(path) for path in MODULES}
    order = list(TopologicalSorter(graph).static_order())  # a CycleError names the cycle
    assert len(order) == len(MODULES)


@for_each(MODULES)
def test_files_and_functions_stay_small(path):
    lines = path.read_text().splitlines()
    assert len(lines) <= FILE_LIMIT
    for function in functions(path):
        length = function.end_lineno - first_line(function) + 1
        assert length <= FUNCTION_LIMIT, f"{function.name}: {length} lines"


def identifiers(path: Path) -> set[str]:
    """Return the names of functions, classes, arguments and variables of a file."""
    nodes = list(ast.walk(parse(path)))
    names = {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    names |= {n.id for n in nodes if isinstance(n, ast.Name)}
    return names | {n.arg for n in nodes if isinstance(n, ast.arg)}


@for_each(MODULES)
def test_names_are_terms_of_the_field(path):
    assert not BANNED_NAMES & identifiers(path)


@pytest.mark.parametrize("folder", ["tests", "benchmarks", "recipes", "scripts"])
def test_names_outside_the_package_are_terms_of_the_field(folder):
    for path in sorted((ROOT / folder).rglob("*.py")):
        words = {word for name in identifiers(path) for word in name.lower().split("_")}
        assert not BANNED_WORDS & words, path


def first_line(function) -> int:
    """Return the line where a function's body begins, after its signature and docstring."""
    has_docstring = ast.get_docstring(function) is not None and len(function.body) > 1
    return function.body[has_docstring].lineno


@for_each(MODULES)
def test_functions_take_few_arguments(path):
    for function in functions(path):
        arguments = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
        names = [argument.arg for argument in arguments if argument.arg not in ("self", "cls")]
        wide = (package_of(path), function.name) in WIDE_CALLS or is_triton(function)
        assert wide or len(names) <= ARGUMENT_LIMIT, f"{function.name}: {len(names)}"


# Calls that users spell out by keyword, and commands whose options are their arguments.
WIDE_CALLS = {
    ("processing", "postprocess"),
    ("datasets", "open_dataset"),
    ("datasets", "open_train_and_val"),
    ("training", "train"),
    ("curation", "check"),
    ("curation", "convert"),
    ("evaluation", "evaluate"),
    ("evaluation", "evaluate_tracks"),
    ("profiling", "benchmark"),
    ("evaluation", "compare"),
    ("cli", "batch"),
    ("cli", "benchmark"),
    ("cli", "check"),
    ("cli", "convert"),
    ("cli", "predict"),
    ("cli", "serve"),
    ("cli", "slide"),
    ("cli", "track"),
    ("cli", "train"),
    ("cli", "volume"),
    ("cli", "evaluate"),
    ("cli", "export"),
    ("cli", "compare"),
    ("cli", "select"),
    ("selection", "select"),
    ("inference", "load"),
    ("inference", "predict"),
    ("inference", "stream"),
    ("inference", "predict_raster"),
    ("inference", "predict_volume"),
}


def is_triton(function):
    """Return whether a function is a Triton kernel, which takes each pointer and size."""
    return any(ast.unparse(mark) == "triton.jit" for mark in function.decorator_list)


def test_most_files_are_short():
    sizes = sorted(len(path.read_text().splitlines()) for path in MODULES)
    assert sizes[len(sizes) // 2] <= 150
    assert sizes[int(len(sizes) * 0.9)] <= 300


@for_each(MODULES)
def test_modules_have_docstrings_and_specific_names(path):
    assert ast.get_docstring(parse(path)), f"{name_of(path)} has no docstring"
    assert not FORBIDDEN_NAMES & {part.removesuffix(".py") for part in path.parts}


@for_each(MODULES)
def test_annotations_are_not_hidden_from_shape_checks(path):
    assert "from __future__ import annotations" not in path.read_text()


VAGUE_VERBS = frozenset({"Give", "Say", "Tell", "Let"})
FRAGMENT = re.compile(r"(Of|Whose|Told|Likewise) ")
ENTRY = re.compile(r" {4}\*{0,2}(\w+): (.+)")
CODE = re.compile(r"`[^`]*`|^\s*(>>>|\.\.\.).*|^ {4}\w+: ", re.MULTILINE)


def descriptions(text: str, section: str) -> dict[str, str]:
    """Return the first line of each entry in a section of a docstring, by name."""
    block = re.search(rf"^{section}:\n((?:    .*\n|\n)+)", text + "\n", re.MULTILINE)
    entries = map(ENTRY.fullmatch, block[1].splitlines() if block else [])
    return dict(entry.groups() for entry in entries if entry)


def documented(path: Path):
    """Yield the classes and functions of a module that have a docstring, with it."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text is not None:
                yield node, text


@for_each(MODULES)
def test_docstrings_use_specific_verbs_and_standard_terms(path):
    """A summary begins with what is computed, not with "Give"; an image is an image."""
    for node, text in documented(path):
        assert text.split(maxsplit=1)[0] not in VAGUE_VERBS, f"{node.name}: {text.splitlines()[0]}"
        assert not re.search(r"\bpictures?\b", CODE.sub("", text)), f"{node.name}: say image"


@for_each(MODULES)
def test_arguments_are_described_by_whole_phrases(path):
    """Each description names what the argument is, and the arguments are those of the function."""
    for node, text in documented(path):
        entries = descriptions(text, "Args") | descriptions(text, "Attributes")
        fragments = [f"{name}: {line}" for name, line in entries.items() if FRAGMENT.match(line)]
        assert not fragments, f"{node.name}: {fragments}"
        function = node
        if isinstance(node, ast.ClassDef):
            inner = {n.name: n for n in node.body if isinstance(n, ast.FunctionDef)}
            function = inner.get("__init__")
        if function is not None:
            arguments = {a.arg for a in ast.walk(function.args) if isinstance(a, ast.arg)}
            unknown = descriptions(text, "Args").keys() - arguments
            assert not unknown, f"{node.name} has no arguments {sorted(unknown)}"


with_examples = [path for path in MODULES if ">>> " in path.read_text()]


@pytest.mark.parametrize("path", with_examples, ids=name_of)
def test_examples_in_docstrings_run(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    module = import_module(".".join(parts).removesuffix(".__init__"))
    failed, attempted = doctest.testmod(module)
    assert not failed
    assert attempted or "+SKIP" in path.read_text()


def test_public_names_exist_and_are_documented():
    import unimask

    for name in unimask.__all__:
        thing = getattr(unimask, name)
        text = thing.__doc__ or ""
        assert name.startswith("__") or ">>> " in text, f"unimask.{name} shows no example"
    assert set(unimask.__all__) <= set(dir(unimask))


def test_import_is_light():
    """`import unimask` brings no extra, and neither torch nor anything that starts slowly."""
    heavy = {"torch", "transformers", "lightning_fabric", "lightning", "matplotlib", "pycocotools"}
    code = f"import sys, unimask; print(sorted({heavy!r} & set(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert printed.stdout.strip() == "[]", printed.stderr


def tree_entries(text: str) -> set[str]:
    """Read the paths of ARCHITECTURE.md's tree: two blanks of indent a level, folders end in /."""
    block = re.search(r"```\nsrc/unimask/\n(.*?)```", text, re.DOTALL)
    assert block, "ARCHITECTURE.md has no tree"
    stack: list[str] = []
    paths = set()
    for line in block[1].splitlines():
        indent, name = re.match(r"( *)(\S+)", line).groups()
        del stack[len(indent) // 2 - 1 :]
        stack.append(name)
        assert len(line.split(None, 1)) == 2, f"say in a few words what {name} is"
        paths.add("".join(stack))
    return {path for path in paths if path.endswith(".py")}


def test_the_tree_in_architecture_is_the_real_one():
    listed = tree_entries((ROOT / "ARCHITECTURE.md").read_text())
    real = {str(path.relative_to(PACKAGE)) for path in MODULES if path.name != "__init__.py"} | {
        "__init__.py"
    }
    assert listed == real, f"missing: {sorted(real - listed)}, gone: {sorted(listed - real)}"


def test_the_layers_in_architecture_are_the_enforced_ones():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    documented = re.findall(r"^ *(\d+)  (.+)$", text.split("```")[1], re.MULTILINE)
    expected = [(str(rank), " · ".join(names)) for rank, names in enumerate(LAYERS)]
    assert documented == expected[::-1]


def test_tests_mirror_the_package():
    """Each folder of tests has the name of the package that it tests."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        parts = path.relative_to(ROOT / "tests").parts
        if len(parts) > 1 and parts[0] not in ("contracts", "parity"):
            assert parts[0] in RANK, f"{path}: no such package"
            assert (PACKAGE / parts[0]).exists() or (PACKAGE / f"{parts[0]}.py").exists()


COPYING = re.compile(r"/(home|root|work|tmp)/\w")


@for_each(MODULES)
def test_no_path_of_a_machine(path):
    assert not COPYING.search(path.read_text())
