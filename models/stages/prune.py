"""The stage `prune`: removes a parent's heads, feed-forward units and layers, then trains the rest.

What is pruned is gone from the weights: fewer bytes and less to compute.
"""

from collections.abc import Iterator

import torch
from transformers import PreTrainedModel

from models.job import Job
from models.recipe_sections import PruneSection
from models.training.architecture import (
    check_known,
    importance,
    intermediate_size,
    kept_heads,
    load_classifier,
    most_important,
    most_important_in_layers,
    resized,
    sliced,
)
from models.training.knowledge_distillation import label_losses, recover
from models.training.loop import use_all_cores

# Matrix kernels and blocks of quantized weights process this many columns at a time.
_UNITS_STEP = 32


def run(job: Job) -> None:
    """Write the pruned classifier as a folder that architecture.load_classifier reads.

    Raises RecipeError when the parent's architecture is not supported.
    """
    section = job.recipe.prune
    assert section is not None
    use_all_cores(section.seed)
    parent = load_classifier(job.inputs["parent_weights"])
    student = pruned(parent, section, label_losses(parent, job))
    before, after = (sum(p.numel() for p in it.parameters()) for it in (parent, student))
    print(f"{after:,} of {before:,} parameters are left")
    recover(student, parent, job, section)
    student.save_pretrained(job.output)


def pruned(
    parent: PreTrainedModel, section: PruneSection, losses: Iterator[torch.Tensor]
) -> PreTrainedModel:
    """Create the pruned model from the parent's most important layers, heads and units.

    `losses` are the parent's on some texts, from which architecture.importance computes scores; a
    layer's score is the sum of its heads' and units'. Every kept layer keeps the same number of
    heads and of units, the units in steps of 32, and at least one of each.
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
    kept = most_important_in_layers(scores, config, layers, heads, units)
    print(f"kept of each of the layers {list(layers)}: {heads} heads, {units} feed-forward units")
    sizes = {"layers": count, "heads": heads, "intermediate": units}
    return sliced(parent, resized(config, **sizes), layers, kept)
