"""Base models: loading, quantisation, fingerprints, and the layers that carry an adapter inside them."""
