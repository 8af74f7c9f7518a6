// Reading rows of an embedding, which has the layout of every matrix of its type.
#pragma once
#include "common.cuh"

// Where number (row, column) of a matrix of Real with dp columns is.
template <typename Real>
__device__ __forceinline__ const Real* matrix_place(const void* matrix, int dp, int row, int column) {
    if constexpr (sizeof(Real) == 4) {
        return static_cast<const Real*>(matrix) + static_cast<int64_t>(row) * dp + column;
    } else {
        int64_t block = static_cast<int64_t>(row / 8) * (dp / 32) + column / 32;
        return static_cast<const Real*>(matrix) + block * 256 + row % 8 * 32 + column % 32;
    }
}

// Four numbers from `column` on, a multiple of 4.
template <typename Real>
__device__ __forceinline__ float4 embedding(const void* matrix, int dp, int row, int column) {
    const Real* at = matrix_place<Real>(matrix, dp, row, column);
    if constexpr (sizeof(Real) == 4) {
        return *reinterpret_cast<const float4*>(at);
    } else {
        uint2 raw = *reinterpret_cast<const uint2*>(at);
        float2 low = unpack<Real>(raw.x), high = unpack<Real>(raw.y);
        return make_float4(low.x, low.y, high.x, high.y);
    }
}
