"""How views are lifted to a scene: as SuperGaussian released it, and cleanly.

Parts of a row of `experiments.super_resolve`. Not of `released`, and shared by
all rows: 0.3 px of blur for every splat, `--config.drawing.blur=0.3
--config.drawing.compensation=none`; the principal point stays where it is.
"""

# xyz falls from 1.6e-4 to 1.6e-6 of the extent in 30,000 steps, of which these
# are the first 2,000.
POSITION = (1.6e-4, 1.18e-4)
RELEASED_STEPS = 2000


def released(num_steps: int = RELEASED_STEPS) -> dict:
  """Opacity 0.9 at first, all dimmed once, bounded colours, classic density."""
  return {
    'start': 'points',
    'representation': {
      'density_control': 'classic',
      'init_opacity': 0.9,
      'colors_in_range': True,
      'filter3d': False,
      'reset_every': 0,
      'reset_at': (500 * num_steps // RELEASED_STEPS,),
      'sh_degree': 3,
      'rates': {
        'position': POSITION, 'color': 2.5e-3, 'opacity': 5e-2,
        'scale': 5e-3, 'quat': 1e-3,
      },
    },
    'fit': {
      'num_steps': num_steps,
      'chunk': 100 * num_steps // RELEASED_STEPS or 1,
      'refine_start': 500 * num_steps // RELEASED_STEPS,
      'refine_stop': num_steps,
      'sh_every': 1000 * num_steps // RELEASED_STEPS,
      'dssim_weight': 0.2,
    },
  }  # fmt: skip


def clean(num_steps: int = RELEASED_STEPS) -> dict:
  """Likewise from points, no reset, colours as they are, harmonics sooner."""
  return {
    'start': 'points',
    'representation': {'init_opacity': 0.5, 'density_control': 'gof'},
    'fit': {
      'num_steps': num_steps,
      'refine_stop': 3 * num_steps // 4,
      'sh_every': 500 * num_steps // RELEASED_STEPS,
    },
  }
