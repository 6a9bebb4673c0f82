// The constants of compositing: those of ../constants.py, which a test
// compares.

#pragma once

namespace sr3d {

constexpr float kAlphaMin = 1.0f / 255;
constexpr float kAlphaMax = 0.99f;
constexpr float kTransmittanceMin = 1e-4f;

constexpr int kTile = 16;  // px, both ways; a column of a tile has a lane a row

}  // namespace sr3d
