"""Tests of gradients, whether of our ops and layers or of your own."""

from scratchformer.gradcheck.check import check_gradient, check_layer, check_object, check_op
from scratchformer.gradcheck.for_shapes import for_shapes
from scratchformer.gradcheck.judgement.report import Finding, Report, Verdict

__all__ = ["Finding", "Report", "Verdict", "check_gradient", "check_layer", "check_object", "check_op", "for_shapes"]
