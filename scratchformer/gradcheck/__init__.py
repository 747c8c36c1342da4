"""Tests of gradients that no wrong gradient passes: for our ops and layers, or your own."""

from scratchformer.gradcheck.check import check_gradient, check_layer, check_op
from scratchformer.gradcheck.judgement.report import Finding, Report, Verdict

__all__ = ["Finding", "Report", "Verdict", "check_gradient", "check_layer", "check_op"]
