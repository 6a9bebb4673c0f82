"""Designs of GaussianSR: which there are, and which cannot be."""

import pytest

from sr3d_jax.models import gaussian_design


@pytest.mark.parametrize('design, expected', [
  ({}, 3), ({'sigmas': (0.3, 1.5)}, 5), ({'sigmas': (0.3, 0.6)}, 2),
  ({'radius': 4}, 4), ({'offsets': True}, 4), ({'centre': 'released'}, 5),
])  # fmt: skip
def test_the_window_covers_the_widest_kernel_where_it_may_be(design, expected):
  assert gaussian_design.window(gaussian_design.choose(**design)) == expected


@pytest.mark.parametrize('wrong, message', [
  ({'splat': 'fine'}, "splat must be exact or tiles, got 'fine'"),
  ({'kernels': 3}, 'gaussian_sr knows no kernels: choose from .*num_kernels'),
  ({'encoder': {'name': 'vgg'}}, "unknown encoder 'vgg'"),
  ({'gaussian_channels': 65}, 'must be 0 to 64, .* got 65'),
  ({'width': 7}, 'width must be even, cosines and sines, got 7'),
  ({'num_kernels': 0}, 'num_kernels must be at least 1 .*, got 0 and 1'),
  ({'temperature': 0.0}, 'temperature positive, got 100 and 0'),
  ({'sigmas': (1.0, 1.0)}, 'a least and a greater one'),
  ({'sigmas': (0.3, 0.6, 1.0)}, 'sigmas must be two'),
  ({'max_rho': 1.0}, 'max_rho must be at least 0 and below 1, got 1'),
  ({'radius': 2.5}, 'radius must be a whole number from 1, or None, got 2.5'),
  ({'kappa': -2}, 'kappa must not be negative, got -2'),
  ({'select': 'sfot', 'eval_select': 'argmax'}, "got .'sfot', 'argmax'"),
  ({'splat': 'tiles', 'select': 'mixture'}, "or take splat='exact'"),
])  # fmt: skip
def test_a_design_that_does_not_exist_is_told(wrong, message):
  with pytest.raises(ValueError, match=message):
    gaussian_design.choose(**wrong)
