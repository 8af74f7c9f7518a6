// Layer norm of a product's few input rows, kept in shared memory. A warp takes a row, which it reads once.
#pragma once
#include "common.cuh"

// A lane's share of a row of the residual stream: QUADS times four numbers.
template <int QUADS>
__device__ __forceinline__ void read_row(const Product& p, int row, float4 (&v)[QUADS]) {
    int lane = threadIdx.x % 32;
    const float* a = static_cast<const float*>(p.a) + static_cast<int64_t>(row) * p.kp;
    const float4* x = reinterpret_cast<const float4*>(a);
#pragma unroll
    for (int i = 0; i < QUADS; ++i) {
        int quad = lane + 32 * i;
        v[i] = 4 * quad < p.kp ? x[quad] : make_float4(0, 0, 0, 0);
    }
}

// Norms a row that was read. Rows of `normed` lie so far apart that eight lanes of two rows read all banks.
template <typename Real, int QUADS>
__device__ __forceinline__ void norm_row(const Product& p, int row, float4 (&v)[QUADS], const float4* weights,
                                         const float4* biases, Real* normed) {
    int lane = threadIdx.x % 32;
    float sum = 0;
    // Padding is 0, so it does not count here.
#pragma unroll
    for (int i = 0; i < QUADS; ++i) sum += v[i].x + v[i].y + (v[i].z + v[i].w);
    float mean = warp_sum(sum) / static_cast<float>(p.width);
    float squares = 0;
#pragma unroll
    for (int i = 0; i < QUADS; ++i) {
        int column = 4 * (lane + 32 * i);
        v[i] = make_float4(v[i].x - mean, v[i].y - mean, v[i].z - mean, v[i].w - mean);
        if (column < p.width) squares += v[i].x * v[i].x;
        if (column + 1 < p.width) squares += v[i].y * v[i].y;
        if (column + 2 < p.width) squares += v[i].z * v[i].z;
        if (column + 3 < p.width) squares += v[i].w * v[i].w;
    }
    float scale = rsqrtf(warp_sum(squares) / static_cast<float>(p.width) + p.epsilon);
#pragma unroll
    for (int i = 0; i < QUADS; ++i) {
        int quad = lane + 32 * i;
        if (4 * quad >= p.kp) break;
        float4 weight = weights[quad], bias = biases[quad];
        uint32_t low = pack<Real>(v[i].x * scale * weight.x + bias.x, v[i].y * scale * weight.y + bias.y);
        uint32_t high = pack<Real>(v[i].z * scale * weight.z + bias.z, v[i].w * scale * weight.w + bias.w);
        *reinterpret_cast<uint2*>(normed + row * (p.kp + 32) + 4 * quad) = make_uint2(low, high);
    }
}

template <typename Real, int QUADS, int WARPS>
__device__ __forceinline__ void norm_rows(const Product& p, const float4* weights, const float4* biases, Real* normed) {
    for (int row = threadIdx.x / 32; row < p.m; row += WARPS) {
        float4 v[QUADS];
        read_row<QUADS>(p, row, v);
        norm_row<Real, QUADS>(p, row, v, weights, biases, normed);
    }
}
