"""LoRI as numbers: projections, masks, adapters, merges and their metrics; no base model, no disk."""
