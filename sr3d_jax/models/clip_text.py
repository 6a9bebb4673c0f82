"""The text encoder of OpenCLIP, for one prompt.

Stable Diffusion 2 is told a prompt by the second last layer of a causal
transformer (Radford et al. 2021, "Learning transferable visual models from
natural language supervision"), normed by its last norm. StableSR's prompt is
always empty, so that this runs once, on the host, with weights as published.
"""

from collections.abc import Mapping

import numpy as np
from scipy.special import erf

HEAD_WIDTH = 64  # of the ViT-H/14 that Stable Diffusion 2 takes
SKIPPED = 1  # layers, from the last
START, END, NUM_TOKENS = 49406, 49407, 77
EMPTY = (START, END, *(NUM_TOKENS - 2) * (0,))


def embed(
  weights: Mapping[str, np.ndarray],
  tokens: tuple[int, ...] = EMPTY,
  head_width: int = HEAD_WIDTH,
) -> np.ndarray:
  """Embeds a prompt.

  Args:
    weights: published name -> array, `token_embedding.weight` and so on.
    tokens: of the prompt, N of them.
    head_width: channels of each head of the attentions.

  Returns:
    [1, N, C], float32.
  """
  layers = {
    int(name.split('.')[2])
    for name in weights
    if name.startswith('transformer.resblocks.')
  }
  if not layers or 'token_embedding.weight' not in weights:
    raise ValueError(
      f'there is no text encoder of OpenCLIP among {list(weights)[:4]}'
    )

  def get(name: str) -> np.ndarray:
    return np.asarray(weights[name], np.float32)

  x = np.asarray(weights['token_embedding.weight'])[list(tokens)]
  x = x.astype(np.float32) + get('positional_embedding')[: len(tokens)]
  for i in range(len(layers) - SKIPPED):  # one in memory at a time
    prefix = f'transformer.resblocks.{i}.'
    layer = {
      name.removeprefix(prefix): get(name)
      for name in weights
      if name.startswith(prefix)
    }
    x = x + _attend(_norm(x, layer, 'ln_1'), layer, head_width)
    hidden = _linear(_norm(x, layer, 'ln_2'), layer, 'mlp.c_fc')
    hidden = hidden * (1 + erf(hidden / np.float32(np.sqrt(2)))) / 2
    x = x + _linear(hidden, layer, 'mlp.c_proj')
  final = {name: get(name) for name in ('ln_final.weight', 'ln_final.bias')}
  return _norm(x, final, 'ln_final')[None]


def _attend(
  x: np.ndarray, layer: Mapping[str, np.ndarray], head_width: int
) -> np.ndarray:
  """Attends from each token to itself and to those before it."""
  num, channels = x.shape
  qkv = x @ layer['attn.in_proj_weight'].T + layer['attn.in_proj_bias']
  q, k, v = np.moveaxis(qkv.reshape(num, 3, -1, head_width), 0, 2)
  scores = q @ np.swapaxes(k, -1, -2) / np.sqrt(head_width)
  scores[:, ~np.tri(num, dtype=bool)] = -np.inf
  weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
  weights /= weights.sum(axis=-1, keepdims=True)
  mixed = np.swapaxes(weights @ v, 0, 1).reshape(num, channels)
  return _linear(mixed.astype(np.float32), layer, 'attn.out_proj')


def _linear(
  x: np.ndarray, layer: Mapping[str, np.ndarray], name: str
) -> np.ndarray:
  return x @ layer[f'{name}.weight'].T + layer[f'{name}.bias']


def _norm(
  x: np.ndarray, layer: Mapping[str, np.ndarray], name: str
) -> np.ndarray:
  centred = x - x.mean(axis=-1, keepdims=True)
  std = np.sqrt(np.mean(centred**2, axis=-1, keepdims=True) + 1e-5)
  return centred / std * layer[f'{name}.weight'] + layer[f'{name}.bias']
