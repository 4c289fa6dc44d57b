"""Makes bundles: from rated sentences to fine-tuned, distilled, quantised variants.

It does not know how a bundle is served, batched or measured under load.
"""
