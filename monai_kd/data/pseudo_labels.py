# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from monai_kd.utils import to_float
from monai_kd.utils.errors import DataError, ShapeMismatchError

__all__ = ["pseudo_labeled_items", "pseudo_labels", "select_confident", "unlabeled_items"]


def select_confident(probabilities: Tensor, quota: float, threshold: float = 0.0) -> tuple[Tensor, Tensor]:
    r"""Choose, for each class, the k samples that are taken for it with the most confidence.

    .. math:: \{n : \hat y_n = c,\ p_{nc} > \theta\} \text{ with the k largest } p_{nc}, \qquad
        \hat y_n = \mathrm{argmax}_c\, p_{nc}

    Every class has the same k, so that a common class cannot crowd out a rare one; a class that fewer samples are taken
    for gets those. Of two that are equally confident the first is chosen.

    Args:
        probabilities: p, [N, C].
        quota: k, if it is an integer; a number with a point, in (0, 1], is a share s of what each class has if all have
            as many: k = max(1, round(s N / C)).
        threshold: :math:`\theta`; a confidence must be above it.

    Returns:
        Rows in ascending order, [M], and their classes, [M].

    Raises:
        ShapeMismatchError: these are not [N, C].
        DataError: these are no probabilities, or the quota is impossible.

    Example::

        >>> import torch
        >>> from monai_kd.data import select_confident
        >>> p = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.3, 0.7]])
        >>> select_confident(p, quota=2, threshold=0.5)
        (tensor([0, 2, 3]), tensor([0, 0, 1]))
    """
    if probabilities.ndim != 2:
        raise ShapeMismatchError(f"must be [N, C], got {tuple(probabilities.shape)}", where="probabilities")
    if not bool(((probabilities >= 0) & (probabilities <= 1 + 1e-4)).all()):
        raise DataError("must be in [0, 1]", where="probabilities", fix="take the softmax of logits; look for NaN")
    share = isinstance(quota, float)
    if not (0 < quota <= 1 if share else quota >= 1):
        fix = "an integer is a number for each class; a number with a point is a share of the samples"
        raise DataError(f"must be at least 1, or a share in (0, 1], got {quota!r}", where="quota", fix=fix)
    rows, classes = probabilities.shape
    number = max(1, round(quota * rows / classes)) if share else int(quota)
    confidence, label = probabilities.max(1)
    order = confidence.argsort(descending=True, stable=True)
    order = order[confidence[order] > threshold]
    chosen = torch.cat([order[label[order] == c][:number] for c in range(classes)]).sort().values
    return chosen, label[chosen]


def unlabeled_items(items: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The items whose label training may not look at, without it: what pseudo-labels are made for.

    Args:
        items: of the training section, as `load_datalist` gives them.

    Raises:
        DataError: there are none.

    Example::

        >>> from monai_kd.data import unlabeled_items
        >>> unlabeled_items([{"index": 0, "label": 2, "labeled": True}, {"index": 1, "label": 1, "labeled": False}])
        [{'index': 1, 'labeled': False}]
    """
    found = [{k: v for k, v in item.items() if k != "label"} for item in items if not item["labeled"]]
    if not found:
        raise DataError("every item has a label", where="pseudo-labels", fix="lower --labeled_fraction, or add items")
    return found


@torch.no_grad()
def pseudo_labels(
    batches: Iterable[Mapping[str, Any]],
    answer: Callable[[Mapping[str, Any]], Tensor],
    quota: float,
    threshold: float = 0.0,
) -> dict[int, int]:
    """Let a trained network label what it is confident about; see :func:`select_confident`.

    Args:
        batches: of :func:`unlabeled_items`, each with its `index`; without augmentation.
        answer: gives the logits of a batch, [N, C]; of a network in eval mode.
        quota: for each class, a number, or a share if it has a point.
        threshold: a confidence must be above it.

    Returns:
        The class of each chosen item, by its `index`.

    Raises:
        DataError: an item is `labeled`.

    Example::

        >>> import torch
        >>> from monai_kd.data import pseudo_labels
        >>> batches = [{"image": torch.tensor([[3.0, 0.0], [0.0, 0.1]]), "index": torch.tensor([4, 7])}]
        >>> pseudo_labels(batches, lambda batch: batch["image"], quota=1, threshold=0.9)
        {4: 0}
    """
    index, probabilities = [], []
    for batch in batches:
        if bool(torch.as_tensor(batch.get("labeled", False)).any()):
            fix = "give `unlabeled_items` only"
            raise DataError("an item has a true label", where="pseudo-labels", fix=fix)
        index.append(torch.as_tensor(batch["index"]).reshape(-1).cpu())
        probabilities.append(to_float(answer(batch)).softmax(1).cpu())
    rows, labels = select_confident(torch.cat(probabilities), quota, threshold)
    return dict(zip(torch.cat(index)[rows].tolist(), labels.tolist(), strict=True))


def pseudo_labeled_items(items: Sequence[Mapping[str, Any]], labels: Mapping[int, int]) -> list[dict[str, Any]]:
    """The items that have a pseudo-label, with it for their `label`, and `labeled`: a training list for a student.

    Args:
        items: of the training section, as `load_datalist` gives them.
        labels: pseudo-labels by `index`, from :func:`pseudo_labels`.

    Raises:
        DataError: there are none, one is for no item, or for an item that has a true label.

    Example::

        >>> from monai_kd.data import pseudo_labeled_items
        >>> items = [{"index": 0, "label": 2, "labeled": True}, {"index": 1, "label": 1, "labeled": False}]
        >>> pseudo_labeled_items(items, {1: 0})
        [{'index': 1, 'label': 0, 'labeled': True}]
    """
    by_index = {item["index"]: item for item in items}
    if not labels:
        fix = "lower the threshold, or train the teacher longer"
        raise DataError("the teacher is confident about no item", where="pseudo-labels", fix=fix)
    for index in labels:
        if index not in by_index:
            raise DataError(f"there is no item {index}", where="pseudo-labels")
        if by_index[index]["labeled"]:
            raise DataError(f"item {index} has a true label", where="pseudo-labels", fix="label `unlabeled_items` only")
    return [{**by_index[i], "label": label, "labeled": True} for i, label in sorted(labels.items())]
