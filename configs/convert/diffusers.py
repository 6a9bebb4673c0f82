"""A pipeline's folder of diffusers as one file: its `unet/` and its `vae/`.

    python -m experiments.convert_weights \
        --config=configs/convert/diffusers.py \
        --config.folders.unet.path=/path/to/stable-diffusion-x4-upscaler/unet \
        --config.folders.vae.path=/path/to/stable-diffusion-x4-upscaler/vae \
        --config.text=/path/to/empty_prompt.npy \
        --output=data/weights/upscaler.safetensors --accept_licences

Sizes are those of the folders' config.json. Weights of half precision are taken
by `--config.folders.unet.variant=fp16`. A minute for a gigabyte.
"""

from ml_collections import ConfigDict

from configs.convert import stablesr

FOLDER = 'weights/diffusers'


def get_config(arg: str = ''):
  """Both parts; a config without one of them converts the other."""
  config = stablesr.get_config(arg)
  config.licences = (
    'the licence that the model card of these folders names; of Stable '
    'Diffusion 2.x and its upscaler: CreativeML Open RAIL++-M',
  )
  config.prediction = ''  # as prediction_type of scheduler_config.json: eps, v
  config.text_encoder = ConfigDict()
  config.text = f'{FOLDER}/empty_prompt.npy'
  config.sources = ConfigDict()
  config.folders = {
    'unet': {'path': f'{FOLDER}/unet', 'variant': ''},
    'vae': {'path': f'{FOLDER}/vae', 'variant': ''},
  }
  config.parts = {
    'unet': {'source': 'unet'},
    'autoencoder': {'source': 'vae'},
  }
  config.merge = ConfigDict()
  return config
