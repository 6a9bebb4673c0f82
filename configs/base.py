"""What every main-job config shares, and how their arguments read.

    --config=configs/scenes/fox.py:cpu,rlfn

The words after the colon are a size (`smoke`, a minute; `cpu`, fits two cores;
none, a GPU) and the name of a file in configs/priors/.
"""

import importlib
from pathlib import Path

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

SIZES = ('smoke', 'cpu', '')


def parse(arg: str) -> tuple[str, str]:
  """Splits the config's argument into (size, prior), either may be ''."""
  size, prior = '', ''
  for word in filter(None, arg.split(',')):
    if word in SIZES:
      size = word
    elif (Path(__file__).parent / 'priors' / f'{word}.py').exists():
      prior = word
    else:
      found = (Path(__file__).parent / 'priors').glob('[a-z]*.py')
      raise ValueError(
        f'the config argument has an unknown word {word!r}: wanted a size '
        f'(smoke, cpu) or a prior ({", ".join(sorted(p.stem for p in found))})'
      )
  return size, prior


def base(source: str, prior: str) -> ConfigDict:
  """The main job's defaults: four times finer, on a GPU.

  Args:
    source: the config file, for the records.
    prior: a file in configs/priors/; '' for the shipped network.
  """
  steps = dict(
    batch_size=1, chunk=100, refine_start=100, save_every=500, shards=1
  )
  return ConfigDict(
    dict(
      source=source,
      seed=0,
      shrink=4.0,
      softness=0.0,  # of the coarse photos, coarse px; see sr3d_jax/coarse.py
      scene=dict(),
      representation=dict(
        name='gaussians', capacity=300_000, sh_degree=2, growth=1.05
      ),
      drawing=dict(blur=0.1, compensation='clamped', backend=placeholder(str)),
      first_fit=dict(num_steps=7000, refine_stop=5000, **steps),
      prior=_prior_section(prior),
      anchor=True,
      anchor_weight=1.0,
      baselines=('bicubic',),
      bound=True,
      measures=('psnr', 'ssim', 'lr_psnr'),  # more: docs/metrics.md
      fit=dict(num_steps=7000, refine_stop=5000, sh_every=0, **steps),
    )
  )


def for_two_cores(config: ConfigDict, *, capacity: int) -> None:
  """Sets what the size `cpu` has in common: shorter fits, fewer splats."""
  config.representation.update(capacity=capacity, sh_degree=1, growth=1.3)
  for_few_steps(config)
  config.first_fit.update(num_steps=2000, refine_stop=1500, sh_every=500)
  config.fit.update(num_steps=500, refine_stop=350, refine_start=50, chunk=50)


def for_few_steps(config: ConfigDict) -> None:
  """Doubles the rates and relaxes the priors, both made for 30,000 steps."""
  config.representation.rates = dict(
    position=(3e-4, 3e-6), scale=1e-2, color=5e-3
  )
  for section in (config.first_fit, config.fit):
    section.update(opacity_weight=2e-3, scale_weight=2e-3)


def for_a_minute(config: ConfigDict) -> None:
  """Sets what the size `smoke` has in common: every part runs, none well."""
  config.representation.update(capacity=2000, sh_degree=0)
  config.first_fit.update(num_steps=20, chunk=10)
  config.fit.update(num_steps=10, chunk=10)


def image_set(
  roots: tuple[str, ...], arg: str, scales: tuple[float, ...] = (4.0,)
) -> ConfigDict:
  """A config of `evaluate`.

  Args:
    roots: folders of HR images.
    arg: a prior's name; '' for the shipped network.
    scales: by which they are shrunk and enlarged again.
  """
  size, prior = parse(arg)
  if size:
    raise ValueError(f'an image set has one size, got {size!r}: leave it out')
  return ConfigDict(
    dict(
      seed=0,
      roots=roots,
      scales=scales,
      measures=('psnr_y', 'ssim_y'),
      repeats=1,
      save_images=False,
      prior=_prior_section(prior),
    )
  )


def _prior_section(prior: str) -> ConfigDict:
  """The section in configs/priors/; '' for the shipped network."""
  return importlib.import_module(
    f'configs.priors.{prior or "own"}'
  ).get_config()
