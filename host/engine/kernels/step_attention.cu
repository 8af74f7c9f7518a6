// Attention of one new token of each sequence: a block a (head, sequence). The cache is read once, keys and values
// together, with the softmax kept up to date as it goes (Milakov and Gimelshein 2018).
//
// kernel                     heads of size  threads  dynamic shared bytes
// step_attention_<real>      up to 256      128      0        f16 and bf16
// step_attention_f32         up to 128      128      0
// step_attention_f32_large   up to 256      128      0
#include "attention.cuh"

namespace {

constexpr int THREADS = 128;
constexpr int WARPS = THREADS / 32;
constexpr int MOST_SIZE = 256;
constexpr int AHEAD = 4;  // positions that a thread reads at once

// A position is shared by `lanes` lanes, a power of 2, of which each has PARTS parts of 16 bytes.
template <typename Real, int PARTS>
__device__ void attend(const StepAttention& a) {
    constexpr int W = WIDE<Real>;
    __shared__ float values[WARPS][MOST_SIZE];
    __shared__ float highest[WARPS], weights[WARPS];
    let_successor_start();
    wait_for_predecessor();
    int head = blockIdx.x, row = blockIdx.y;
    Row where = a.rows[row];
    if (where.sequence < 0) return;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int hs = a.cache.hs, parts = hs / W, positions = where.position + 1;
    int lanes = 1;
    while (lanes * PARTS < parts) lanes *= 2;
    int first_part = lane % lanes, stride = THREADS / lanes;
    int first = threadIdx.x / lanes;
    const uint4 zero = make_uint4(0, 0, 0, 0);
    int64_t start = (static_cast<int64_t>(where.sequence) * a.cache.heads + head) * a.cache.room * parts;
    const uint4* keys = static_cast<const uint4*>(a.cache.keys) + start;
    const uint4* old_values = static_cast<const uint4*>(a.cache.values) + start;
    int64_t place = static_cast<int64_t>(row) * a.ap + head * hs;

    float query[PARTS][W];
    // So that weights are powers of 2.
    float scale = a.scale * 1.4426950408889634f;
#pragma unroll
    for (int j = 0; j < PARTS; ++j) {
        int part = first_part + j * lanes;
        uint4 raw = part < parts ? reinterpret_cast<const uint4*>(static_cast<const Real*>(a.q) + place)[part] : zero;
        widen<Real>(raw, query[j]);
#pragma unroll
        for (int i = 0; i < W; ++i) query[j][i] *= scale;
    }
    Seen<Real, PARTS> seen;
    // All lanes of a warp go round equally often: scores are summed across them.
    for (int base = 0; base < positions; base += AHEAD * stride) {
        uint4 k[AHEAD][PARTS], v[AHEAD][PARTS];
#pragma unroll
        for (int u = 0; u < AHEAD; ++u) {
            int position = base + u * stride + first;
#pragma unroll
            for (int j = 0; j < PARTS; ++j) {
                int part = first_part + j * lanes;
                bool there = position < positions && part < parts;
                int64_t at = static_cast<int64_t>(position) * parts + part;
                k[u][j] = there ? keys[at] : zero;
                v[u][j] = there ? old_values[at] : zero;
            }
        }
        float scores[AHEAD], numbers[W], top = seen.highest;
#pragma unroll
        for (int u = 0; u < AHEAD; ++u) {
            float score = 0;
#pragma unroll
            for (int j = 0; j < PARTS; ++j) {
                widen<Real>(k[u][j], numbers);
#pragma unroll
                for (int i = 0; i < W; ++i) score += query[j][i] * numbers[i];
            }
            for (int d = lanes / 2; d > 0; d /= 2) score += __shfl_xor_sync(0xffffffffu, score, d);
            scores[u] = base + u * stride + first < positions ? score : -INFINITY;
            top = fmaxf(top, scores[u]);
        }
        if (top == -INFINITY) continue;
        seen.take(scores, v, top);
    }
    // The positions of a warp together, then those of the warps.
    seen.join(lanes);
    if (lane < lanes) {
#pragma unroll
        for (int j = 0; j < PARTS; ++j) {
            int part = first_part + j * lanes;
            if (part >= parts) break;
#pragma unroll
            for (int i = 0; i < W; ++i) values[warp][part * W + i] = seen.values[j][i];
        }
    }
    if (lane == 0) {
        highest[warp] = seen.highest;
        weights[warp] = seen.weight;
    }
    __syncthreads();
    float factors[WARPS], total = 0;
    float top = highest[0];
#pragma unroll
    for (int i = 1; i < WARPS; ++i) top = fmaxf(top, highest[i]);
#pragma unroll
    for (int i = 0; i < WARPS; ++i) {
        factors[i] = exp2f(highest[i] - top);
        total += weights[i] * factors[i];
    }
    for (int d = threadIdx.x; d < hs; d += THREADS) {
        float sum = 0;
#pragma unroll
        for (int i = 0; i < WARPS; ++i) sum += values[i][d] * factors[i];
        static_cast<Real*>(a.out)[place + d] = from_float<Real>(__fdividef(sum, total));
    }
}

}  // namespace

#define STEP_ATTENTION(name, Real, PARTS)                                                                 \
    extern "C" __global__ void __launch_bounds__(THREADS) name(const __grid_constant__ StepAttention a) { \
        attend<Real, PARTS>(a);                                                                           \
    }

STEP_ATTENTION(step_attention_f16, half16, 1)
STEP_ATTENTION(step_attention_bf16, bfloat16, 1)
STEP_ATTENTION(step_attention_f32, float, 1)
STEP_ATTENTION(step_attention_f32_large, float, 2)
