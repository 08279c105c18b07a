# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Is a `$` expression of a configuration harmless? It is parsed, never run."""

from __future__ import annotations

import ast

from monai.bundle import ReferenceResolver

from monai_kd.utils.lint_names import name_problem
from monai_kd.utils.lint_tree import REFERENCES, Linter, Names

__all__ = ["import_of", "lint_expression", "lint_import"]


def lint_expression(text: str, names: Names | None = None) -> list[str]:
    """Say what a `$` expression must not do; nothing is run.

    Args:
        text: the expression, with its `$`.
        names: what each name that `imports` gives stands for; modules that may be imported are known by their own.

    Returns:
        One clause for each problem.

    Example::

        >>> from monai_kd.utils.lint_expression import lint_expression
        >>> lint_expression("$torch.zeros(@n, device=@device)")
        []
        >>> lint_expression("$[eval(text) for text in @texts]")
        ["uses 'eval', which is no name of the configuration"]
    """
    if REFERENCES in text or len(text) > 10_000:
        return ["is too long" if len(text) > 10_000 else f"writes {REFERENCES!r} itself"]
    source = ReferenceResolver.update_refs_pattern(text, ReferenceResolver.match_refs_pattern(text))[1:]
    try:
        tree = ast.parse(source.lstrip(" \t"), mode="eval")
        linter = Linter(names or {})
        linter.visit(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return [f"cannot be parsed: {type(error).__name__}"]
    return list(dict.fromkeys(linter.problems))


def import_of(text: str) -> ast.Import | ast.ImportFrom | None:
    """The import statement that MONAI takes a `$` text for; None if it would evaluate it."""
    try:
        node = next(iter(ast.parse(text[1:]).body), None)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return node if isinstance(node, (ast.Import, ast.ImportFrom)) else None


def lint_import(node: ast.Import | ast.ImportFrom) -> tuple[list[str], dict[str, str]]:
    """Say what is wrong with an import, and what its name stands for.

    Example::

        >>> from monai_kd.utils.lint_expression import import_of, lint_import
        >>> lint_import(import_of("$import torch.distributed as dist"))
        ([], {'dist': 'torch.distributed'})
    """
    if len(node.names) != 1 or (isinstance(node, ast.ImportFrom) and node.level):
        return ["imports more than one absolute name"], {}
    name, alias = node.names[0].name, node.names[0].asname
    dotted = f"{node.module}.{name}" if isinstance(node, ast.ImportFrom) else name
    problem = name_problem(dotted, module=True)
    return ([f"imports what it may not: {problem}"] if problem else []), {alias or name: dotted}
