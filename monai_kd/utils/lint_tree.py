# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What an expression must not do, node by node of what it was parsed to."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

from monai.bundle import ReferenceResolver

from monai_kd.utils.lint_lists import BUILTINS, CODE_KEYS, DOWNLOAD_KEYS, MODULES
from monai_kd.utils.lint_names import attribute_problem, name_problem, takes_code

__all__ = ["IMPORTING", "REFERENCES", "Linter", "Names", "reference_problem"]

REFERENCES = "__local_refs"  # what MONAI writes for @
_BY_MONAI = {"monai": "monai", "np": "numpy", "numpy": "numpy", "torch": "torch"}
_RANKS = ("LOCAL_RANK", "RANK", "WORLD_SIZE")
_SWITCHES = {f"setattr(torch.backends.cudnn, '{name}', {v})" for name in ("benchmark", "deterministic") for v in (0, 1)}
_SWITCHES |= {text.replace("0)", "False)").replace("1)", "True)") for text in _SWITCHES}
_NODES = (
    *(ast.Attribute, ast.BinOp, ast.BoolOp, ast.Call, ast.Compare, ast.Constant, ast.Dict, ast.DictComp),
    *(
        ast.Expression,
        ast.FormattedValue,
        ast.GeneratorExp,
        ast.IfExp,
        ast.JoinedStr,
        ast.Lambda,
        ast.List,
        ast.ListComp,
    ),
    *(ast.Name, ast.Set, ast.SetComp, ast.Slice, ast.Starred, ast.Subscript, ast.Tuple, ast.UnaryOp),
    *(ast.arg, ast.arguments, ast.boolop, ast.cmpop, ast.comprehension, ast.expr_context, ast.keyword, ast.operator),
    ast.unaryop,
)
IMPORTING = {"import", "imports", "initialize"}
"""The lists that may hold import statements; nothing may refer to them."""
Names = Mapping[str, set[str]]


def reference_problem(text: str) -> str:
    """Say why a text may not refer (`@`) to what it refers to: an import, or the configuration as a whole."""
    for reference in ReferenceResolver.match_refs_pattern(text):
        parts = [part for part in reference.split("::") if part]
        if not parts or not IMPORTING.isdisjoint(parts):
            return f"refers to {'@' + reference!r}, which holds modules"
    return ""


class Linter(ast.NodeVisitor):
    """Collects problems. A module is never handed on as a value, so that no name can come to stand for one."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.problems: list[str] = []
        self.scopes: list[set[str]] = []
        self.fitting: set[int] = set()

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, _NODES):
            super().visit(node)
        else:
            self.problems.append(f"holds a {type(node).__name__}, which no configuration needs")

    def visit_Name(self, node: ast.Name) -> None:
        self._check(node.id, [])

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and re.search(r"\{[^{}]*[.\[]_", node.value):
            self.problems.append("reaches into objects through a format")
        if isinstance(node.value, str) and re.fullmatch(r"scripts(\.\w+)*", node.value):
            self.problems.append("names the bundle's own code")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        root, attributes = _chain(node)
        if isinstance(root, ast.Name) and self._targets(root.id):
            self._check(root.id, attributes)
            return
        self.problems += filter(None, map(attribute_problem, attributes))
        if {"copy", "replace"} & set(attributes) and id(node) not in self.fitting:
            self.problems.append("hands on 'copy' or 'replace', which of a path moves files")
        self.visit(root)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        key = node.slice.value if isinstance(node.slice, ast.Constant) else None
        if isinstance(node.value, ast.Name) and node.value.id == REFERENCES and isinstance(key, str):
            self.problems += filter(None, [reference_problem(f"@{key}")])
        elif key not in _RANKS or self._stands_for(node.value) != {"os.environ"}:
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        plain = not node.keywords and not any(isinstance(arg, ast.Starred) for arg in node.args)
        texts = [arg.value if isinstance(arg, ast.Constant) else None for arg in node.args]
        rest, targets = [*node.args, *node.keywords], self._stands_for(node.func)
        if targets == {"getattr"} and plain and len(rest) in (2, 3) and isinstance(texts[1], str):
            self.visit(ast.Attribute(node.args[0], texts[1], ast.Load()))
            rest = rest[2:]
        elif targets == {"torch.jit.load"} and texts and "://" not in str(texts[0]):
            pass
        elif targets == {"torch.load"} and 1 <= len(texts) <= 2 and _only_weights(node):
            pass
        elif targets == {"numpy.load"} and plain and len(rest) == 1:
            pass  # refuses objects by itself
        elif targets == {"os.environ.get"} and plain and texts and texts[0] in _RANKS:
            pass
        elif targets == {"setattr"} and ast.unparse(node) in _SWITCHES:
            return
        else:
            if isinstance(node.func, ast.Attribute) and plain:
                if len(rest) == 0 if node.func.attr == "copy" else len(rest) > 1:  # of a path they take one
                    self.fitting.add(id(node.func))
            self.visit(node.func)
        for part in rest:
            self.visit(part)

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg in CODE_KEYS | DOWNLOAD_KEYS and not _is_safe(node.arg, node.value):
            self.problems.append(f"sets {node.arg!r}")
        self.visit(node.value)

    def visit_Dict(self, node: ast.Dict) -> None:
        for key, value in zip(node.keys, node.values, strict=True):
            name = key.value if isinstance(key, ast.Constant) else None
            if name in CODE_KEYS | DOWNLOAD_KEYS and not _is_safe(name, value):
                self.problems.append(f"sets {name!r}")
        self.generic_visit(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        given = node.args
        for default in filter(None, [*given.defaults, *given.kw_defaults]):
            self.visit(default)
        every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
        self.scopes.append({arg.arg for arg in every if arg})
        self.visit(node.body)
        self.scopes.pop()

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        self.visit(node.generators[0].iter)  # outside: the names do not yet stand for anything
        self.scopes.append(set())
        for index, generator in enumerate(node.generators):
            if index:
                self.visit(generator.iter)
            self._bind(generator.target)
            for condition in generator.ifs:
                self.visit(condition)
        for part in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
            self.visit(part)
        self.scopes.pop()

    visit_SetComp = visit_GeneratorExp = visit_DictComp = visit_ListComp

    def _bind(self, target: ast.AST) -> None:
        if isinstance(target, ast.Name):
            self.scopes[-1].add(target.id)
        elif isinstance(target, (ast.Tuple, ast.List)):
            for part in target.elts:
                self._bind(part)
        else:
            self.problems.append("assigns to more than a name")

    def _targets(self, name: str) -> set[str]:
        """What a name of the configuration's stands for; none for one of a lambda's or a comprehension's."""
        if any(name in scope for scope in self.scopes):
            return set()
        given = set(self.names.get(name, ()))
        if name in _BY_MONAI:
            return given | {_BY_MONAI[name]}
        return given or ({name} if name in MODULES else set())

    def _stands_for(self, node: ast.AST) -> set[str]:
        root, attributes = _chain(node)
        if not isinstance(root, ast.Name) or any(root.id in scope for scope in self.scopes):
            return set()
        return {".".join([target, *attributes]) for target in self._targets(root.id) or {root.id}}

    def _check(self, name: str, attributes: list[str]) -> None:
        targets = self._targets(name)
        for target in targets:
            dotted = ".".join([target, *attributes])
            problem = name_problem(dotted)
            if not problem and (taken := takes_code(dotted)):
                problem = f"builds {dotted!r}, which takes {taken[0]!r}: that is for `_target_`"
            self.problems += filter(None, [problem])
        if not targets and not any(name in scope for scope in self.scopes) and name not in BUILTINS:
            self.problems.append(f"uses {name!r}, which is no name of the configuration")


def _chain(node: ast.AST) -> tuple[ast.AST, list[str]]:
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.insert(0, node.attr)
        node = node.value
    return node, attributes


def _only_weights(node: ast.Call) -> bool:
    given = [(k.arg, getattr(k.value, "value", None)) for k in node.keywords]
    known = all(name in ("map_location", "mmap", "weights_only") for name, _ in given)
    return known and ("weights_only", True) in given and not any(isinstance(arg, ast.Starred) for arg in node.args)


def _is_safe(key: str, value: ast.AST) -> bool:
    wanted = {"weights_only": True, "allow_pickle": False, "pretrained": False, "pretrained_url": None}
    return key in wanted and isinstance(value, ast.Constant) and value.value is wanted[key]
