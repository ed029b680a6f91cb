"""Gemm and MatMul -> Dense where one side is constant, MatMul of activations otherwise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from marram.core import operators as ops
from marram.model.onnx.importing import Site


def gemm(site: Site) -> None:
    """Gemm with any alpha, beta and transB; Dense if its weights and bias are constant."""
    site.need(not site.attribute("transA", 0), "with transA")
    alpha, beta = site.attribute("alpha", 1.0), site.attribute("beta", 1.0)
    turned = bool(site.attribute("transB", 0))
    if len(site.shape(0)) != 2 or len(site.shape(1)) != 2:
        site.damaged("takes matrices")
    if not site.is_constant(1):
        site.need(alpha == 1 and (beta == 1 or not site.has(2)), "of activations with factors")
        product = site.step(ops.MatMul(transpose_b=turned), site.tensor(0), site.tensor(1))
        _finish(site, product)
        return
    outputs = site.shape(1)[0 if turned else 1]
    if alpha == 1:
        weights = site.weights(1, permutation=None if turned else (1, 0))
    else:
        value = site.array(1) * np.float32(alpha)
        weights = site.constant("weights", value if turned else value.T)
    if not site.has(2) or (site.is_constant(2) and site.array(2).size in {1, outputs} and site.array(2).ndim <= 2):
        site.result(ops.Dense(), site.tensor(0), weights, _bias(site, beta, outputs))
        return
    site.need(beta == 1, "with a computed bias and beta")
    _finish(site, site.step(ops.Dense(), site.tensor(0), weights, ""))


def _bias(site: Site, beta: float, outputs: int) -> str:
    if not site.has(2) or beta == 0:
        return ""
    if beta == 1 and site.shape(2) == (outputs,):
        return site.weights(2)
    value = np.broadcast_to(site.array(2).reshape(-1) * np.float32(beta), (outputs,))
    return site.constant("bias", value)


def _finish(site: Site, product: str) -> None:
    """Give the product, plus the third input if there is one."""
    if site.has(2):
        site.result(ops.Add(), product, site.tensor(2))
    else:
        site.bind(product)


def mat_mul(site: Site) -> None:
    """MatMul; a constant matrix on the right makes it a Dense without bias."""
    a, b = site.shape(0), site.shape(1)
    site.need(len(a) >= 2 and len(b) >= 2, "of vectors")
    if site.is_constant(1) and len(b) == 2 and not site.is_constant(0):
        site.result(ops.Dense(), site.tensor(0), site.weights(1, permutation=(1, 0)), "")
    else:
        site.result(ops.MatMul(), site.tensor(0), site.tensor(1))


READERS: dict[str, Callable[[Site], None]] = {"Gemm": gemm, "MatMul": mat_mul}
