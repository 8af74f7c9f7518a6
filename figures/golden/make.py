#!/usr/bin/env python3
"""Writes scipy.json: what scipy (1.17) and numpy make of fixed data. Run it with no arguments; needs scipy alone."""

import json
import pathlib

import numpy as np
import scipy
from scipy import integrate, optimize, stats

rng = np.random.Generator(np.random.PCG64(6))
SETS = {
    "normal": rng.normal(10.0, 0.1, 10),
    "skewed": rng.lognormal(-5.0, 0.5, 100),
    "heavy": rng.standard_t(2, 1000) * 1e-3 + 1.0,
    "long": rng.gamma(4.0, 1e-3, 3000),
    "two": np.array([3.0, 4.5]),
    "tied": np.array([1.0, 1.0, 2.0, 2.0, 2.0, 7.0]),
    "negative": -rng.uniform(1e6, 2e6, 30),
    "tiny": rng.normal(1e-9, 1e-11, 12),
}
PAIRS = [("normal", "skewed"), ("two", "tied"), ("heavy", "long"), ("tied", "normal"), ("tiny", "tiny"), ("negative", "two")]
CROSSOVERS = [
    ([0.021, 0.018, 0.025, 0.020, 0.017], [-0.004, 0.001, -0.003, -0.006, 0.002]),
    ([1.0, 2.0], [0.5]),
    ([-3.0, -2.5, -4.0], [2.9, 2.0, 4.5, 3.0]),
    ([1e-9, 2e-9], [1.5e-9, 1.1e-9]),
]
P = [[0.01, 0.04, 0.03, 0.005], [0.5], [0.2, 0.2, 0.9], [1e-9, 0.049, 0.0125, 0.8, 0.02, 0.02]]


def describe(x):
    q1, q3 = np.quantile(x, [0.25, 0.75])
    outside = lambda k: int(((x < q1 - k * (q3 - q1)) | (x > q3 + k * (q3 - q1))).sum())
    low, high = stats.t.interval(0.95, len(x) - 1, loc=x.mean(), scale=stats.sem(x))
    return {
        "values": x.tolist(),
        "mean": x.mean(),
        "standard_deviation": x.std(ddof=1),
        "coefficient_of_variation": stats.variation(x, ddof=1) * np.sign(x.mean()),
        "median_absolute_deviation": stats.median_abs_deviation(x),
        "minimum": x.min(),
        "maximum": x.max(),
        "percentiles": {f"p{p:g}": np.quantile(x, p / 100) for p in (50, 90, 95, 99, 99.9)},
        "outside": outside(1.5),
        "far": outside(3),
        "interval": [low, high],
    }


def compare(a, b):
    test = stats.ttest_ind(b, a, equal_var=False)
    return {"p": test.pvalue, "freedom": test.df, "difference": b.mean() - a.mean()}


def bisected(a, b):
    """The ratio interval by its definition: the ratios k for which Welch's test of b and k*a does not reject."""
    outside = lambda k: 0.05 - stats.ttest_ind(b, k * a, equal_var=False).pvalue
    ratio = b.mean() / a.mean()
    ends = []
    for step in (-1, 1):
        near, far = ratio, ratio + step * abs(ratio)
        while outside(far) < 0:
            far += step * abs(ratio)
            if abs(far) > 1e3 * abs(ratio):
                return None
        for _ in range(200):
            middle = (near + far) / 2
            near, far = (near, middle) if outside(middle) > 0 else (middle, far)
        ends.append((near + far) / 2)
    return ends


def crossover(forth, back):
    """Hills and Armitage: the differences by order, of which one order's are turned, are two groups with the same variance."""
    test = stats.ttest_ind(forth, -np.array(back))
    low, high = test.confidence_interval(0.95)
    return {
        "forth": forth, "back": back, "effect": (np.mean(forth) + np.mean(back)) / 2, "p": test.pvalue,
        "freedom": test.df, "interval": [low / 2, high / 2],
    }


def detectable(a, b, level, least):
    """The difference that Welch's test finds with the power 0.8: by the noncentral t distribution, or, where it must be over some
    standard errors, by its definition, integrated over the distribution of the estimated error."""
    error = np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
    freedom = stats.ttest_ind(b, a, equal_var=False).df
    critical = stats.t.ppf(1 - level / 2, freedom)

    def power(effect):
        if least == 0:
            return stats.nct.sf(critical, freedom, effect)
        kink = least / critical
        of = lambda s: stats.norm.sf(max(critical * s, least) - effect) * stats.chi.pdf(s * np.sqrt(freedom), freedom) * np.sqrt(freedom)
        return sum(integrate.quad(of, *ends, epsabs=1e-13)[0] for ends in [(0, kink), (kink, kink + 2), (kink + 2, np.inf)])

    exact = optimize.brentq(lambda effect: power(effect) - 0.8, 0, 3 * max(critical, least) + 3, xtol=1e-13)
    return {"error": error, "freedom": freedom, "level": level, "least": least * error, "detectable": exact * error}


def holm(p):
    order, corrected, least = np.argsort(p, kind="stable"), [0.0] * len(p), 0.0
    for rank, index in enumerate(order):
        least = max(least, min(1.0, p[index] * (len(p) - rank)))
        corrected[index] = least
    return corrected


result = {
    "scipy": scipy.__version__,
    "sets": {name: describe(x) for name, x in SETS.items()},
    "pairs": [
        {"first": a, "second": b, **compare(SETS[a], SETS[b]), "ratio": bisected(SETS[a], SETS[b])} for a, b in PAIRS
    ],
    "detectable": [
        detectable(SETS[a], SETS[b], level, least)
        for a, b in [("normal", "skewed"), ("heavy", "long"), ("tied", "normal"), ("tiny", "normal"), ("two", "tiny")]
        for level, least in [(0.05, 0.0), (0.05 / 12, 0.0), (0.05, 2.5), (0.05 / 12, 8.0)]
    ],
    "crossovers": [crossover(*pair) for pair in CROSSOVERS],
    "t": [{"freedom": f, "quantile": stats.t.ppf(0.975, f)} for f in (1, 2, 9, 30, 99, 999)],
    "holm": [{"p": p, "corrected": holm(np.array(p))} for p in P],
}
path = pathlib.Path(__file__).with_name("scipy.json")
path.write_text(json.dumps(result, indent=1) + "\n")
