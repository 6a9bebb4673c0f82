"""A network that judges pictures as one file: Inception, or LPIPS.

    python -m experiments.convert_weights --config=configs/convert/judges.py \
        --output=data/weights/inception.safetensors --accept_licences

`:lpips_alex` and `:lpips_vgg` put a backbone of torchvision and its published
heads together; the output is then `data/weights/lpips_alex.safetensors` or
`lpips_vgg.safetensors`, where the measures look for it. Seconds.
"""

from ml_collections import ConfigDict

from configs.convert import network

BACKBONES = {
  'lpips_alex': 'alexnet-owt-7be5be79.pth',
  'lpips_vgg': 'vgg16-397923af.pth',
}
COUNTS = {
  'inception': 23_884_384,  # with statistics, without the bias of the classes
  'lpips_alex': 2_469_696 + 1152,
  'lpips_vgg': 14_714_688 + 1472,
}
IMAGENET = 'ImageNet, on which it was trained: non-commercial research'


def get_config(arg: str = '') -> ConfigDict:
  """The files of one network; checked by its count."""
  kind = arg or 'inception'
  if kind not in COUNTS:
    raise ValueError(
      f'the config argument is one of {", ".join(COUNTS)}, got {arg!r}'
    )
  config = network.get_config()
  if kind == 'inception':
    config.licences = (
      'Apache-2.0 (https://github.com/mseitzer/pytorch-fid)',
      IMAGENET,
    )
    config.sources.checkpoint = {
      'path': 'weights/inception/pt_inception-2015-12-05-6726825d.pth',
      'section': '',
      # IS is of logits without it
      'dropped': (r'fc\.bias', r'.*\.num_batches_tracked'),
    }
    sources = ('checkpoint',)
  else:
    config.licences = (
      'torchvision: BSD-3-Clause (https://github.com/pytorch/vision)',
      'LPIPS: BSD-2-Clause (https://github.com/richzhang/PerceptualSimilarity)',
      IMAGENET,
    )
    config.sources = {
      'backbone': {
        'path': f'weights/torchvision/{BACKBONES[kind]}',
        'section': '',
        'dropped': (r'classifier\..*',),
      },
      'heads': {
        'path': f'weights/lpips_heads/{kind.removeprefix("lpips_")}.pth',
        'section': '',
      },
    }
    sources = ('backbone', 'heads')
  config.parts.network = {
    'source': sources,
    'network': kind,
    'num_parameters': COUNTS[kind],
  }
  return config
