"""What configs of finetuning share: the words of ablations, scenes to lift."""

from typing import Any

from ml_collections import ConfigDict

from configs.base import base, for_few_steps

# word: {section: values}
ABLATIONS = {
  'scratch': {'start': ''},
  'still_flow': {'optimizer': {'rates': {'spynet': 0.0}, 'frozen': {}}},
  'free_flow': {'optimizer': {'rates': {}, 'frozen': {}}},
  'single': {'batches': {'num_frames': 1}, 'network': {'unroll': 1}},
  'unclean': {'network': {'clean_blocks': 0}, 'loss': {'clean': 0.0}},
  'steady': {'loss': {'temporal': 1.0}},
  'no_charbonnier': {'loss': {'charbonnier': 0.0}},
  'no_lpips': {'perceptual': {'weight': 0.0}},
  'no_gan': {'adversarial': {'weight': 0.0}},
  'patches': {
    'judge': {'name': 'patches'},
    'adversarial': {'r1': 0.02048},
  },
  'photos': {'batches': {'photo_share': 1.0}},
  'mixed': {'batches': {'photo_share': 0.25}},
  'few_splats': {'batches': {'num_splats': (0, 4000)}},
  'many_splats': {'batches': {'num_splats': (4001, 1_000_000)}},
}


def parse(arg: str, known: tuple[str, ...]) -> set[str]:
  """The words of a config's argument; what is not known is told."""
  asked = set(filter(None, arg.split(',')))
  unknown = asked - {*known, *ABLATIONS}
  if unknown:
    raise ValueError(
      f'the config argument has unknown words: {", ".join(sorted(unknown))}; '
      f'there are {", ".join((*known, *ABLATIONS))}'
    )
  return asked


def ablate(config: ConfigDict, asked: set[str]) -> None:
  """Applies the ablations that were asked for, in the order of the table."""
  for word, sections in ABLATIONS.items():
    for name, values in sections.items() if word in asked else ():
      if not isinstance(values, dict):
        config[name] = values
        continue
      for key, value in values.items():
        # a mapping is replaced, not merged
        config[name][key] = ConfigDict(value) if value == {} else value


def lifted(**scenes: Any) -> dict[str, Any]:
  """A section of scenes that are made finer end to end, on two cores."""
  shared = base('', '')
  shared.representation.update(capacity=8000, sh_degree=0, growth=1.2)
  for_few_steps(shared)
  shared.first_fit.update(num_steps=500, refine_stop=400, sh_every=0)
  shared.fit.update(num_steps=300, refine_stop=200, refine_start=50)
  return {
    'scenes': scenes,
    'softness': 0.0,
    'representation': shared.representation,
    'drawing': shared.drawing,
    'first_fit': shared.first_fit,
    'fit': shared.fit,
  }
