"""The command line as a whole: help without weight, one-line errors, exit codes."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from worker import __version__
from worker.cli import main as cli
from worker.errors import SettingsError, Stop

HEAVY = ("torch", "sklearn", "kafka", "transformers", "noida_db")
WEIGHTLESS = f"""
import sys
from worker.cli.main import main
sys.argv = ["tagstream", *sys.argv[1:]]
code = main()
assert code == 0, code
heavy = [name for name in {HEAVY!r} if name in sys.modules]
assert not heavy, heavy
"""
SUBCOMMANDS = (
    *("topics create", "topics describe", "dlq list", "dlq show", "dlq replay"),
    *("clusters list", "clusters show", "clusters fit", "clusters evaluate", "clusters merge"),
)


def _python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


def _written(name: str) -> bool:
    return Path(cli.__file__).with_name(cli.COMMANDS[name].module.rpartition(".")[2] + ".py").exists()


@pytest.mark.parametrize("words", ["", *filter(_written, cli.COMMANDS), *SUBCOMMANDS])
def test_help_imports_nothing_heavy(words: str) -> None:
    """`--help` of every command is instant: no torch, no sklearn, no kafka."""
    done = _python(WEIGHTLESS, *words.split(), "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage: tagstream" in done.stdout


def test_help_names_every_command() -> None:
    """The group's help lists all commands with a line each."""
    done = _python(WEIGHTLESS, "--help")
    assert all(f"  {name} " in done.stdout for name in cli.COMMANDS)
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_version() -> None:
    """`--version` is the package's."""
    assert __version__ in _python(WEIGHTLESS, "--version").stdout


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> type[click.Command]:
    """A command `fail` that raises what the test puts into `error`."""

    class Failing(click.Command):
        error: BaseException | None = None

        def invoke(self, ctx: click.Context) -> int:
            if Failing.error:
                raise Failing.error
            return 7

    module = type(sys)("failing")
    module.command = Failing("fail")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "failing", module)
    monkeypatch.setitem(cli.COMMANDS, "fail", cli.Entry("failing", "Fails."))
    monkeypatch.setattr(sys, "argv", ["tagstream", "fail"])
    return Failing


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (SettingsError("no such key"), 2, "tagstream: no such key"),
        (Stop("the broker\nis gone"), 1, "tagstream: the broker is gone"),
        (click.ClickException("it broke"), 1, "tagstream: it broke"),
        (KeyboardInterrupt(), 130, "tagstream: interrupted"),
    ],
    ids=["settings", "stop", "click", "ctrl-c"],
)
def test_a_failure_is_one_line_and_a_code(
    failing: type[click.Command], capsys: pytest.CaptureFixture[str], error: BaseException, code: int, line: str
) -> None:
    """What went wrong is one line on stderr, and nothing is on stdout."""
    failing.error = error  # type: ignore[attr-defined]
    assert cli.main() == code
    assert capsys.readouterr() == ("", line + "\n")


def test_a_command_may_return_its_code(failing: type[click.Command]) -> None:
    """A callback's integer is the exit code."""
    assert cli.main() == 7


def test_a_bug_is_not_hidden(failing: type[click.Command]) -> None:
    """What is no decided failure keeps its traceback."""
    failing.error = ZeroDivisionError()  # type: ignore[attr-defined]
    with pytest.raises(ZeroDivisionError):
        cli.main()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nope"], "nope"),
        (["topics", "create", "--bad"], "--bad"),
        (["topics", "create", "--set", "kafka.bootstrp=x"], "kafka.bootstrap"),
        (["topics", "create", "--config", "missing.yaml"], "missing.yaml"),
        (["dlq", "replay"], "dead_letter.replay_topic"),
        (["dlq", "replay", "--reason", "nope"], "not_utf8"),
        (["dlq", "replay", "--offset", "1"], "--partition"),
        (["dlq", "replay", "--since", "yesterday"], "2030-01-31"),
    ],
    ids=["command", "option", "setting", "file", "no replay topic", "reason", "offset", "time"],
)
def test_a_wrong_call_is_one_line_and_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    """The line names what is wrong, or the nearest thing that is right."""
    monkeypatch.setattr(sys, "argv", ["tagstream", *arguments])
    assert cli.main() == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("tagstream: ")
    assert err.count("\n") == 1
    assert words in err


def test_a_reader_that_goes_away_is_no_error() -> None:
    """`tagstream … | head` ends quietly."""
    code = "import sys; from worker.cli.main import main; sys.argv = ['tagstream', '--help']; sys.exit(main())"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""


def test_the_broker_ends_on_ctrl_c(tmp_path: Path) -> None:
    """`tagstream broker` says where it is, stops with code 0, and has written its data."""
    pytest.importorskip("noida_db")
    command = [sys.executable, "-m", "worker.cli.main", "broker", "--port", "0", "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={"PYTHONUNBUFFERED": "1"}) as process:
        assert process.stdout
        assert b"broker at 127.0.0.1:" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0
    assert (tmp_path / "data" / "kafka.json").is_file()
