"""Predefined classifiers c0: which class a restored value is taken for. One file each."""

from __future__ import annotations

from cdp_toy.classifiers.base import Classifier, PlaneRule, Regions
from cdp_toy.classifiers.bayes import BayesClassifier, bayes_regions, bayes_rule
from cdp_toy.classifiers.function import CallableClassifier
from cdp_toy.classifiers.plane import LinearClassifier, QuadraticClassifier
from cdp_toy.classifiers.table import TableClassifier
from cdp_toy.classifiers.threshold import ThresholdClassifier

__all__ = [
    "BayesClassifier",
    "CallableClassifier",
    "Classifier",
    "LinearClassifier",
    "PlaneRule",
    "QuadraticClassifier",
    "Regions",
    "TableClassifier",
    "ThresholdClassifier",
    "bayes_regions",
    "bayes_rule",
]
