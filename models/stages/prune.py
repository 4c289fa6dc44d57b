"""Prunes heads, feed-forward units and layers out of a parent's weights, then trains the rest.

It does not know how the parent was made. What is pruned is gone: fewer bytes and less to compute.
"""

from collections.abc import Iterator

import torch
from transformers import PreTrainedModel

from models.pipeline import Job
from models.recipe_sections import PruneSection
from models.training.architecture import (
    Axis,
    check_known,
    head_size,
    importance,
    intermediate_size,
    kept_heads,
    load_classifier,
    most_important,
    resized,
    rows_of_heads,
    sliced,
)
from models.training.knowledge_distillation import label_losses, recover
from models.training.loop import use_all_cores

# Matrix kernels and blocks of quantised weights work on this many columns at a time.
_UNITS_STEP = 32


def run(job: Job) -> None:
    """Write the pruned classifier as a Hugging Face folder; `anatomy.load_classifier` reads it.

    Raises RecipeError when the parent's architecture is not known.
    """
    section = job.recipe.prune
    assert section is not None
    use_all_cores(section.seed)
    parent = load_classifier(job.inputs["teacher"])
    student = pruned(parent, section, label_losses(parent, job))
    before, after = (sum(p.numel() for p in it.parameters()) for it in (parent, student))
    print(f"{after} of {before} parameters are left")
    recover(student, parent, job, section)
    student.save_pretrained(job.output)


def pruned(
    parent: PreTrainedModel, section: PruneSection, losses: Iterator[torch.Tensor]
) -> PreTrainedModel:
    """What is left of the parent: of every kept layer the heads and units that matter most.

    `losses` are the parent's on some texts; anatomy.importance turns them into scores. A layer's
    score is the sum of its heads' and units'. Each layer keeps the same number of both, the
    units in steps of 32, and no layer, head or unit share falls to none.
    """
    config = parent.config
    check_known(config, "prune")
    scores = importance(parent, losses)
    heads = max(1, round(section.keep_heads * kept_heads(config)))
    steps = round(section.keep_intermediate * intermediate_size(config) / _UNITS_STEP)
    units = min(max(1, steps) * _UNITS_STEP, intermediate_size(config))
    count = max(1, round(section.keep_layers * config.num_hidden_layers))
    of_layers = torch.stack(
        [
            scores["heads", layer].sum() + scores["units", layer].sum()
            for layer in range(config.num_hidden_layers)
        ]
    )
    layers = tuple(most_important(of_layers, count).tolist())
    kept: dict[tuple[Axis, int | None], torch.Tensor] = {}
    for layer in layers:
        best = most_important(scores["heads", layer], heads)
        kept["heads", layer] = rows_of_heads(best, head_size(config))
        kept["units", layer] = most_important(scores["units", layer], units)
    print(f"Of each of the layers {list(layers)}: {heads} heads and {units} feed-forward units")
    sizes = {"layers": count, "heads": heads, "intermediate": units}
    return sliced(parent, resized(config, **sizes), layers, kept)
