"""Figures: results in, plotly figures out. No torch, nothing computed beyond means over seeds; each a Drawing."""

from lori_core.figures.comparisons import compared_scores, cosines_by_width, dial, kept_gains, mask_gain
from lori_core.figures.confusions import confused_tasks, confusion
from lori_core.figures.continual import condition, continual_axes, continual_matrix, forgetting
from lori_core.figures.drawing import Drawing
from lori_core.figures.forecast import forecast_against_measured, forecast_matrix
from lori_core.figures.guesses import guesses
from lori_core.figures.interference import pair_band, pairs
from lori_core.figures.lens import attributions, lens_ribbons
from lori_core.figures.mask_views import mask_grid, mask_pair
from lori_core.figures.masks import magnitudes, mask, mask_layout, mask_replay, mask_settling
from lori_core.figures.merges import before_after, weight_search
from lori_core.figures.places import layer_and_projection, module_at, pair_places
from lori_core.figures.scores import merge_weights, merged, scores
from lori_core.figures.slider import slider
from lori_core.figures.spectrum import spectrum
from lori_core.figures.training import cost, live_losses, losses
from lori_core.figures.triangle import merge_triangle

__all__ = [
    "Drawing",
    "attributions",
    "before_after",
    "compared_scores",
    "condition",
    "confused_tasks",
    "confusion",
    "continual_axes",
    "continual_matrix",
    "cosines_by_width",
    "cost",
    "dial",
    "forecast_against_measured",
    "forecast_matrix",
    "forgetting",
    "guesses",
    "kept_gains",
    "layer_and_projection",
    "lens_ribbons",
    "live_losses",
    "losses",
    "magnitudes",
    "mask",
    "mask_gain",
    "mask_grid",
    "mask_layout",
    "mask_pair",
    "mask_replay",
    "mask_settling",
    "merge_triangle",
    "merge_weights",
    "merged",
    "module_at",
    "pair_band",
    "pair_places",
    "pairs",
    "scores",
    "slider",
    "spectrum",
    "weight_search",
]
