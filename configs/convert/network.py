"""One published feed-forward network as one file, here IMDN.

    python -m experiments.convert_weights --config=configs/convert/network.py \
        --output=imdn.safetensors --accept_licences

Others by `--config.sources.checkpoint.path` and `.section`, and by
`--config.parts.network.network`, a name of `conversion.KINDS`. Seconds.
"""

from ml_collections import ConfigDict

from configs.convert import stablesr


def get_config(arg: str = ''):
  """A checkpoint of which every entry is a weight of the network."""
  config = stablesr.get_config(arg)
  config.licences = ('the licence of the repository that publishes it',)
  config.prediction = ''  # it denoises nothing
  config.text_encoder = ConfigDict()
  config.sources = {
    'checkpoint': {'path': 'weights/imdn/IMDN_x4.pth', 'section': ''}
  }
  config.parts = {'network': {'source': 'checkpoint', 'network': 'imdn'}}
  config.merge = ConfigDict()
  return config
