# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""The command line, `monai-kd` or `python -m monai_kd`: a thin layer over `monai.bundle`.

Exit status: 0, done; 1, an error, told in one line, or a check that found one; 2, wrong usage; 130, interrupted. A
traceback is shown with `--debug`, and without it kept in a file if the error is nobody's that was foreseen.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from typing import NoReturn

import monai_kd

_OVERRIDES = """
Anything else is an override, as MONAI has them: --key value, --key::sub value or --key=value, where a value may be any
Python literal. `run` also takes what `python -m monai.bundle run` does: --run_id, --tracking, --args_file and the rest.
"""

_TRUST = "run the bundle, and files laid over it, even if there is code in them that is not MONAI's"


def _parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    anywhere = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    anywhere.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show where an error comes from"
    )
    parser = argparse.ArgumentParser(
        "monai-kd", description="Knowledge distillation for MONAI.", parents=[anywhere], allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"monai-kd {monai_kd.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name: str, text: str, epilog: str | None = None) -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=text, description=text, epilog=epilog, parents=[anywhere], allow_abbrev=False
        )

    listing = add("list", "list the recipes")
    listing.add_argument("--kind", help="only those for bundles of this kind, such as segmentation")
    for name, text in (("show", "print a recipe"), ("path", "print where a recipe's file is")):
        add(name, text).add_argument("id", metavar="ID", help="a recipe")

    for name, text in (
        ("run", "train a bundle's student by a recipe"),
        ("pack", "write a bundle and a recipe as one self-contained bundle, in JSON"),
    ):
        command = add(name, text, epilog=_OVERRIDES)
        recipe = "a recipe, or the path of one" if name == "pack" else "a recipe, the path of one, or an override that"
        also = "" if name == "pack" else " the bundle itself has, such as train_teacher"
        command.add_argument("id", metavar="ID", help=recipe + also)
        command.add_argument("--bundle", metavar="DIR", required=True, help="the bundle's folder")
        command.add_argument(
            "--config_file", metavar="FILE", help="more files to lay over, such as multi_gpu_train.yaml; a list or one"
        )
        command.add_argument(
            "--teacher", metavar="DIR", help="the bundle whose network teaches, instead of what train_teacher wrote"
        )
        command.add_argument("--trust", action="store_true", help=_TRUST)
        if name == "pack":
            command.add_argument("out", metavar="OUT", help="the folder to write, new or empty")

    compare = add("compare", "train the student alone and by recipes, with several seeds, and write a page", _OVERRIDES)
    compare.add_argument("--bundle", metavar="DIR", required=True, help="the bundle's folder")
    compare.add_argument("--recipes", metavar="IDS", required=True, help="recipes, or their paths, with commas between")
    compare.add_argument("--seeds", metavar="N", type=int, default=3, help="how many, counted from 0 (3)")
    compare.add_argument("--jobs", metavar="N", type=int, default=1, help="how many run at a time (1)")
    compare.add_argument("--output_dir", metavar="OUT", help="of the runs and the page (output/compare in the bundle)")
    compare.add_argument("--config_file", metavar="FILE", help="more files to lay over each run; a list or one")
    compare.add_argument("--teacher", metavar="DIR", help="the bundle whose network teaches")
    compare.add_argument("--trust", action="store_true", help=_TRUST)

    datalist = add("datalist", "write the dataset.json of a folder or a CSV, divided by patient")
    datalist.add_argument("source", metavar="SOURCE", help="images/<class>/*, images/* and labels/*, or a CSV")
    datalist.add_argument("--out", metavar="FILE", help="where to; by default dataset.json beside the images")
    datalist.add_argument("--overwrite", action="store_true", help="write over a file that is there")
    for section, what in (("val", "validation"), ("test", "test")):
        datalist.add_argument(f"--{section}", metavar="SHARE", type=float, help=f"of the {what} section (0.15)")
    datalist.add_argument("--folds", metavar="N", type=int, help="folds instead of a validation section")
    datalist.add_argument("--seed", metavar="N", type=int, default=0, help="of the division (0)")
    datalist.add_argument("--extension", metavar=".EXT", help="of a folder: only files that end so")
    datalist.add_argument("--group-pattern", metavar="REGEX", help="of a folder: finds the patient in a file's name")
    for column, text in (
        ("image", "image"),
        ("label", "label, or several with commas between: findings of 0 and 1"),
        ("group", "patient"),
        ("split", "section or fold"),
    ):
        datalist.add_argument(f"--{column}-column", metavar="NAME", help=f"of a CSV: the column of the {text}")
    datalist.add_argument(
        "--file", metavar="KEY=NAME", action="append", help="of a CSV: more files, and the column of their paths"
    )
    datalist.add_argument(
        "--vector", metavar="KEY=NAMES", action="append", help="of a CSV: a vector, and the columns of its numbers"
    )

    check = add("check-data", "read a whole data set to its last byte and say what is wrong with it")
    check.add_argument("dataset", metavar="DATASET", help="a dataset.json, or its folder")
    check.add_argument("--num_classes", metavar="N", type=int, help="by default as many as the file has `labels`")
    check.add_argument("--multilabel", action="store_true", help="labels are lists of zeros and ones")
    check.add_argument("--json", dest="json_file", metavar="FILE", help="where to write all that was found")
    check.add_argument("--workers", metavar="N", type=int, default=1, help="threads that read (1)")
    check.add_argument(
        "--checksums", metavar="FILE", help="as of sha256sum: written if it is not there, else every file is compared"
    )

    bundle = add("check-bundle", "say what of a bundle could run code that is not MONAI's; nothing of it is run")
    bundle.add_argument("folder", metavar="DIR", help="the bundle's folder")

    add("report", "write report.html about all runs below a folder").add_argument("directory", metavar="DIR")
    return parser, commands.choices


def _dispatch(args: argparse.Namespace, tokens: Sequence[str]) -> int:
    status = 0
    if args.command in ("run", "pack", "compare") and not args.trust:
        from monai_kd.commands.check_bundle import refuse_foreign

        for folder in filter(None, (args.bundle, args.teacher)):
            refuse_foreign(folder)
    given = {key: value for key, value in vars(args).items() if key not in ("command", "debug")}
    if args.command in ("list", "show", "path"):
        from monai_kd.commands import shelf

        _tell(shelf.table(args.kind) if args.command == "list" else getattr(shelf, args.command)(args.id))
    elif args.command == "report":
        from monai_kd.report import write_report

        _tell(write_report(args.directory))
    elif args.command == "check-data":
        from monai_kd.commands.check_data import check_data

        text, status = check_data(**given)
        _tell(text)
    elif args.command == "check-bundle":
        from monai_kd.commands.check_bundle import check_bundle

        text, status = check_bundle(args.folder)
        _tell(text)
    elif args.command == "datalist":
        from monai_kd.commands.datalist import write_datalist

        _tell(write_datalist(**given))
    elif args.command == "compare":
        from monai_kd.commands.compare import compare

        _tell(compare(**given, tokens=tokens))
    else:
        from monai_kd.commands.composition import compose
        from monai_kd.commands.teacher import compare_with_teacher, teacher_overrides

        below = teacher_overrides(args.teacher, packed=args.command == "pack") if args.teacher else {}
        composed = compose(args.id, args.bundle, args.config_file, tokens, below)
        if not args.trust:
            from monai_kd.commands.check_bundle import refuse_foreign_files

            refuse_foreign_files(composed.named, composed.files)
        if args.teacher:
            compare_with_teacher(composed, args.teacher)
        if args.command == "run":
            from monai_kd.commands.run import run

            run(composed)
        else:
            from monai_kd.commands.pack import pack

            _tell(pack(composed, args.out))
    return status


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status.

    Args:
        argv: what was typed after `monai-kd`; None reads it from the process.
    """
    parser, commands = _parser()
    words = list(sys.argv[1:] if argv is None else argv)
    tokens: list[str] = []
    name = next((word for word in words if not word.startswith("-")), "")
    if name in ("run", "pack", "compare"):
        from monai_kd.commands.overrides import set_apart

        takes = {option: action.nargs != 0 for action in commands[name]._actions for option in action.option_strings}
        words, tokens = set_apart(words, takes)
    args = parser.parse_args(words)
    debug = getattr(args, "debug", False)
    from monai_kd.commands.failure import failure, unexpected, without_tracebacks

    try:
        with nullcontext() if debug else without_tracebacks():
            return _dispatch(args, tokens)
    except KeyboardInterrupt as stop:
        if debug:
            raise
        print("; ".join(["interrupted", *map(str, stop.args)]), file=sys.stderr)
        return 130
    except Exception as error:
        if debug:
            raise
        print(f"error: {failure(error) or unexpected(error)}", file=sys.stderr)
        return 1


def _tell(text: object) -> None:
    """Print, and end quietly where nobody reads on: `monai-kd list | head -1`."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # or the interpreter's last flush would fail, too
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def program() -> NoReturn:
    """Be the process: do as `main`, and after an error end at once.

    Threads that load data may then still run, and the interpreter's own end would abort in them (exit status 134).
    """
    try:
        status = main()
    except (Exception, KeyboardInterrupt) as error:
        traceback.print_exc()
        status = 130 if isinstance(error, KeyboardInterrupt) else 1
    if status == 0:
        sys.exit()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    program()
