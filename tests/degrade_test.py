"""Low resolution is made as the benchmarks make it, at any real scale."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from sr3d_jax import degrade, image


def _photo(height, width):
  return np.random.default_rng(0).random((height, width, 3), np.float32)


def test_degrade_crops_and_rounds_to_8_bits():
  hr = _photo(19, 14)
  lr, cropped = degrade.degrade(jnp.asarray(hr), 4)
  assert lr.shape == (4, 3, 3)
  np.testing.assert_array_equal(cropped, hr[:16, :12])
  np.testing.assert_allclose(lr * 255, np.round(lr * 255), atol=1e-4)
  shrunk = image.to_float(image.to_uint8(image.shrink(hr[:16, :12], 4)))
  np.testing.assert_array_equal(lr, shrunk)


@pytest.mark.parametrize(
  'scale, height, width, coarse, fine',
  [
    (1.1, 66, 33, (60, 30), (66, 33)),  # 66 / 1.1 is less than 60 in floats
    (3.3, 40, 34, (12, 10), (40, 33)),
    (2.5, 13, 12, (5, 4), (12, 10)),  # half to even, as Python rounds
    (1, 5, 7, (5, 7), (5, 7)),
  ],
)
def test_any_real_scale_says_how_large_both_are(
  scale, height, width, coarse, fine
):
  hr = _photo(height, width)
  lr, cropped = degrade.degrade(hr, scale)
  assert lr.shape[:2] == coarse
  np.testing.assert_array_equal(cropped, hr[: fine[0], : fine[1]])
  ((again, of),) = degrade.frozen_pairs([hr], scale)
  assert (again.shape, of.shape) == (lr.shape, cropped.shape)


def test_frozen_pairs_are_pillow_s_and_degrade_s_almost():
  photos = [_photo(30, 41), _photo(27, 27)]
  pairs = degrade.frozen_pairs(photos, 2.7)
  assert [lr.shape for lr, _ in pairs] == [(11, 15, 3), (10, 10, 3)]
  for photo, (lr, hr) in zip(photos, pairs):
    levels = np.asarray(image.to_uint8(photo))[: hr.shape[0], : hr.shape[1]]
    np.testing.assert_array_equal(hr, levels / np.float32(255))
    wanted = Image.fromarray(levels).resize(lr.shape[1::-1], Image.BICUBIC)
    np.testing.assert_array_equal(np.round(255 * lr), np.asarray(wanted))
    # it rounds to 8 bits between rows and columns as well
    ours, _ = degrade.degrade(image.to_float(image.to_uint8(photo)), 2.7)
    assert np.abs(255 * (ours - lr)).max() < 1.5


def test_what_cannot_be_shrunk_is_told():
  for make in (degrade.degrade, lambda hr, s: degrade.frozen_pairs([hr], s)):
    with pytest.raises(ValueError, match=r'at least 1, got 0\.5'):
      make(_photo(8, 8), 0.5)
    with pytest.raises(ValueError, match='8x30 px has no pixel left at 1 / 12'):
      make(_photo(8, 30), 12)
