"""Widths: bits that are asked for by node, held against the Graph: which weights and activations can have them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

import numpy as np

from marram.compress.integers.scales import Precision
from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Array, Graph, Node
from marram.core.operators import operator_name
from marram.core.recipe import ActivationBits, WeightBits
from marram.model.spec import RULES

PACKABLE = ops.Conv2D | ops.DepthwiseConv2D | ops.Dense
"""Operators whose weights kernels read in 4 or 2 bits."""


def precision_of(
    graph: Graph,
    *,
    integer: frozenset[str],
    weight_bits: Mapping[str, WeightBits],
    channel_bits: Mapping[str, tuple[WeightBits, ...]],
    activation_bits: Mapping[str, ActivationBits],
) -> Precision:
    """The precision of a Graph's nodes.

    Args:
        graph: a float Graph.
        integer: names of the nodes that become integer.
        weight_bits: as for ``quantise_by_ranges``; so are the others.
        channel_bits: by node, one number for each output channel.
        activation_bits: by node.

    Raises:
        UserError: a name that is no node's, or bits that the node cannot have; says why.
    """
    for what, given in (
        ("weight_bits", weight_bits),
        ("channel_bits", channel_bits),
        ("activation_bits", activation_bits),
    ):
        check_names(given, [node.name for node in graph.nodes], what)
    nodes = {node.name: node for node in graph.nodes}
    wide = frozenset(name for name, bits in activation_bits.items() if bits == 16)
    for name in sorted(wide):
        _need_int16(nodes[name], integer)
    found = {}
    for name in dict.fromkeys((*weight_bits, *channel_bits)):
        bits = _bits(graph, nodes[name], weight_bits.get(name, 8), channel_bits.get(name))
        if (bits < 8).any():
            _need_packable(nodes[name], integer, wide)
            found[name] = bits
    _need_agreement(graph, found)
    return Precision(weights=found, int16=wide)


def check_names(given: Iterable[str], known: list[str], what: str) -> None:
    """Every given name is a known one.

    Raises:
        UserError: one is not; the hint has those like it.
    """
    for name in sorted(set(given) - set(known)):
        near = difflib.get_close_matches(name, known, n=3) or known[:5]
        raise UserError(f"{name!r} is not in the graph", where=what, hint=f"Did you mean {', '.join(near)}?")


def _bits(graph: Graph, node: Node, whole: int, by_channel: tuple[WeightBits, ...] | None) -> Array:
    """The bits of a node's weights: one number, or one for each output channel."""
    if by_channel is None:
        return np.array(whole)
    rule = RULES[type(node.op)]
    if rule.weights is None or rule.channel_axis is None:
        raise _refusal(node, "has no weights")
    channels = graph.tensors[node.inputs[rule.weights]].shape[rule.channel_axis]
    if len(by_channel) != channels:
        raise UserError(f"{len(by_channel)} numbers of bits for {channels} channels", where=f"channel_bits, node {node.name}")
    if max(by_channel) > whole:
        raise UserError(
            f"a channel of {max(by_channel)} bits, and all weights have {whole}",
            where=f"channel_bits, node {node.name}",
            hint="Channels can have fewer bits than weight_bits gives the node, not more.",
        )
    return np.array(by_channel)


def _need_packable(node: Node, integer: frozenset[str], wide: frozenset[str]) -> None:
    if node.name not in integer:
        raise _refusal(node, "stays float, its weights cannot have fewer bits", "Leave it out of one of the two.")
    if not isinstance(node.op, PACKABLE):
        raise _refusal(
            node,
            "has no kernel that reads weights of fewer than 8 bits",
            "Convolutions, depthwise convolutions and dense layers have.",
        )
    if node.name in wide:
        raise _refusal(node, "works on int16, where weights have 8 bits", "Leave it out of one of the two.")


def _need_int16(node: Node, integer: frozenset[str]) -> None:
    if node.name not in integer:
        raise _refusal(node, "stays float, its activations cannot have 16 bits", "Leave it out of one of the two.")
    if not RULES[type(node.op)].int16:
        known = sorted(operator_name_of(kind) for kind, rule in RULES.items() if rule.int16)
        raise _refusal(node, "has no form on int16 activations", f"These have: {', '.join(known)}.")


def operator_name_of(kind: type) -> str:
    """The name of an operator's class, for instance ``depthwise_conv2d``."""
    return str(kind.__struct_config__.tag)  # type: ignore[attr-defined]


def _need_agreement(graph: Graph, found: Mapping[str, Array]) -> None:
    """Nodes that share their weights have them in equal bits: they stand in flash once."""
    first: dict[str, Node] = {}
    for node in graph.nodes:
        if not isinstance(node.op, PACKABLE):
            continue
        other = first.setdefault(node.inputs[1], node)
        one, two = (found.get(each.name, np.array(8)) for each in (other, node))
        if not np.array_equal(one, two):
            hint = "Give all nodes with the same weights the same bits."
            raise _refusal(node, f"shares its weights with {other.name}, which has them in other bits", hint)


def _refusal(node: Node, what: str, hint: str = "") -> UserError:
    return UserError(what, where=f"node {node.name} ({operator_name(node.op)})", hint=hint)
