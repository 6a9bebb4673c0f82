"""RealBasicVSR as one file, the generator of a checkpoint of OpenMMLab.

    python -m experiments.convert_weights \
        --config=configs/convert/realbasicvsr.py \
        --output=data/weights/realbasicvsr.safetensors --accept_licences

The averaged generator where the file has one. `:basicvsr` is BasicVSR of
OpenMMLab, `:basicvsr_basicsr` of BasicSR. Seconds.
"""

from ml_collections import ConfigDict

from configs.convert import network

FILES = {
  'realbasicvsr': 'realbasicvsr/RealBasicVSR_x4.pth',
  'basicvsr': 'basicvsr/basicvsr_reds4_20120409-0e599677.pth',
  'basicvsr_basicsr': 'basicvsr/BasicVSR_REDS4.pth',
}
SECTIONS = {'basicvsr_basicsr': 'params'}
COUNTS = {'realbasicvsr': 6_294_834}
BASICVSR = 6_291_311


def get_config(arg: str = '') -> ConfigDict:
  """A checkpoint of which the generator is taken; checked by its count."""
  kind = arg or 'realbasicvsr'
  if kind not in FILES:
    raise ValueError(
      f'the config argument is one of {", ".join(FILES)}, got {arg!r}'
    )
  config = network.get_config()
  config.licences = ('Apache-2.0 (https://github.com/open-mmlab/mmagic)',)
  config.sources.checkpoint = {
    'path': f'weights/{FILES[kind]}',
    'section': SECTIONS.get(kind, 'state_dict'),
    'dropped': (r'step_counter',),
    'prefixes': ('generator_ema.', 'generator.', ''),
  }
  config.parts.network = {
    'source': 'checkpoint',
    'network': kind,
    'num_parameters': COUNTS.get(kind, BASICVSR),
  }
  return config
