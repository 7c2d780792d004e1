"""Published models that MutualRec compares with and ensembles."""
