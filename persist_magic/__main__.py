"""``persist-magic`` and ``python -m persist_magic``: the verbs for a shell, for example on a cluster's login node.

Owns the program's options and exit codes; the verbs themselves are those of the magics, in `commands`.
"""

from __future__ import annotations

import argparse
import contextlib
import sys

from . import __version__, commands
from .errors import JobTimeout, PersistError, UsageError
from .session import ROOT_VARIABLE, set_session_root
from .store import trusting

_EXIT_CODES = """exit codes:
  0    done as asked; for wait and show: the job is done
  1    wait, show: a job failed or was cancelled; doctor: there is something to mend
  2    the words do not fit
  3    no such job, or another error, told on stderr
  124  wait --timeout: the time is over, the job goes on
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    words, options = commands.split_options(list(sys.argv[1:] if arguments is None else arguments))
    parser = argparse.ArgumentParser(
        prog="persist-magic",
        description="Watch and steer the jobs that %%persist made.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--root", metavar="DIR", help=f"the folder of the jobs; default ${ROOT_VARIABLE} or .persist")
    parser.add_argument(
        "--trust", action="store_true", help="also jobs that others own or may write: as running their program"
    )
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND", required=True)
    for name, verb in commands.VERBS.items():
        commands.configure(name, verbs.add_parser(name, help=verb.help, description=verb.help, allow_abbrev=False))
    parsed = parser.parse_args(words)
    if options is not None and not commands.VERBS[parsed.verb].takes_options:
        parser.error(f"{parsed.verb} takes nothing after --")
    parsed.options = options
    if parsed.root:
        set_session_root(lambda: str(parsed.root), lambda: "by --root")
    try:
        with trusting() if parsed.trust else contextlib.nullcontext():
            return commands.VERBS[parsed.verb].run(parsed)
    except UsageError as error:
        commands.report(error)
        return 2
    except JobTimeout as error:
        commands.report(error)
        return 124
    except PersistError as error:
        commands.report(error)
        return 3
    except BrokenPipeError:  # the reader, for example head, has seen enough
        sys.stdout = None
        return 0
    except KeyboardInterrupt:
        return 130
    finally:
        set_session_root(None)


if __name__ == "__main__":
    sys.exit(main())
