"""Wilson's interval of a share: what n examples say of it, wherever shares are scored or judged."""

import math

Z95 = 1.959963984540054  # standard normal quantile of 97.5 %


def wilson(right: float, n: int) -> tuple[float, float]:
    """95 % Wilson score interval of a share: (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n).

    Where outcomes lie between 0 and 1, such as shares of samples, it is wider than need be: p(1-p) is the most that
    the variance of an outcome with mean p can be.
    """
    share, scale = right / n, 1 + Z95**2 / n
    middle = (share + Z95**2 / (2 * n)) / scale
    half = Z95 / scale * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    return max(0.0, middle - half), min(1.0, middle + half)
