"""How many candidates a search ranks: more in larger collections, so that it finds as many of the best."""

# Candidates = FACTOR * clips ** POWER, of at most MOST; found by measuring (docs/decisions/0022).
FACTOR, POWER = 2.5, 0.6
LEAST, MOST = 1500, 20_000


def candidates_for(clips: int) -> int:
    """Candidates that hold 99% of the exact ten among so many clips, on the corpora that were measured.

    Rounded up to two digits: a collection that grows a little is searched as before.

    Examples
    --------
    >>> [candidates_for(clips) for clips in (10, 20_000, 200_000, 1_000_000, 100_000_000)]
    [1500, 1500, 3800, 10000, 20000]
    """
    wanted = min(MOST, max(LEAST, FACTOR * clips**POWER))
    step = 10 ** (len(str(int(wanted))) - 2)
    return int(-(-wanted // step) * step)
