"""Which Gaussians should have children? Every score, split or learnt.

    for seed in 0 1 2; do python -m experiments.super_resolve \
        --config=configs/gaussian_vae/scores.py:lego,cpu,seed$seed \
        --workdir=runs/gaussian_vae/scores_lego_seed$seed; done

Words: a scene (`lego`, `fox`), a size, a seed, and some of `split`, `refine`
and `vae`, where not all are wanted. All rows start from one fit, a quarter of
the Gaussians have children, and nothing is fitted afterwards. A row is called
by what its parents become and by the score that chose them: `vae_fisherrf`.

    split   four by the plain split, `refine` one child of the network of one,
            `vae` four of the other
    random  three draws: random, random_1, random_2

Scores are those of sr3d_jax/split_scores.py. `split_gain`, `newton` and
`steepgs` look at the coarse photos, and so do `gradient`, `absgrad` and
`taming`, by the pull of their loss at the end of the fit; `exp_residual` is
`exp_split` times the error that is left there, `edges_photos` is `edges` of
the photos in place of those of fine renders. configs/tables/gaussianvae.py
gathers the runs.
"""

from ml_collections import ConfigDict

from configs.gaussian_vae import fox, lego
from configs.gaussian_vae.rows import (
  FEW,
  REFINE,
  SPLIT,
  VAE,
  grown,
  parse,
  with_rows,
)

SCENES = {'lego': lego, 'fox': fox}
KINDS = {'split': SPLIT, 'refine': REFINE, 'vae': VAE}
# What each asks for; a name that is none of a score says which it is.
SCORES = {
  'exp_split': {},
  'exp_residual': {'score': 'exp_split', 'evidence': ('sigma',)},
  'fisher_logdet': {},
  'fisher_logdet_raw': {},
  'fisher_trace': {},
  'fisherrf': {},
  'removal': {},
  'split_gain': {},
  'newton': {},
  'steepgs': {},
  'gradient': {'evidence': ('stats',)},
  'absgrad': {'evidence': ('stats',)},
  'taming': {'evidence': ('stats', 'losses', 'edges')},
  'opacity': {},
  'edges': {},
  'edges_photos': {'score': 'edges', 'evidence': ('edges',)},
  'footprint': {},
  'undersampled': {},
  'random': {},
  'random_1': {'score': 'random', 'seed': 1},
  'random_2': {'score': 'random', 'seed': 2},
}
MAIN = 'fisherrf'


def get_config(arg: str = '') -> ConfigDict:
  """Returns one scene's run; lego by default."""
  words = parse(arg, (*SCENES, *KINDS))
  scenes = [word for word in words.flags if word in SCENES] or ['lego']
  kinds = [word for word in KINDS if word in words.flags] or list(KINDS)
  if len(scenes) > 1:
    raise ValueError(f'one run has one scene, got {arg!r}')
  config = SCENES[scenes[0]].get_config(words.size)
  config.source = 'configs/gaussian_vae/scores.py'
  rows = {
    f'{kind}_{name}': grown(FEW, **{'score': name, **keys}, **KINDS[kind])
    for kind in kinds
    for name, keys in SCORES.items()
  }
  config = with_rows(config, rows, words, main=f'{kinds[0]}_{MAIN}')
  config.measures = ('psnr',)
  return config
