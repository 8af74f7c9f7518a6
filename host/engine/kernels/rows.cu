// Rows of the residual stream: embeddings, sums of what a product left in parts, layer norm. One block a row.
//
// kernel       threads  dynamic shared bytes
// rows_<real>  192      4 * dp
#include "common.cuh"
#include "embedding.cuh"
#include "rows.h"

namespace {

constexpr int THREADS = 192;
constexpr int WARPS = THREADS / 32;

__device__ float block_sum(float x, float* scratch) {
    x = warp_sum(x);
    __syncthreads();
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = x;
    __syncthreads();
    float sum = 0;
#pragma unroll
    for (int i = 0; i < WARPS; ++i) sum += scratch[i];
    return sum;
}

// Mean of the squared distances from the mean, in two passes.
template <typename Real>
__device__ void norm(const Rows& r, const float* x, Real* out, float* scratch) {
    float sum = 0;
    for (int c = threadIdx.x; c < r.width; c += THREADS) sum += x[c];
    float mean = block_sum(sum, scratch) / static_cast<float>(r.width);
    float squares = 0;
    for (int c = threadIdx.x; c < r.width; c += THREADS) squares += (x[c] - mean) * (x[c] - mean);
    float variance = block_sum(squares, scratch) / static_cast<float>(r.width);
    float scale = rsqrtf(variance + r.epsilon);
    for (int c = 4 * threadIdx.x; c < r.dp; c += 4 * THREADS) {
        float4 v = *reinterpret_cast<const float4*>(x + c);
        float4 weight = *reinterpret_cast<const float4*>(r.norm_weight + c);
        float4 bias = *reinterpret_cast<const float4*>(r.norm_bias + c);
        v.x = (v.x - mean) * scale * weight.x + bias.x;
        v.y = (v.y - mean) * scale * weight.y + bias.y;
        v.z = (v.z - mean) * scale * weight.z + bias.z;
        v.w = (v.w - mean) * scale * weight.w + bias.w;
        if constexpr (sizeof(Real) == 4) {
            *reinterpret_cast<float4*>(out + c) = v;
        } else {
            uint2 rounded = make_uint2(pack<Real>(v.x, v.y), pack<Real>(v.z, v.w));
            *reinterpret_cast<uint2*>(out + c) = rounded;
            if (!from_parts<Real>() || r.parts == 1) continue;
            float2 low = unpack<Real>(rounded.x), high = unpack<Real>(rounded.y);
            *reinterpret_cast<uint2*>(out + r.dp + c) =
                make_uint2(pack<Real>(v.x - low.x, v.y - low.y), pack<Real>(v.z - high.x, v.w - high.y));
        }
    }
}

// Of a row, what a product left in parts, of which several are read at once.
__device__ __forceinline__ float4 sum_of_parts(const Rows& r, int64_t row, int c) {
    constexpr int AT_ONCE = 8;
    float4 sum = *reinterpret_cast<const float4*>(r.bias + c);
    for (int first = 0; first < r.splits; first += AT_ONCE) {
        float4 parts[AT_ONCE];
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            const float* part = r.partials + (static_cast<int64_t>(first + i) * r.partial_rows + row) * r.dp + c;
            parts[i] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            if (first + i < r.splits) parts[i] = *reinterpret_cast<const float4*>(part);
        }
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            sum = make_float4(sum.x + parts[i].x, sum.y + parts[i].y, sum.z + parts[i].z, sum.w + parts[i].w);
        }
    }
    return sum;
}

// By one block: it is for all.
__device__ __forceinline__ void prefetch_weights(const Rows& r) {
    if (blockIdx.x > 0) return;
    for (int c = threadIdx.x * FLOATS_OF_LINE; c < r.dp; c += THREADS * FLOATS_OF_LINE) {
        if (r.partials) prefetch(r.bias + c);
        if (r.out) prefetch(r.norm_weight + c);
        if (r.out) prefetch(r.norm_bias + c);
    }
}

template <typename Real>
__device__ void work(const Rows& r) {
    extern __shared__ float4 memory[];
    __shared__ float scratch[WARPS];
    float* kept = reinterpret_cast<float*>(memory);
    let_successor_start();
    prefetch_weights(r);
    wait_for_predecessor();
    int row = blockIdx.x;
    int64_t source = r.picks ? r.picks[row + 1] - 1 : row;
    float* x = r.x + source * r.dp;
    int token = r.tokens ? r.tokens[row] : 0;
    int position = r.tokens ? r.rows[row].position : 0;
    for (int c = 4 * threadIdx.x; c < r.dp; c += 4 * THREADS) {
        float4 v;
        if (r.tokens) {
            float4 a = embedding<Real>(r.token_embedding, r.dp, token, c);
            float4 b = embedding<Real>(r.position_embedding, r.dp, position, c);
            v = make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
        } else {
            v = *reinterpret_cast<const float4*>(x + c);
        }
        if (r.partials) {
            float4 sum = sum_of_parts(r, source, c);
            v = make_float4(v.x + sum.x, v.y + sum.y, v.z + sum.z, v.w + sum.w);
        }
        // Where rows are picked, the stream goes no further than the norm.
        if (!r.picks) *reinterpret_cast<float4*>(x + c) = v;
        *reinterpret_cast<float4*>(kept + c) = v;
    }
    __syncthreads();
    if (r.out) norm<Real>(r, kept, static_cast<Real*>(r.out) + static_cast<int64_t>(row) * r.parts * r.dp, scratch);
}

}  // namespace

#define ROWS(name, Real)                                                                         \
    extern "C" __global__ void __launch_bounds__(THREADS) name(const __grid_constant__ Rows r) { \
        work<Real>(r);                                                                           \
    }

ROWS(rows_f32, float)
ROWS(rows_f16, half16)
ROWS(rows_bf16, bfloat16)
