# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
from torch import Tensor

from monai_kd.networks.stack_views import split_views
from monai_kd.networks.view_similarity import ViewSimilarity
from monai_kd.utils import ConfigError, ShapeMismatchError

__all__ = ["RankedViews", "ranked_selection"]


def ranked_selection(scores: Tensor, target: Tensor, keep: float) -> Tensor:
    r"""Choose the rows from which there is something to learn: all that are right, and of the wrong ones the best.

    .. math:: r_i = |\{c : s_{ic} > s_{i y_i}\}|

    is the rank of the true column; rows of rank 0 are right. Of the wrong rows the :math:`\lfloor \text{keep} \cdot
    \text{wrong} \rfloor` of the lowest ranks stay, the earlier first among equals.

    Args:
        scores: s, [M, C].
        target: y, [M]; negative: not known, and not called wrong.
        keep: the part of the wrong rows that stays, 0 to 1.

    Returns:
        A boolean per row.

    Example::

        >>> import torch
        >>> from monai_kd.networks import ranked_selection
        >>> scores = torch.tensor([[0.1, 0.9, 0.5]]).expand(3, 3)
        >>> ranked_selection(scores, torch.tensor([0, 1, 2]), keep=0.5)  # ranks 2, 0, 1
        tensor([False,  True,  True])
    """
    truth = scores.gather(1, target.clamp(min=0).unsqueeze(1))
    rank = (scores > truth).sum(1).masked_fill(target < 0, 0)
    wrong = (rank > 0).sum()
    order = rank.argsort(stable=True)
    place = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
    return place < len(rank) - wrong + (keep * wrong.double()).floor()


class RankedViews(ViewSimilarity):
    """Take what student and teacher gave for stacked views apart, and keep of the views what the teacher is good at.

    Of the teacher's answers for further views, and of its rows of similarity to the samples, those that are right are
    kept, and the best-ranked part of the wrong ones (`ranked_selection`). A row of similarity is right if the view is
    most like its own sample.

    Xu et al., "Knowledge Distillation Meets Self-Supervision", ECCV 2020 (arXiv 2006.07114); Wang et al., SSD-KD, MedIA
    2023 (arXiv 2203.11490).

    Args:
        views: V, at least 2.
        answers: the part of the wrong answers that is kept.
        similarity: the part of the wrong rows of similarity that is kept.

    Raises:
        ConfigError: a part that is not between 0 and 1, or no further views.
        ShapeMismatchError: in `forward`: the rows are not those of V views of the same samples.

    Example::

        >>> import torch
        >>> from monai_kd.networks import RankedViews
        >>> logits, embedding, label = torch.randn(8, 3), torch.randn(8, 5), torch.tensor([0, 2])
        >>> chosen = RankedViews(views=4)(logits, logits, embedding, embedding, label)
        >>> chosen["student"].shape, chosen["student_views"].shape, chosen["kept"].shape
        (torch.Size([2, 3]), torch.Size([6, 3]), torch.Size([6]))
    """

    def __init__(self, views: int = 4, answers: float = 1.0, similarity: float = 0.75) -> None:
        super().__init__(views)
        for name, part in (("answers", answers), ("similarity", similarity)):
            if not 0 <= part <= 1:
                raise ConfigError(f"{name} must be between 0 and 1, got {part!r}", where="RankedViews")
        self.answers, self.similarity = float(answers), float(similarity)

    def forward(  # type: ignore[override]
        self,
        student: Tensor,
        teacher: Tensor,
        embedding: Tensor,
        teacher_embedding: Tensor,
        label: Tensor,
        labeled: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Take apart and choose.

        Args:
            student: logits for stacked views, [V N, C].
            teacher: the same by the teacher.
            embedding: of stacked views by the student's self-supervised head, [V N, D].
            teacher_embedding: by the teacher's, [V N, D'].
            label: of the samples, [N].
            labeled: which labels may be looked at, [N]; None for all.

        Returns:
            `student`, `teacher` [N, C] and `student_views`, `teacher_views` [(V - 1) N, C]; `kept`, a boolean for each
            of these views; `embedding`, `teacher_embedding` [N, ...] and, of those rows of similarity that are kept
            alone, `embedding_views`, `teacher_embedding_views`.
        """
        given = {"teacher": teacher, "embedding": embedding, "teacher_embedding": teacher_embedding}
        for name, x in given.items():
            if len(x) != len(student) or len(student) != self.views * len(label):
                what = f"student has {len(student)} rows, {name} {len(x)}, for {self.views} views of {len(label)}"
                raise ShapeMismatchError(what, where="RankedViews", fix="stack the views with `StackViews`")
        known = label if labeled is None else label.masked_fill(~labeled.reshape(-1).bool(), -1)
        rows = super().forward(teacher_embedding.detach())
        found = ranked_selection(rows["similarity"], rows["parent"], self.similarity)
        answer: dict[str, Tensor] = {}
        for name, x in {"student": student, **given}.items():
            answer[name], others = split_views(x, self.views)
            answer[f"{name}_views"] = others[found] if name.endswith("embedding") else others
        answer["kept"] = ranked_selection(answer["teacher_views"], known.repeat(self.views - 1), self.answers)
        return answer
