"""StableSR-Turbo, with which 3DSR was published, as one file.

    python -m experiments.convert_weights --config=configs/convert/stablesr.py \
        --output=data/weights/stablesr_turbo.safetensors --accept_licences

docs/weights.md says which two files to get and from where, and under which
licences. It writes 4.4 GB and needs as much memory; half of both with
`--config.dtype=bfloat16`. For the checkpoint of 200 steps:
`--config.sources.diffusion.path=weights/stablesr/stablesr_000117.ckpt`.
"""

from ml_collections import ConfigDict

FOLDER = 'weights/stablesr'
# what a training run keeps beside what is run
SCHEDULE = (
  r'(sqrt_)?(one_minus_)?alphas_cumprod(_prev)?',
  r'(log_one_minus|sqrt_recip|sqrt_recipm1)_alphas_cumprod',
  r'posterior_(variance|log_variance_clipped|mean_coef[12])',
  r'betas|lvlb_weights|logvar|scale_factor',
)
TRAINING = (
  *SCHEDULE,
  r'cond_stage_model\..*',  # see config.text_encoder
  r'model_ema\..*',
  r'(first_stage_model\.)?loss\..*',
)


def get_config(arg: str = ''):
  """UNet, time-aware encoder, autoencoder; checked by the published counts."""
  del arg
  config = ConfigDict()
  config.licences = (
    'StableSR: S-Lab License 1.0, non-commercial '
    '(https://github.com/IceClear/StableSR/blob/main/LICENSE.txt)',
    'SD-Turbo, in stablesr_turbo: Stability AI non-commercial research '
    'community licence (https://huggingface.co/stabilityai/sd-turbo)',
    'Stable Diffusion 2.1: CreativeML Open RAIL++-M',
  )
  config.dtype = 'float32'
  config.prediction = 'eps'  # of the UNet: eps, v or x0
  # The prompt is empty: its embedding, by the encoder in the checkpoint or from
  # a .npy file that was made once.
  config.text_encoder = {
    'source': 'diffusion', 'prefix': 'cond_stage_model.model.'
  }  # fmt: skip
  config.text = ''
  config.text_channels = 1024
  config.sources = {
    'diffusion': {
      'path': f'{FOLDER}/stablesr_turbo.ckpt',
      'section': 'state_dict',
      'dropped': TRAINING,
    },
    'cfw': {
      'path': f'{FOLDER}/vqgan_cfw_00011.ckpt',
      'section': 'state_dict',
      'dropped': TRAINING,
    },
  }
  config.folders = ConfigDict()
  config.parts = {
    'unet': {
      'source': 'diffusion',
      'prefix': 'model.diffusion_model.',
      'network': 'stablesr_unet',
      'num_parameters': 918_930_884,
    },
    'encoder': {
      'source': 'diffusion',
      'prefix': 'structcond_stage_model.',
      'network': 'stablesr_encoder',
      'num_parameters': 52_494_080,
    },
    'first_stage': {
      'source': 'diffusion',
      'prefix': 'first_stage_model.',
      'network': 'autoencoder_ldm',
      'num_parameters': 83_653_863,
    },
    'autoencoder': {
      'source': 'cfw',
      'network': 'autoencoder_ldm',
      'sizes': {'fusion_levels': (1, 2)},
      'num_parameters': 128_047_591,
    },
  }
  # The first stage encodes only; the autoencoder decodes.
  config.merge = {
    'first': 'first_stage',
    'second': 'autoencoder',
    'modules': ('encoder', 'quant_conv'),
  }
  return config
