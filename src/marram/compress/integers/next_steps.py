"""Next steps: from the facts of layers to what should be tried, by rules that are stated here and nowhere else.

A graph is *sound* if at most 1 % of the answers flip and the accuracy falls by at most half a point; without classes, if its
outputs stay within 30 dB. Otherwise each layer is looked at for a cause, first its own, then one in the layers that it reads:

- ``saturation``: more than 0.1 % of its values lie outside what int8 reaches. Calibrate by min_max, or on more samples.
- ``unequal_channels``: one channel reaches 16 times as far as the median one. Equalise.
- ``outliers``: all but 0.1 % of the values need less than an eighth of the int8 range. Calibrate by mse or a percentile.
- ``shared_scale``: the same, where another, wider tensor has the same scale. 16-bit activations.
- ``coarse_weights``: weights with a signal-to-noise ratio under 25 dB. More bits, or rounding that looks at the layer's output.

A cause is told if the layers that have it make at least 30 % of the noise. If none is, but the fewest layers that make 60 % of
the noise are one, or at most a quarter of all, these layers are kept float or get 16-bit activations (``few_layers``); else
all layers are alike, and what helps is training through the roundings (``all_alike``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from marram.compress.integers.layer_facts import LayerFacts
from marram.core.recipe import Decision, Equalise, Fold, Quantise, Recipe, Round, TrainQuantised

Rule = Literal[
    "sound",
    "saturation",
    "unequal_channels",
    "outliers",
    "shared_scale",
    "coarse_weights",
    "few_layers",
    "all_alike",
]

SOUND_FLIPS, SOUND_DROP, SOUND_DB = 0.01, 0.005, 30.0
SATURATED, CHANNEL_RATIO, STRETCH, WEIGHT_DB = 0.001, 16.0, 8.0, 25.0
TOLD_SHARE, FEW_SHARE, FEW_PART = 0.3, 0.6, 0.25

_CAUSES: tuple[tuple[Rule, Callable[[LayerFacts], bool]], ...] = (
    ("saturation", lambda facts: not facts.fixed and facts.damage.saturated > SATURATED),
    ("unequal_channels", lambda facts: not facts.fixed and facts.channel_ratio >= CHANNEL_RATIO),
    ("outliers", lambda facts: not facts.fixed and facts.stretch >= STRETCH and not facts.shared),
    ("shared_scale", lambda facts: not facts.fixed and facts.stretch >= STRETCH and facts.shared),
    ("coarse_weights", lambda facts: facts.weight_db is not None and facts.weight_db < WEIGHT_DB),
)


class Symptom(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The integer graph beside the float one as a whole: ``flips`` is the share of changed answers, None without classes."""

    closeness_db: float
    flips: float | None = None
    accuracy_before: float | None = None
    accuracy_after: float | None = None

    @property
    def sound(self) -> bool:
        """Whether nothing has to be done."""
        if self.flips is None:
            return self.closeness_db >= SOUND_DB
        before, after = self.accuracy_before, self.accuracy_after
        return self.flips <= SOUND_FLIPS and (before is None or after is None or before - after <= SOUND_DROP)


class Finding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a rule found: the layers, worst first, their share of the noise, what to do, and recipes that do it.

    ``recipes`` is empty where a recipe cannot say it, such as that there should be more samples.
    """

    rule: Rule
    nodes: tuple[str, ...]
    noise_share: float
    step: str
    recipes: tuple[Recipe, ...] = ()


def findings(facts: Sequence[LayerFacts], symptom: Symptom, recipe: Recipe) -> tuple[Finding, ...]:
    """What should be tried next, the finding with most of the noise first; always at least one.

    Args:
        facts: of every layer.
        symptom: of the whole graph.
        recipe: what made the integer graph, which the suggested recipes change.
    """
    if symptom.sound:
        return (Finding(rule="sound", nodes=(), noise_share=0.0, step="Nothing is wrong: no step is needed."),)
    by_rule: dict[Rule, dict[str, float]] = {}
    for one in facts:
        for rule, node in _causes(one, facts):
            layers = by_rule.setdefault(rule, {})
            layers[node] = layers.get(node, 0.0) + one.noise_share
    told = [
        (sum(layers.values()), rule, tuple(sorted(layers, key=lambda name: -layers[name])))
        for rule, layers in by_rule.items()
        if sum(layers.values()) >= TOLD_SHARE
    ]
    if not told:
        told = [_without_cause(facts)]
    return tuple(_finding(rule, nodes, share, recipe) for share, rule, nodes in sorted(told, key=lambda row: -row[0]))


def _causes(one: LayerFacts, facts: Sequence[LayerFacts]) -> list[tuple[Rule, str]]:
    """The causes of a layer's noise and the layers that have them: its own, or else those of the layers that it reads."""
    read = [other for other in facts if other.node in one.inputs]
    for layers in ([one], read):
        found = [(rule, layer.node) for layer in layers for rule, has in _CAUSES if has(layer)]
        if found:
            return list({rule: (rule, node) for rule, node in reversed(found)}.values())
    return []


def _without_cause(facts: Sequence[LayerFacts]) -> tuple[float, Rule, tuple[str, ...]]:
    share, chosen = 0.0, []
    for one in sorted(facts, key=lambda layer: -layer.noise_share):
        if share >= FEW_SHARE:
            break
        chosen.append(one.node)
        share += one.noise_share
    if len(chosen) <= max(1, int(len(facts) * FEW_PART)):
        return share, "few_layers", tuple(chosen)
    return 1.0, "all_alike", ()


def _finding(rule: Rule, nodes: tuple[str, ...], share: float, recipe: Recipe) -> Finding:
    step, recipes = _STEPS[rule](nodes, recipe)
    return Finding(rule=rule, nodes=nodes, noise_share=min(share, 1.0), step=step, recipes=recipes)


_Step = tuple[str, tuple[Recipe, ...]]


def _unsaturated(_nodes: tuple[str, ...], recipe: Recipe) -> _Step:
    if _quantise(recipe).calibration == "min_max":
        return "Calibrate on more samples: values reach farther than those that the calibration saw.", ()
    return "Calibrate by min_max: the present calibration cuts too much.", (_with(recipe, calibration="min_max"),)


def _equalised(nodes: tuple[str, ...], recipe: Recipe) -> _Step:
    if any(isinstance(decision, Equalise) for decision in recipe.decisions):
        return "Channels stay unequal after equalisation: give these layers 16-bit activations.", _wider(nodes, recipe)
    place = 1 + max((index for index, decision in enumerate(recipe.decisions) if isinstance(decision, Fold)), default=-1)
    decisions = (*recipe.decisions[:place], Equalise(), *recipe.decisions[place:])
    return "Equalise: one channel's range costs the others their steps.", (Recipe(decisions=decisions),)


def _clipped(nodes: tuple[str, ...], recipe: Recipe) -> _Step:
    if _quantise(recipe).calibration != "min_max":
        return "A few values stretch the range whatever the calibration: 16-bit activations.", _wider(nodes, recipe)
    tried = (_with(recipe, calibration="mse"), _with(recipe, calibration="percentile", percentile=99.9))
    return "Calibrate by mse or percentile: a few values stretch the range of all others.", tried


def _unshared(nodes: tuple[str, ...], recipe: Recipe) -> _Step:
    return "Give these layers 16-bit activations: they share the scale of a much wider tensor.", _wider(nodes, recipe)


def _finer_weights(nodes: tuple[str, ...], recipe: Recipe) -> _Step:
    quantise = _quantise(recipe)
    narrow = [node for node in nodes if node in quantise.weight_bits or node in quantise.channel_bits]
    if not narrow:
        return "Round by the layer's output: its 8-bit weights are far from the float ones.", _rounded(nodes, recipe)
    bits = {node: width for node, width in quantise.weight_bits.items() if node not in narrow}
    by_channel = {node: widths for node, widths in quantise.channel_bits.items() if node not in narrow}
    wider = _with(recipe, weight_bits=bits, channel_bits=by_channel)
    return "Give these weights 8 bits, or round them by the layer's output.", (wider, *_rounded(tuple(narrow), recipe))


def _kept(nodes: tuple[str, ...], recipe: Recipe) -> _Step:
    kept = tuple(dict.fromkeys((*_quantise(recipe).keep_float, *nodes)))
    floats = _with(recipe, keep_float=kept)
    return "Give these layers 16-bit activations, or keep them float where the runtime can.", (*_wider(nodes, recipe), floats)


def _trained(_nodes: tuple[str, ...], recipe: Recipe) -> _Step:
    if any(isinstance(decision, TrainQuantised) for decision in recipe.decisions):
        return "All layers are alike, and it was trained through the roundings: train longer, or take a larger model.", ()
    after = Recipe(decisions=(*recipe.decisions, TrainQuantised()))
    return "All layers are alike: train through the roundings (trainquantised).", (after,)


_STEPS: dict[Rule, Callable[[tuple[str, ...], Recipe], _Step]] = {
    "saturation": _unsaturated,
    "unequal_channels": _equalised,
    "outliers": _clipped,
    "shared_scale": _unshared,
    "coarse_weights": _finer_weights,
    "few_layers": _kept,
    "all_alike": _trained,
}


def _quantise(recipe: Recipe) -> Quantise:
    return next((decision for decision in recipe.decisions if isinstance(decision, Quantise)), Quantise())


def _with(recipe: Recipe, **fields: object) -> Recipe:
    """The recipe with other fields of its quantisation."""

    def changed(decision: Decision) -> Decision:
        return msgspec.structs.replace(decision, **fields) if isinstance(decision, Quantise) else decision

    return Recipe(decisions=tuple(map(changed, recipe.decisions)))


def _wider(nodes: tuple[str, ...], recipe: Recipe) -> tuple[Recipe, ...]:
    return (_with(recipe, activation_bits={**_quantise(recipe).activation_bits, **dict.fromkeys(nodes, 16)}),)


def _rounded(nodes: tuple[str, ...], recipe: Recipe) -> tuple[Recipe, ...]:
    place = 1 + next(index for index, decision in enumerate(recipe.decisions) if isinstance(decision, Quantise))
    decisions = (*recipe.decisions[:place], Round(nodes=nodes), *recipe.decisions[place:])
    return (Recipe(decisions=decisions),)
