"""Autoencoders, narrow, with weights and pictures drawn by a rule.

    python tests/models/autoencoder_cases.py

records what they return in tests/fixtures/diffusion_networks/autoencoder.npz.
That was done with code that had just reproduced runs of the published networks
(`autoencoder_test`): diffusers 0.42.1 to 8.3e-6, IceClear/StableSR @ 398ee938
to 9.6e-6.
"""

import diffusion_cases
import jax
import numpy as np

from sr3d_jax.models import autoencoder

OUTPUTS = diffusion_cases.OUTPUTS.with_name('autoencoder.npz')
NARROW = dict(channels=(4, 8), num_groups=2, num_blocks=1, scaling=0.5)
FUSION = dict(fusion_levels=(0,), fusion_growth=4)
CASES = {
  'diffusers': (NARROW, autoencoder.diffusers_names(2)),
  'stablesr': (NARROW | FUSION, autoencoder.LDM_NAMES),
}


def run(case):
  """What a case returns, by name."""
  options, names = CASES[case]
  network = autoencoder.make(**options)
  params = diffusion_cases.params(network, names)
  images = 0.5 + 0.2 * diffusion_cases.drawn('images', (2, 8, 12, 3))

  @jax.jit
  def both(params):
    posterior, features = network.encode(params, images)
    features = features if 'fusion_levels' in options else None
    latents = diffusion_cases.drawn('latents', posterior.mean.shape)
    decoded = network.decode(params, latents, features, 0.5)
    return posterior.mean, posterior.std, decoded

  return dict(zip(('mean', 'std', 'decoded'), both(params)))


if __name__ == '__main__':
  recorded = {
    f'{case}/{name}': array
    for case in CASES
    for name, array in run(case).items()
  }
  np.savez_compressed(OUTPUTS, **recorded)
