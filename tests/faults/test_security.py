"""What nobody else is let in by: names, options, paths and links that are made to harm, secrets, and what is deleted."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from persist_magic import submission, trusting
from persist_magic.__main__ import main
from persist_magic.backends import get_backend
from persist_magic.backends.slurm import directives
from persist_magic.capture.environment import looks_secret
from persist_magic.errors import BackendError, Damaged, InvalidName, JobFailed, JobLives, UnsafePath
from persist_magic.job import Job
from persist_magic.store import Root
from tests.conftest import Session, await_supervisor, wait_until
from tests.shell import Shell

HOSTILE = [
    "$(touch {marker})",
    "`touch {marker}`",
    "'; touch {marker}; '",
    '"; touch {marker}; "',
    "\ntouch {marker}\n",
    "|| touch {marker}",
]


def words(template: str, marker: Path) -> str:
    """Words that make the marker if a shell reads them."""
    return template.format(marker=f'"{marker}"')


@pytest.mark.parametrize("template", HOSTILE)
def test_no_path_reaches_a_shell(session: Session, tmp_path: Path, template: str) -> None:
    marker = Path("/tmp") / f"{tmp_path.parent.name}-{tmp_path.name}"  # a path of one shell word
    hostile = tmp_path / words(template, marker).replace("/", "⁄") / ".persist"
    job = submission.persist(sum, "calc", args=([1, 2],), root=hostile)
    assert job.fetch(60) == 3
    assert job.rerun().fetch(60) == 3
    assert subprocess.run(["sh", str(job.path / "job.sh")], check=False).returncode == 0  # by hand, as the third run
    assert job.directory.runs() == [1, 2, 3]
    assert not any("touch" in name or "tmp" in name for name in os.listdir(job.path))
    assert not marker.exists()


@pytest.mark.parametrize("template", HOSTILE)
def test_no_name_of_a_program_reaches_a_shell(session: Session, tmp_path: Path, template: str) -> None:
    marker = tmp_path / "marker"
    job = submission.persist(sum, "calc", args=([1, 2],), root=session.root, python=words(template, marker))
    assert "ended before the cell could start" in job.wait(60).reason
    assert not marker.exists()


@pytest.mark.parametrize("template", HOSTILE)
def test_no_option_reaches_a_script(session: Session, tmp_path: Path, template: str) -> None:
    marker = tmp_path / "marker"
    hostile = words(template, marker)
    for name in ("local", "slurm"):
        backend = get_backend(name)
        for option in (hostile, f"--comment={hostile}", f"--slots={hostile}"):
            try:
                backend.settings([option])
            except BackendError:
                continue
            spec = session.persist("plain", "1").spec()
            script = backend.script(session.job("plain").directory, spec)
            assert "touch" not in script, option  # it is a word of its own in sbatch's arguments


def test_lines_of_a_cell_for_sbatch_are_comments_to_the_shell() -> None:
    for separator in "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029":
        for line in directives(f"#SBATCH --comment=a{separator}touch marker\n#SBATCH -t 5\n1"):
            assert line.startswith("#SBATCH ")
            assert "touch" not in line


@pytest.mark.parametrize(
    "option", [["--wrap=rm -rf ~"], ["--wra", "x"], ["-a", "1-9"], ["job.sh"], ["-p", "gpu", "other.sh"], ["--comment=a\nb"]]
)
def test_options_that_would_run_something_else_are_refused(option: list[str]) -> None:
    with pytest.raises(BackendError):
        get_backend("slurm").settings(option)


@pytest.mark.parametrize(
    "name",
    ["..", "../calc", "calc/../../x", "cаlc", "calc\u200b", "calc．x", "CON\n", "-rf", ".lock", ".slots", ".new-a", "~root"],
)
def test_no_name_leaves_the_root_or_looks_like_another(session: Session, name: str) -> None:
    before = os.path.exists(session.root)
    for refuse in (
        lambda: session.persist(name, "1"),
        lambda: session.job(name),
        lambda: Root(session.root).directory(name),
    ):
        with pytest.raises(InvalidName):
            refuse()
    assert os.path.exists(session.root) == before


def test_secrets_of_the_environment_are_not_written(shell: Shell, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_API_TOKEN", "hush-1")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    shell.run("%config PersistMagics.environment = ['OMP_NUM_THREADS', 'HUB_API_TOKEN']")
    shell.run("from os import environ\nimport os")
    job = shell.run("%%persist calc\n(environ['HUB_API_TOKEN'], os.environ['OMP_NUM_THREADS'])")
    assert (
        "not written down, as the name tells of a secret; later runs have what starts them has: HUB_API_TOKEN"
        in shell.said()
    )
    assert job.fetch(60) == ("hush-1", "3")  # of the process that started it
    values = job.path / "run-1" / "values.pkl"
    holders = [path for path in Path(root).rglob("*") if path.is_file() and b"hush-1" in path.read_bytes()]
    assert set(holders) <= {values, job.path / "run-1" / "outcome.json"}  # which is what the cell gave
    assert job.spec().environment["OMP_NUM_THREADS"] == "3"
    assert "HUB_API_TOKEN" not in job.spec().environment


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("AWS_SECRET_ACCESS_KEY", True),
        ("GITHUB_TOKEN", True),
        ("PGPASSWORD", True),
        ("db_password", True),
        ("OPENAI_API_KEY", True),
        ("HF_TOKEN", True),
        ("JUPYTERHUB_API_TOKEN", True),
        ("GOOGLE_APPLICATION_CREDENTIALS", True),
        ("MY_AUTH", True),
        ("TOKENIZERS_PARALLELISM", False),
        ("OMP_NUM_THREADS", False),
        ("DB_PASS", True),
        ("PWD", False),
        ("MAX_TOKENS", False),
        ("SSH_AUTH_SOCK", False),
        ("KEYBOARD", False),
        ("AUTHOR", False),
        ("PYTHONPATH", False),
        ("CUDA_VISIBLE_DEVICES", False),
    ],
)
def test_names_that_tell_of_secrets(name: str, secret: bool) -> None:
    assert looks_secret(name) is secret


def test_links_are_deleted_and_not_followed(session: Session, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "data").write_text("mine")
    job = session.persist("calc", "1")
    job.wait(60)
    (job.path / "run-1" / "link").symlink_to(precious)
    (job.path / "file").symlink_to(precious / "data")
    job.cleanup()
    assert (precious / "data").read_text() == "mine"


def test_a_job_that_is_a_link_is_let_go_and_stays_where_it_is(session: Session, tmp_path: Path) -> None:
    job = session.persist("calc", "1")
    job.wait(60)
    there = tmp_path / "elsewhere"
    os.rename(job.path, there)
    job.path.symlink_to(there)
    assert session.job("calc").fetch() == 1
    session.job("calc").cleanup()
    assert (there / "job.json").exists()
    assert [name for name in os.listdir(session.root) if "calc" in name or name.startswith(".del")] == []


def test_only_what_is_certainly_a_job_of_the_name_is_deleted(session: Session) -> None:
    session.persist("calc", "1").wait(60)
    root = Path(session.root)
    os.rename(root / "calc", root / "other")
    (root / "theirs").mkdir()
    (root / "theirs" / "job.json").write_text('{"format": 1, "name": "theirs"}')
    for name, why in (("other", "it belongs to job calc; .* by hand"), ("theirs", "token is missing")):
        with pytest.raises(Damaged, match=why):
            session.job(name).cleanup()
        assert (root / name / "job.json").exists()


def test_no_live_job_is_deleted_or_replaced(session: Session, marker: Path) -> None:
    job = session.persist("calc", f"import os, time\nwhile not os.path.exists({str(marker)!r}): time.sleep(0.01)")
    wait_until(lambda: job.directory.current_run().started() is not None, "its start")
    for harm in (job.cleanup, lambda: session.persist("calc", "2", replace=True), job.rerun):
        with pytest.raises(JobLives):
            harm()
    marker.touch()
    assert job.fetch(60) is None


# ---------------------------------------------------------------- what is unpickled or run

CELL = """
import persist_magic
persist_magic.checkpoint(step=1)
table[0] = 1.0
total = table.sum()
total
"""


def _writable(path: Path) -> None:
    path.chmod(0o666)


def _in_a_writable_directory(path: Path) -> None:
    path.parent.chmod(0o770)


def _of_another_user(path: Path) -> None:
    os.chown(path, 12345, 12345)


def _in_another_users_directory(path: Path) -> None:
    os.chown(path.parent, 12345, 12345)


def _a_link(path: Path) -> None:
    elsewhere = path.parent.parent.parent.parent / f"elsewhere-{path.name}"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


HARMS = [_writable, _in_a_writable_directory, _of_another_user, _in_another_users_directory, _a_link]


@pytest.fixture
def pickled(session: Session) -> Job:
    """A job that has left a file of each kind that is unpickled or run."""
    session.run("import numpy\ntable = numpy.zeros(20_000)")
    job = session.persist("calc", CELL)
    assert job.fetch(60) == 1.0
    return session.job("calc")


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__.strip("_"))
@pytest.mark.parametrize("file", ["values.pkl", "values.buffers", "checkpoint-*.pkl"])
def test_nothing_is_unpickled_that_others_may_have_written(pickled: Job, file: str, harm: Callable[[Path], None]) -> None:
    (path,) = (pickled.path / "run-1").glob(file)
    harm(path)
    read = {"values.pkl": pickled.fetch, "values.buffers": lambda: pickled.variables["table"]}.get(file, pickled.checkpoint)
    with pytest.raises((UnsafePath, Damaged), match=r"others may write|belongs to user 12345|is a link"):
        read()
    if harm is not _a_link:
        with trusting():
            assert read() is not None
        with pytest.raises(UnsafePath):
            read()


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__.strip("_"))
@pytest.mark.parametrize("file", ["job.sh", "session.pkl", "session.buffers"])
def test_nothing_is_run_that_others_may_have_written(pickled: Job, file: str, harm: Callable[[Path], None]) -> None:
    harm(pickled.path / file)
    try:
        again = pickled.rerun()
    except (UnsafePath, Damaged) as error:
        words = str(error)
        assert pickled.directory.runs() == [1]
    else:
        with pytest.raises(JobFailed) as failure:
            again.fetch(60)
        words = str(failure.value)
    assert any(why in words for why in ("others may write", "belongs to user 12345", "is a link")), words


def test_no_module_is_imported_that_others_may_have_written(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ours.py").write_text("two = 2")
    monkeypatch.syspath_prepend(tmp_path)
    session.run("import ours")
    job = session.persist("calc", "ours.two", snapshot=True)
    assert job.fetch(60) == 2
    (job.path / "modules").chmod(0o770)
    with pytest.raises(JobFailed, match="modules is not safe: others may write it"):
        job.rerun().fetch(60)


def test_a_colleagues_job_is_read_by_who_trusts_them(shell: Shell, root: str, capsys: pytest.CaptureFixture[str]) -> None:
    job = shell.run("%%persist calc\nnumbers = [1, 2]\nsum(numbers)")
    job.wait(60)
    await_supervisor(job)
    for path in [Path(root), *Path(root).rglob("*")]:
        os.chown(path, 12345, 12345)
    with pytest.raises(UnsafePath, match=r"belongs to user 12345.*add --trust"):
        shell.run("%persist_fetch calc")
    assert shell.run("%persist_fetch calc --trust") == 3
    shell.run("%persist_fetch calc numbers --trust")
    assert shell.run("numbers") == [1, 2]
    assert main(["--root", root, "show", "calc"]) == 3
    assert "add --trust" in capsys.readouterr().err
    assert main(["--root", root, "--trust", "show", "calc"]) == 0
    assert "3" in capsys.readouterr().out
    assert main(["--root", root, "--trust", "status"]) == 0
