// Attention of one new token of each sequence: a block a (head, sequence). Scores first, then their softmax, then the
// weighted values; the cache is read once.
//
// kernel                  threads  dynamic shared bytes
// step_attention_<real>   256      4 * (hs + most positions + 256 * 16 / sizeof(Real))
#include "common.cuh"

namespace {

constexpr int THREADS = 256;
constexpr int WARPS = THREADS / 32;

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

template <typename Combine>
__device__ float across_block(float x, float* scratch, Combine combine) {
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = x;
    __syncthreads();
    float all = scratch[0];
#pragma unroll
    for (int i = 1; i < WARPS; ++i) all = combine(all, scratch[i]);
    __syncthreads();
    return all;
}

// Four lanes share a position's score; all four get it.
template <typename Real>
__device__ void score(const uint8_t* keys, const float* query, float* scores, int positions, int parts) {
    constexpr int W = WIDE<Real>;
    int lane = threadIdx.x % 4;
    int rounds = (positions + THREADS / 4 - 1) / (THREADS / 4);
    for (int round = 0; round < rounds; ++round) {
        int position = round * (THREADS / 4) + threadIdx.x / 4;
        float sum = 0;
        if (position < positions) {
            const uint4* key = reinterpret_cast<const uint4*>(keys) + static_cast<int64_t>(position) * parts;
#pragma unroll 4
            for (int part = lane; part < parts; part += 4) {
                float numbers[W];
                widen<Real>(key[part], numbers);
#pragma unroll
                for (int i = 0; i < W; ++i) sum += query[part * W + i] * numbers[i];
            }
        }
        sum += __shfl_xor_sync(0xffffffffu, sum, 1);
        sum += __shfl_xor_sync(0xffffffffu, sum, 2);
        if (lane == 0 && position < positions) scores[position] = sum;
    }
}

// Scores become weights; gives one over their sum.
__device__ float soften(float* scores, int positions, float* scratch) {
    float most = -INFINITY;
    for (int i = threadIdx.x; i < positions; i += THREADS) most = fmaxf(most, scores[i]);
    most = across_block(warp_max(most), scratch, [](float a, float b) { return fmaxf(a, b); });
    float sum = 0;
    for (int i = threadIdx.x; i < positions; i += THREADS) {
        float weight = exp2f(scores[i] - most);
        scores[i] = weight;
        sum += weight;
    }
    return 1.0f / across_block(warp_sum(sum), scratch, [](float a, float b) { return a + b; });
}

template <typename Real>
__device__ void attend(const StepAttention& a) {
    constexpr int W = WIDE<Real>;
    extern __shared__ float4 memory[];
    __shared__ float scratch[WARPS];
    let_successor_start();
    wait_for_predecessor();
    int head = blockIdx.x, row = blockIdx.y;
    Row where = a.rows[row];
    if (where.sequence < 0) return;
    int hs = a.cache.hs, parts = hs / W, positions = where.position + 1;
    float* partial = reinterpret_cast<float*>(memory);  // [groups][hs], no more than THREADS * W
    float* query = partial + THREADS * W;
    float* scores = query + hs;
    int64_t first = (static_cast<int64_t>(where.sequence) * a.cache.heads + head) * a.cache.room * hs * sizeof(Real);
    const uint8_t* keys = static_cast<const uint8_t*>(a.cache.keys) + first;
    const uint8_t* values = static_cast<const uint8_t*>(a.cache.values) + first;
    int64_t place = static_cast<int64_t>(row) * a.ap + head * hs;
    // So that weights are powers of 2.
    float scale = a.scale * 1.4426950408889634f;
    for (int d = threadIdx.x; d < hs; d += THREADS) query[d] = to_float(static_cast<const Real*>(a.q)[place + d]) * scale;
    __syncthreads();
    score<Real>(keys, query, scores, positions, parts);
    __syncthreads();
    float inverse = soften(scores, positions, scratch);

    // Groups of `parts` threads take positions in turn.
    int groups = THREADS / parts, group = threadIdx.x / parts, part = threadIdx.x % parts;
    float sum[W] = {};
    if (group < groups) {
#pragma unroll 4
        for (int position = group; position < positions; position += groups) {
            float numbers[W];
            widen<Real>((reinterpret_cast<const uint4*>(values) + static_cast<int64_t>(position) * parts)[part], numbers);
            float weight = scores[position];
#pragma unroll
            for (int i = 0; i < W; ++i) sum[i] += weight * numbers[i];
        }
#pragma unroll
        for (int i = 0; i < W; ++i) partial[group * hs + part * W + i] = sum[i];
    }
    __syncthreads();
    for (int d = threadIdx.x; d < hs; d += THREADS) {
        float total = 0;
        for (int i = 0; i < min(groups, positions); ++i) total += partial[i * hs + d];
        static_cast<Real*>(a.out)[place + d] = from_float<Real>(total * inverse);
    }
}

}  // namespace

#define STEP_ATTENTION(name, Real)                                                                       \
    extern "C" __global__ void __launch_bounds__(THREADS) name(const __grid_constant__ StepAttention a) { \
        attend<Real>(a);                                                                                 \
    }

STEP_ATTENTION(step_attention_f32, float)
STEP_ATTENTION(step_attention_f16, half16)
STEP_ATTENTION(step_attention_bf16, bfloat16)
