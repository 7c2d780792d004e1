"""How much the columns of a matrix repeat each other, and a penalty on it."""

from torch import Tensor


def covariance(rows: Tensor) -> Tensor:
    """Return (E - mean)' (E - mean), [width, width] (MGNM, Eq. 22), for `rows` [n, width].

    Not divided by n, which cancels in the correlation.
    """
    centred = rows - rows.mean(0)
    return centred.T @ centred


def redundancy(covariances: Tensor) -> Tensor:
    """Return p_cov of MGNM, Eq. 20-21: the root of the sum of all squared correlations i < j.

    0 when no column says anything about another. A constant column correlates with none.

    Args:
        covariances: Column covariances, float32 [..., width, width].

    Returns:
        One value per matrix, [...].
    """
    scale = covariances.diagonal(dim1=-2, dim2=-1).clamp_min(1e-12).rsqrt()
    correlations = covariances * scale[..., :, None] * scale[..., None, :]
    return correlations.triu(1).square().sum((-2, -1)).clamp_min(1e-12).sqrt()


def dynamic_de_redundancy(penalties: Tensor) -> Tensor:
    """Weight layers by how little redundant they are, and sum (MGNM, Eq. 23-25).

    sum_l mu_l p_l with mu_l = (1 / p_l) / sum_k (1 / p_k): the harmonic mean over layers. The
    mu are constants to the gradient, as in the authors' code of AFDGCF (Wu et al. 2024), from
    which the paper takes the loss; it also leaves out layer 0, which the paper includes.

    Args:
        penalties: `redundancy` of layers 1..L, float32 [L, ...]; for no layer the sum is 0.

    Returns:
        The sum over layers and whatever else there is, a scalar.
    """
    inverse = 1.0 / penalties.detach().clamp_min(1e-12)
    weights = inverse / inverse.sum(0)
    return (weights * penalties).sum()
