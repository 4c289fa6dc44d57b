"""Runs a classifier that is being imported on the engines that will serve it."""

import numpy as np

from serving.bundles.bundle import Bundle
from serving.errors import BundleError, EngineFailed, StartError
from serving.inference.cpu import usable_cores
from serving.inference.engine import Resources
from serving.inference.engine_selection import ENGINES, reference
from serving.inference.probes import probe, sum_to_one
from serving.inference.tokenizer import open_tokenizer

_TEXTS = ("a", "good", "it was not bad at all", "12.50 €", "the end of the film is very dull")


def try_out(bundle: Bundle) -> list[str]:
    """Return a sentence for each thing that is suspicious, and for each engine that cannot run it.

    Raises BundleError, in the runtime's own words, if the reference engine cannot.
    """
    tokenizer = open_tokenizer(bundle)
    resources = Resources("cpu", usable_cores(), slots=1)
    first = reference(bundle)
    warnings = probe(ENGINES[first](bundle, resources), tokenizer, bundle.manifest)
    for name in ENGINES.keys() - {first}:
        try:
            probe(ENGINES[name](bundle, resources), tokenizer, bundle.manifest)
        except (BundleError, StartError, EngineFailed) as error:
            warnings.append(f"{name} cannot run it, so {first} will: {error}")
    return warnings


def answers_probabilities(bundle: Bundle) -> bool:
    """Return whether a graph that should answer logits of one label each answers a softmax.

    False where it cannot run, of which `try_out` gives the reason.
    """
    manifest = bundle.manifest
    one_of_several = manifest.problem_type == "single_label" and len(manifest.labels) > 1
    tokenizer = open_tokenizer(bundle)
    if not one_of_several or not tokenizer or manifest.graph_output != "logits":
        return False
    engine = ENGINES[reference(bundle)](bundle, Resources("cpu", 1))
    texts = [(text, text) if manifest.pairs else text for text in _TEXTS]
    try:
        logits = np.concatenate([engine.run([each]) for each in tokenizer.encode(texts)])
    except EngineFailed:
        return False
    return sum_to_one(logits)
