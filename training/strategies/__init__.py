"""Training strategies: how a model's loss becomes steps.

The public names that are strategies are the registry, as for `models`.
"""

from training.strategies.ckd import CKD as CKD
from training.strategies.gb import GB as GB
from training.strategies.ogm import OGM as OGM
from training.strategies.strategy import Plain as Plain
