"""Runs in az's own Python: the real Azure CLI, asked for one command per line of standard input.

A command costs its own work instead of a second of starting Python and loading modules. Each gets a new CLI object, as a
process of its own would; profile, tokens and cloud are read from AZURE_CONFIG_DIR as always.

In: a JSON array of arguments. Out: {"code": exit code, "out": standard output, "err": standard error}.
"""

import io
import json
import logging
import os
import sys
import tempfile

from azure.cli.core import get_default_cli
from azure.cli.core.aaz import AAZCommand


def forget_arguments(command: type) -> None:
    """az keeps a command's arguments on its class, and a subclass takes its parent's for its own: `sig show` has no
    --sharing-groups in a process where another command asked for a gallery first."""
    for subclass in command.__subclasses__():
        for kept in {"_arguments_schema", "_args_schema"} & vars(subclass).keys():
            setattr(subclass, kept, None)
        forget_arguments(subclass)


def run(arguments: list[str], errors) -> dict:
    # az sets its log handlers up once per process; without this, a later --only-show-errors would be ignored.
    logging.getLogger().handlers.clear()
    for name in ("cli", "az_command_data_logger"):
        logging.getLogger(name).handlers.clear()
    forget_arguments(AAZCommand)
    errors.seek(0)
    errors.truncate()
    out = io.StringIO()
    try:
        code = get_default_cli().invoke(arguments, out_file=out)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    sys.stderr.flush()
    errors.seek(0)
    return {"code": code, "out": out.getvalue(), "err": errors.read().decode(errors="replace")}


def main() -> None:
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # Nothing that az prints on its own may get between the replies.
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    with tempfile.TemporaryFile() as errors:
        os.dup2(errors.fileno(), 2)
        for line in requests:
            replies.write(json.dumps(run(json.loads(line), errors)) + "\n")
            replies.flush()


main()
