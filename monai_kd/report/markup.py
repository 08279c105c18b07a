# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

__all__ = ["Node", "document", "node"]

Node = ET.Element


def node(tag: str, *children: Any, **attributes: Any) -> Node:
    """Make an HTML or SVG element; text and attributes are escaped when it is written, so no value can break the page.

    Args:
        tag: its name.
        children: strings, elements, lists of them, None (left out).
        attributes: `class_` is written class, `stroke_width` stroke-width; floats keep one decimal; None is left out.

    Example::

        >>> from monai_kd.report.markup import ET, node
        >>> ET.tostring(node("p", "1 < 2 ", node("b", "&"), " x", class_="note", title=None), encoding="unicode")
        '<p class="note">1 &lt; 2 <b>&amp;</b> x</p>'
    """
    element = ET.Element(tag)
    for name, value in attributes.items():
        if value is not None:
            text = f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
            element.set(name.rstrip("_").replace("_", "-"), text)
    _extend(element, children)
    return element


def _extend(element: Node, children: Any) -> None:
    for child in children:
        if isinstance(child, ET.Element):
            element.append(child)
        elif isinstance(child, str):
            if len(element):
                element[-1].tail = (element[-1].tail or "") + child
            else:
                element.text = (element.text or "") + child
        elif child is not None:
            _extend(element, child)


def document(title: str, style: str, *body: Any) -> str:
    """Return a whole HTML page as text; its security policy forbids scripts and anything from outside the file.

    Args:
        title: of the page.
        style: the style sheet, ours; it is written as it is.
        body: children of the body.
    """
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    head = node(
        "head",
        node("meta", charset="utf-8"),
        node("meta", name="viewport", content="width=device-width, initial-scale=1"),
        node("meta", name="color-scheme", content="light dark"),
        node("meta", **{"http-equiv": "Content-Security-Policy"}, content=policy),
        node("title", title),
        node("style", style),
    )
    page = node("html", head, node("body", *body), lang="en")
    return "<!DOCTYPE html>\n" + ET.tostring(page, encoding="unicode", method="html") + "\n"
