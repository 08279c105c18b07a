# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from html.parser import HTMLParser

from monai_kd.report.markup import document, node


class Collector(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


def test_no_text_becomes_markup():
    evil = "</p><script>alert('x')</script> & \"<b>"
    found = Collector()
    found.feed(document(evil, "", node("p", evil, node("i", evil), evil, title=evil, class_=evil)))
    assert found.tags == ["html", "head", "meta", "meta", "meta", "meta", "title", "style", "body", "p", "i"]
    assert found.text.count(evil) == 4


def test_nested_children_keep_their_order():
    element = node("p", "a", [node("b", "c"), ["d", None]], "e")
    assert "".join(element.itertext()) == "acde"


def test_nothing_may_be_loaded():
    page = document("t", "")
    assert "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\"" in page
