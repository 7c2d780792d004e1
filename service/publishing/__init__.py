"""Which version of a catalog is served: moving, pinning, listing, comparing and pruning versions.

Part of the contract re-exported by ``service.artifact``.
"""
