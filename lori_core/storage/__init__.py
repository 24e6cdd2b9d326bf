"""Adapters and masks on disk: our format, a store of versions, and the formats of others."""
