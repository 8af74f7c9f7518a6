// What all kernels share: types, waiting for the kernel before, the tensor cores' product, sums over a warp.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include "args.h"

using half16 = __half;
using bfloat16 = __nv_bfloat16;

// A kernel that is launched while its predecessor still runs (programmatic dependent launch) may read weights at once;
// what the predecessor wrote it may read, and memory that the predecessor reads it may write, only after this. Every
// kernel calls it, so that waiting for one predecessor is waiting for all.
__device__ __forceinline__ void wait_for_predecessor() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// Lets the successor start as soon as every block has come here or ended.
__device__ __forceinline__ void let_successor_start() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// Has the line of a weight read into the second-level cache: for what is read once, right after the predecessor has
// ended, when nothing hides how long memory takes.
__device__ __forceinline__ void prefetch(const void* address) {
    asm volatile("prefetch.global.L2 [%0];" ::"l"(address));
}
constexpr int FLOATS_OF_LINE = 32;

// Whether rows may come in two parts, as a Product says.
template <typename Real>
__host__ __device__ constexpr bool from_parts() {
    return false;
}
template <>
__host__ __device__ constexpr bool from_parts<bfloat16>() {
    return true;
}

template <typename Real>
__device__ __forceinline__ Real from_float(float x);
template <>
__device__ __forceinline__ float from_float<float>(float x) {
    return x;
}
template <>
__device__ __forceinline__ half16 from_float<half16>(float x) {
    return __float2half_rn(x);
}
template <>
__device__ __forceinline__ bfloat16 from_float<bfloat16>(float x) {
    return __float2bfloat16_rn(x);
}

// Two numbers of 16 bits in one register, the first one low.
template <typename Real>
__device__ __forceinline__ uint32_t pack(float low, float high);
template <>
__device__ __forceinline__ uint32_t pack<half16>(float low, float high) {
    __half2 pair = __floats2half2_rn(low, high);
    return *reinterpret_cast<uint32_t*>(&pair);
}
template <>
__device__ __forceinline__ uint32_t pack<bfloat16>(float low, float high) {
    __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<uint32_t*>(&pair);
}

template <typename Real>
__device__ __forceinline__ float2 unpack(uint32_t pair);
template <>
__device__ __forceinline__ float2 unpack<half16>(uint32_t pair) {
    return __half22float2(*reinterpret_cast<__half2*>(&pair));
}
template <>
__device__ __forceinline__ float2 unpack<bfloat16>(uint32_t pair) {
    return make_float2(__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u));
}

// d[16][8] += a[16][16] * b[8][16]^T on the tensor cores, sums in float. Lane 4g + t holds of a the rows g and g + 8 at
// columns {2t, 2t+1} (a0, a1) and {2t+8, 2t+9} (a2, a3), of b row g at the same columns (b0, b1), and of d the rows g
// (d0, d1) and g + 8 (d2, d3) at columns {2t, 2t+1}. Which column of k is called which is free, as long as a and b
// agree.
template <typename Real>
__device__ __forceinline__ void mma(float (&d)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0,
                                    uint32_t b1);
template <>
__device__ __forceinline__ void mma<half16>(float (&d)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3,
                                            uint32_t b0, uint32_t b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
template <>
__device__ __forceinline__ void mma<bfloat16>(float (&d)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3,
                                              uint32_t b0, uint32_t b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// Sum over all lanes of a warp; every lane gets the same number.
__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
    for (int lane = 16; lane > 0; lane /= 2) x += __shfl_xor_sync(0xffffffffu, x, lane);
    return x;
}

// GELU (Hendrycks and Gimpel 2016): exact, or by section 2's approximation, in which (1 + tanh(u)) / 2 is written as
// 1 / (1 + exp(-2u)).
__device__ __forceinline__ float gelu(float x, int by_erf) {
    if (by_erf) return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
    float u = 0.79788456080286536f * (x + 0.044715f * x * x * x);
    return __fdividef(x, 1.0f + __expf(-2.0f * u));
}

// Blocks of 32 columns of a product's weights, in 16 bits.
template <typename Real>
__device__ __forceinline__ int weight_blocks(const Product& p) {
    return (from_parts<Real>() ? p.kw : p.kp) / 32;
}

// Which of them meets a block of columns of the activations.
template <typename Real>
__device__ __forceinline__ int weight_block(const Product& p, int k_block) {
    if constexpr (from_parts<Real>()) {
        int blocks = p.kw / 32;
        return k_block < blocks ? k_block : k_block - blocks;
    }
    return k_block;
}

// A read of weights, which nothing else reads in this pass: leave the first-level cache to what is read again.
__device__ __forceinline__ uint4 load_once(const void* address) {
    uint4 value;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
                 : "l"(address));
    return value;
}

// Where output n of a row goes whose outputs are queries, keys and values. Two neighbouring outputs (n even) go to
// neighbouring places.
template <typename Real>
__device__ __forceinline__ Real* qkv_place(const Product& p, int row, Row where, int n) {
    int width = p.cache.heads * p.cache.hs;
    int part = n / width, rest = n - part * width;
    if (part == 0) return static_cast<Real*>(p.out) + static_cast<int64_t>(row) * p.ap + rest;
    if (part > 2 || where.sequence < 0) return nullptr;
    int head = rest / p.cache.hs, d = rest - head * p.cache.hs;
    Real* base = static_cast<Real*>(part == 1 ? p.cache.keys : p.cache.values);
    return base +
           ((static_cast<int64_t>(where.sequence) * p.cache.heads + head) * p.cache.room + where.position) *
               p.cache.hs +
           d;
}
