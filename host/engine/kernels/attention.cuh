// What the kernels that attend for one new token share.
#pragma once
#include "common.cuh"

// Numbers of a Real in 16 bytes.
template <typename Real>
constexpr int WIDE = 16 / static_cast<int>(sizeof(Real));

template <typename Real>
__device__ __forceinline__ void widen(uint4 raw, float (&numbers)[WIDE<Real>]) {
    uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        if constexpr (sizeof(Real) == 4) {
            numbers[i] = __uint_as_float(words[i]);
        } else {
            float2 pair = unpack<Real>(words[i]);
            numbers[2 * i] = pair.x;
            numbers[2 * i + 1] = pair.y;
        }
    }
}

// What a thread has seen: of its 16-byte parts of the values, the sum weighted by powers of 2 of the scores less the
// highest.
template <typename Real, int PARTS>
struct Seen {
    float highest = -INFINITY;
    float weight = 0;
    float values[PARTS][WIDE<Real>] = {};

    __device__ __forceinline__ void rescale(float to) {
        float factor = highest == -INFINITY ? 0.0f : exp2f(highest - to);
        highest = to;
        weight *= factor;
#pragma unroll
        for (int part = 0; part < PARTS; ++part) {
#pragma unroll
            for (int i = 0; i < WIDE<Real>; ++i) values[part][i] *= factor;
        }
    }

    // Adds positions' values by their scores, of which `top` is the highest together with those seen before; -INFINITY
    // is the score of a position that there is not.
    template <int AHEAD>
    __device__ __forceinline__ void take(const float (&scores)[AHEAD], const uint4 (&raw)[AHEAD][PARTS], float top) {
        rescale(top);
        float numbers[WIDE<Real>];
#pragma unroll
        for (int u = 0; u < AHEAD; ++u) {
            float share = exp2f(scores[u] - top);
            weight += share;
#pragma unroll
            for (int part = 0; part < PARTS; ++part) {
                widen<Real>(raw[u][part], numbers);
#pragma unroll
                for (int i = 0; i < WIDE<Real>; ++i) values[part][i] += share * numbers[i];
            }
        }
    }

    // What all lanes of a warp have seen of the same parts, `lanes` lanes apart.
    __device__ __forceinline__ void join(int lanes) {
        float top = highest;
        for (int d = lanes; d < 32; d *= 2) top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, d));
        rescale(top);
        for (int d = lanes; d < 32; d *= 2) {
            weight += __shfl_xor_sync(0xffffffffu, weight, d);
#pragma unroll
            for (int part = 0; part < PARTS; ++part) {
#pragma unroll
                for (int i = 0; i < WIDE<Real>; ++i) {
                    values[part][i] += __shfl_xor_sync(0xffffffffu, values[part][i], d);
                }
            }
        }
    }
};
