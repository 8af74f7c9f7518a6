// Causal attention of prompts over themselves, with the softmax as in Dao et al. 2022 (FlashAttention): the scores are
// never in memory. Parameter: PromptAttention. Threads: 128. Tile: 64 queries.
// Grid: x = tiles of the longest sequence's queries, y = heads, z = sequences. Take the first kernel with size >= hs.
//
// kernel                      size  keys a step  dynamic shared bytes
// prompt_attention_32_f16       32           64        20480
// prompt_attention_64_f16       64           64        40960
// prompt_attention_96_f16       96           64        61440
// prompt_attention_128_f16     128           64        81920
// prompt_attention_256_f16     256           32        98304
// prompt_attention_<size>_bf16: as f16
// prompt_attention_64_f32       64           32        34816
// prompt_attention_128_f32     128           32        67584
// prompt_attention_256_f32     256           32       133120
#include <math_constants.h>
#include "common.cuh"
#include "shared_memory.cuh"

namespace prompt_attention {

constexpr int THREADS = 128;
constexpr int WARPS = THREADS / 32;
constexpr int QUERIES = 64;

constexpr int BLOCK_NUMBERS = BLOCK_WIDTH / 2;

constexpr float LOG2_E = 1.4426950408889634f;

extern __shared__ __align__(128) char shared_memory[];

// One block's part: a tile of queries of one head of one sequence.
template <typename Real>
struct Work {
    const Real *keys, *values;
    int start;  // the row of the first query
    int length;
    int first_query;

    __device__ __forceinline__ explicit Work(const PromptAttention& p) {
        start = p.starts[blockIdx.z];
        length = p.starts[blockIdx.z + 1] - start;
        // The last queries have the most keys: they begin first, so as not to end last.
        first_query = (gridDim.x - 1 - blockIdx.x) * QUERIES;
        int64_t head = static_cast<int64_t>(p.slots[blockIdx.z]) * p.cache.heads + blockIdx.y;
        int64_t cached = head * p.cache.room * p.cache.hs;
        keys = static_cast<const Real*>(p.cache.keys) + cached;
        values = static_cast<const Real*>(p.cache.values) + cached;
    }

    // Where this head's part of a query or of its output is, counted from all queries' beginning.
    __device__ __forceinline__ int64_t place(const PromptAttention& p, int query) const {
        return static_cast<int64_t>(start + query) * p.ap + blockIdx.y * p.cache.hs;
    }

    // How many steps over keys the tile's last query needs.
    __device__ __forceinline__ int steps(int keys_a_step) const {
        return (min(length, first_query + QUERIES) + keys_a_step - 1) / keys_a_step;
    }
};

// Rows of hs numbers to blocks [ROWS / 8][SIZE / 32], with zeros beyond hs and beyond the rows that there are.
template <typename Real, int ROWS, int SIZE>
__device__ __forceinline__ void copy_blocks(uint32_t shared, const Real* source, int row_stride, int rows, int hs) {
    constexpr int BLOCKS_OF_ROW = SIZE / BLOCK_NUMBERS, BLOCKS = ROWS / BLOCK_ROWS * BLOCKS_OF_ROW;
    static_assert(BLOCKS % WARPS == 0, "every warp copies as many blocks");
    int warp = threadIdx.x / 32, row_in_block = threadIdx.x % 32 / 4, chunk = threadIdx.x % 4;
    uint32_t target = shared + place_in_block(row_in_block, chunk);
#pragma unroll
    for (int i = 0; i < BLOCKS / WARPS; i++) {
        int block = i * WARPS + warp;
        int row = block / BLOCKS_OF_ROW * BLOCK_ROWS + row_in_block;
        int d = block % BLOCKS_OF_ROW * BLOCK_NUMBERS + chunk * 8;
        copy_16_bytes(target + block * BLOCK_BYTES, source + static_cast<int64_t>(row) * row_stride + d,
                      row < rows && d < hs);
    }
}

// As load_matrices, but lane 4g + t gets of each matrix of 8 by 8 numbers the numbers 2t and 2t + 1 of column g.
__device__ __forceinline__ uint4 load_matrices_transposed(uint32_t shared) {
    uint4 x;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
                 : "r"(shared)
                 : "memory");
    return x;
}

// exp2f without its care for results that are no normal numbers, which weigh nothing here.
__device__ __forceinline__ float power_of_2(float x) {
    float power;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
    return power;
}

// The state of a warp's 16 queries. Lane 4g + t has queries g and g + 8 (index 0 and 1).
template <int SIZE>
struct Softmax {
    float sums[SIZE / 8][4];  // of weights times values
    float weights[2];         // this lane's part of the sum of weights
    float maxima[2];
};

// Scores of 16 queries and KEYS keys. A query's and a key's blocks are two steps of two chunks.
template <typename Real, int SIZE, int KEYS>
__device__ __forceinline__ void score(float (&scores)[KEYS / 8][4], const uint4 (&q)[SIZE / 16], uint32_t keys) {
    constexpr int GROUP_BYTES = SIZE / BLOCK_NUMBERS * BLOCK_BYTES;
    uint32_t place = keys + place_in_block(threadIdx.x % 8, threadIdx.x % 32 / 8);
#pragma unroll
    for (int block = 0; block < SIZE / BLOCK_NUMBERS; block++) {
        uint4 first = q[2 * block], second = q[2 * block + 1];
#pragma unroll
        for (int j = 0; j < KEYS / 8; j++) {
            uint4 k = load_matrices(place + j * GROUP_BYTES + block * BLOCK_BYTES);
            mma<Real>(scores[j], first.x, first.y, first.z, first.w, k.x, k.y);
            mma<Real>(scores[j], second.x, second.y, second.z, second.w, k.z, k.w);
        }
    }
}

// `first` is how many keys after the query of index 0 this lane's first key is.
template <int N>
__device__ __forceinline__ void hide_later_keys(float (&scores)[N][4], int first) {
#pragma unroll
    for (int j = 0; j < N; j++) {
#pragma unroll
        for (int e = 0; e < 4; e++) {
            if (first + 8 * j + e % 2 > e / 2 * 8) scores[j][e] = -CUDART_INF_F;
        }
    }
}

template <int N>
__device__ __forceinline__ float row_maximum(const float (&scores)[N][4], int index, float maximum) {
#pragma unroll
    for (int j = 0; j < N; j++) maximum = fmaxf(maximum, fmaxf(scores[j][2 * index], scores[j][2 * index + 1]));
    maximum = fmaxf(maximum, __shfl_xor_sync(0xffffffffu, maximum, 1));
    return fmaxf(maximum, __shfl_xor_sync(0xffffffffu, maximum, 2));
}

// Makes weights of the scores, and what was summed before relative to the new maxima. `scale` is positive, and for
// powers of 2.
template <int SIZE, int N>
__device__ __forceinline__ void weigh(Softmax<SIZE>& state, float (&scores)[N][4], float scale) {
#pragma unroll
    for (int index = 0; index < 2; index++) {
        float maximum = row_maximum(scores, index, state.maxima[index]);
        float correction = power_of_2((state.maxima[index] - maximum) * scale);
        state.maxima[index] = maximum;
        state.weights[index] *= correction;
#pragma unroll
        for (int i = 0; i < SIZE / 8; i++) {
            state.sums[i][2 * index] *= correction;
            state.sums[i][2 * index + 1] *= correction;
        }
#pragma unroll
        for (int j = 0; j < N; j++) {
#pragma unroll
            for (int e = 2 * index; e < 2 * index + 2; e++) {
                scores[j][e] = power_of_2(fmaf(scores[j][e], scale, -maximum * scale));
                state.weights[index] += scores[j][e];
            }
        }
    }
}

// Sums of weights times values. Two groups of 8 keys of the scores' layout are 16 keys of a factor's.
template <typename Real, int SIZE, int KEYS>
__device__ __forceinline__ void add_values(Softmax<SIZE>& state, const float (&weights)[KEYS / 8][4], uint32_t values) {
    constexpr int GROUP_BYTES = SIZE / BLOCK_NUMBERS * BLOCK_BYTES;
    int row = threadIdx.x % 8, matrix = threadIdx.x % 32 / 8;
    uint32_t group = values + matrix % 2 * GROUP_BYTES;
    uint32_t places[2] = {group + place_in_block(row, matrix / 2), group + place_in_block(row, 2 + matrix / 2)};
#pragma unroll
    for (int k = 0; k < KEYS / 16; k++) {
        const float(&low)[4] = weights[2 * k];
        const float(&high)[4] = weights[2 * k + 1];
        uint32_t a0 = pack<Real>(low[0], low[1]), a1 = pack<Real>(low[2], low[3]);
        uint32_t a2 = pack<Real>(high[0], high[1]), a3 = pack<Real>(high[2], high[3]);
#pragma unroll
        for (int i = 0; i < SIZE / 16; i++) {
            uint4 v = load_matrices_transposed(places[i % 2] + k * 2 * GROUP_BYTES + i / 2 * BLOCK_BYTES);
            mma<Real>(state.sums[2 * i], a0, a1, a2, a3, v.x, v.y);
            mma<Real>(state.sums[2 * i + 1], a0, a1, a2, a3, v.z, v.w);
        }
    }
}

template <int SIZE>
__device__ __forceinline__ void load_queries(uint4 (&q)[SIZE / 16], uint32_t shared) {
    constexpr int GROUP_BYTES = SIZE / BLOCK_NUMBERS * BLOCK_BYTES;
    int warp = threadIdx.x / 32, row = threadIdx.x % 8, matrix = threadIdx.x % 32 / 8;
    uint32_t group = shared + (2 * warp + matrix % 2) * GROUP_BYTES;
#pragma unroll
    for (int i = 0; i < SIZE / 16; i++) {
        q[i] = load_matrices(group + i / 2 * BLOCK_BYTES + place_in_block(row, i % 2 * 2 + matrix / 2));
    }
}

template <typename Real, int SIZE>
__device__ __forceinline__ void store_queries(const PromptAttention& p, const Work<Real>& work,
                                              const Softmax<SIZE>& state, int first_query) {
    int column = threadIdx.x % 4 * 2;
#pragma unroll
    for (int index = 0; index < 2; index++) {
        float weight = state.weights[index];
        weight += __shfl_xor_sync(0xffffffffu, weight, 1);
        weight += __shfl_xor_sync(0xffffffffu, weight, 2);
        float factor = 1.0f / weight;
        int query = first_query + 8 * index;
        if (query >= work.length) continue;
        Real* out = static_cast<Real*>(p.out) + work.place(p, query) + column;
#pragma unroll
        for (int i = 0; i < SIZE / 8; i++) {
            if (8 * i >= p.cache.hs) continue;
            uint32_t pair = pack<Real>(state.sums[i][2 * index] * factor, state.sums[i][2 * index + 1] * factor);
            *reinterpret_cast<uint32_t*>(out + 8 * i) = pair;
        }
    }
}

// Keys and values of one step, to the half of the ring that is its turn.
template <typename Real, int SIZE, int KEYS>
__device__ __forceinline__ void copy_step(uint32_t ring, const Work<Real>& work, int hs, int step) {
    constexpr int STEP_BYTES = KEYS * SIZE * 2;
    uint32_t target = ring + step % 2 * (2 * STEP_BYTES);
    int first = step * KEYS, rows = work.length - first;
    int64_t offset = static_cast<int64_t>(first) * hs;
    copy_blocks<Real, KEYS, SIZE>(target, work.keys + offset, hs, rows, hs);
    copy_blocks<Real, KEYS, SIZE>(target + STEP_BYTES, work.values + offset, hs, rows, hs);
    end_copy_group();
}

template <typename Real, int SIZE, int KEYS>
__device__ __forceinline__ void attend_on_tensor_cores(const PromptAttention& p) {
    constexpr int STEP_BYTES = KEYS * SIZE * 2;
    let_successor_start();
    wait_for_predecessor();
    Work<Real> work(p);
    if (work.first_query >= work.length) return;
    int hs = p.cache.hs, steps = work.steps(KEYS);
    uint32_t queries = shared_address(shared_memory), ring = queries + QUERIES * SIZE * 2;
    copy_blocks<Real, QUERIES, SIZE>(queries, static_cast<const Real*>(p.q) + work.place(p, work.first_query), p.ap,
                                     work.length - work.first_query, hs);
    end_copy_group();
    copy_step<Real, SIZE, KEYS>(ring, work, hs, 0);
    wait_for_copy_groups<1>();
    __syncthreads();
    uint4 q[SIZE / 16];
    load_queries<SIZE>(q, queries);

    int lane = threadIdx.x % 32;
    int warp_query = work.first_query + threadIdx.x / 32 * 16, first_query = warp_query + lane / 4;
    float scale = p.scale * LOG2_E;
    Softmax<SIZE> state = {{}, {}, {-CUDART_INF_F, -CUDART_INF_F}};
#pragma unroll 1
    for (int step = 0; step < steps; step++) {
        wait_for_copy_groups<0>();
        __syncthreads();
        if (step + 1 < steps) copy_step<Real, SIZE, KEYS>(ring, work, hs, step + 1);
        uint32_t keys = ring + step % 2 * (2 * STEP_BYTES);
        float scores[KEYS / 8][4] = {};
        score<Real, SIZE, KEYS>(scores, q, keys);
        int first_key = step * KEYS;
        if (first_key + KEYS - 1 > warp_query) hide_later_keys(scores, first_key + lane % 4 * 2 - first_query);
        weigh(state, scores, scale);
        add_values<Real, SIZE, KEYS>(state, scores, keys + STEP_BYTES);
    }
    store_queries<Real, SIZE>(p, work, state, first_query);
}

constexpr int EXACT_KEYS = 32;
constexpr int LANES = 4;  // work at one pair of queries
constexpr int KEYS_OF_LANE = EXACT_KEYS / LANES;

// The rows' stride is 4 more than SIZE, so that 8 rows' chunks of one column lie in different banks.
template <int SIZE, int ROWS>
__device__ __forceinline__ void copy_rows(const float* shared, const float* source, int row_stride, int rows, int hs) {
    constexpr int CHUNKS = SIZE / 4;
    uint32_t target = shared_address(shared);
#pragma unroll 4
    for (int i = threadIdx.x; i < ROWS * CHUNKS; i += THREADS) {
        int row = i / CHUNKS, d = i % CHUNKS * 4;
        copy_16_bytes(target + (row * (SIZE + 4) + d) * 4, source + static_cast<int64_t>(row) * row_stride + d,
                      row < rows && d < hs);
    }
}

__device__ __forceinline__ float add_products(float4 a, float4 b, float sum) {
    return fmaf(a.w, b.w, fmaf(a.z, b.z, fmaf(a.y, b.y, fmaf(a.x, b.x, sum))));
}

__device__ __forceinline__ void add_scaled(float4& sum, float factor, float4 x) {
    sum.x = fmaf(factor, x.x, sum.x);
    sum.y = fmaf(factor, x.y, sum.y);
    sum.z = fmaf(factor, x.z, sum.z);
    sum.w = fmaf(factor, x.w, sum.w);
}

__device__ __forceinline__ float4 scaled(float4 x, float factor) {
    return make_float4(x.x * factor, x.y * factor, x.z * factor, x.w * factor);
}

// Lane l of 4 has two queries, of the scores those with keys l, l + 4, ..., of the sums the chunks l, l + 4, ...
template <int SIZE>
struct ExactSoftmax {
    float4 sums[2][SIZE / 16];
    float weights[2];
    float maxima[2];
};

template <int SIZE>
__device__ __forceinline__ void score_exactly(float (&scores)[2][KEYS_OF_LANE], const float* queries,
                                              const float* keys) {
    constexpr int STRIDE = SIZE + 4;
#pragma unroll 4
    for (int d = 0; d < SIZE; d += 4) {
        float4 first = *reinterpret_cast<const float4*>(queries + d);
        float4 second = *reinterpret_cast<const float4*>(queries + 8 * STRIDE + d);
#pragma unroll
        for (int j = 0; j < KEYS_OF_LANE; j++) {
            float4 key = *reinterpret_cast<const float4*>(keys + j * LANES * STRIDE + d);
            scores[0][j] = add_products(first, key, scores[0][j]);
            scores[1][j] = add_products(second, key, scores[1][j]);
        }
    }
}

template <int SIZE>
__device__ __forceinline__ void weigh_exactly(ExactSoftmax<SIZE>& state, float (&scores)[2][KEYS_OF_LANE],
                                              float scale) {
#pragma unroll
    for (int index = 0; index < 2; index++) {
        float maximum = state.maxima[index];
#pragma unroll
        for (int j = 0; j < KEYS_OF_LANE; j++) maximum = fmaxf(maximum, scores[index][j]);
        maximum = fmaxf(maximum, __shfl_xor_sync(0xffffffffu, maximum, 1));
        maximum = fmaxf(maximum, __shfl_xor_sync(0xffffffffu, maximum, 2));
        float correction = power_of_2((state.maxima[index] - maximum) * scale);
        state.maxima[index] = maximum;
        state.weights[index] *= correction;
#pragma unroll
        for (int i = 0; i < SIZE / 16; i++) state.sums[index][i] = scaled(state.sums[index][i], correction);
#pragma unroll
        for (int j = 0; j < KEYS_OF_LANE; j++) {
            scores[index][j] = power_of_2(fmaf(scores[index][j], scale, -maximum * scale));
            state.weights[index] += scores[index][j];
        }
    }
}

template <int SIZE>
__device__ __forceinline__ void add_values_exactly(ExactSoftmax<SIZE>& state, const float (&weights)[2][KEYS_OF_LANE],
                                                   const float* values) {
    int first_lane = threadIdx.x % 32 / LANES * LANES;
#pragma unroll
    for (int j = 0; j < KEYS_OF_LANE; j++) {
#pragma unroll
        for (int l = 0; l < LANES; l++) {
            float first = __shfl_sync(0xffffffffu, weights[0][j], first_lane + l);
            float second = __shfl_sync(0xffffffffu, weights[1][j], first_lane + l);
#pragma unroll
            for (int i = 0; i < SIZE / 16; i++) {
                const float* chunk = values + (j * LANES + l) * (SIZE + 4) + i * LANES * 4;
                float4 value = *reinterpret_cast<const float4*>(chunk);
                add_scaled(state.sums[0][i], first, value);
                add_scaled(state.sums[1][i], second, value);
            }
        }
    }
}

template <int SIZE>
__device__ __forceinline__ void store_exactly(const PromptAttention& p, const Work<float>& work,
                                              const ExactSoftmax<SIZE>& state, int first_query) {
    int first_d = threadIdx.x % LANES * 4;
#pragma unroll
    for (int index = 0; index < 2; index++) {
        float weight = state.weights[index];
        weight += __shfl_xor_sync(0xffffffffu, weight, 1);
        weight += __shfl_xor_sync(0xffffffffu, weight, 2);
        int query = first_query + 8 * index;
        if (query >= work.length) continue;
        float* out = static_cast<float*>(p.out) + work.place(p, query) + first_d;
#pragma unroll
        for (int i = 0; i < SIZE / 16; i++) {
            if (16 * i >= p.cache.hs) continue;
            *reinterpret_cast<float4*>(out + 16 * i) = scaled(state.sums[index][i], 1.0f / weight);
        }
    }
}

template <int SIZE>
__device__ __forceinline__ void attend_exactly(const PromptAttention& p) {
    constexpr int STRIDE = SIZE + 4;
    let_successor_start();
    wait_for_predecessor();
    Work<float> work(p);
    if (work.first_query >= work.length) return;
    int hs = p.cache.hs, steps = work.steps(EXACT_KEYS);
    float* queries = reinterpret_cast<float*>(shared_memory);
    float* keys = queries + QUERIES * STRIDE;
    float* values = keys + EXACT_KEYS * STRIDE;
    copy_rows<SIZE, QUERIES>(queries, static_cast<const float*>(p.q) + work.place(p, work.first_query), p.ap,
                             work.length - work.first_query, hs);

    int lane = threadIdx.x % LANES, tile_query = threadIdx.x / 32 * 16 + threadIdx.x % 32 / LANES;
    int first_query = work.first_query + tile_query;
    float scale = p.scale * LOG2_E;
    ExactSoftmax<SIZE> state = {{}, {}, {-CUDART_INF_F, -CUDART_INF_F}};
    for (int step = 0; step < steps; step++) {
        int first = step * EXACT_KEYS, rows = work.length - first;
        copy_rows<SIZE, EXACT_KEYS>(keys, work.keys + static_cast<int64_t>(first) * hs, hs, rows, hs);
        copy_rows<SIZE, EXACT_KEYS>(values, work.values + static_cast<int64_t>(first) * hs, hs, rows, hs);
        end_copy_group();
        wait_for_copy_groups<0>();
        __syncthreads();
        float scores[2][KEYS_OF_LANE] = {};
        score_exactly<SIZE>(scores, queries + tile_query * STRIDE, keys + lane * STRIDE);
#pragma unroll
        for (int j = 0; j < KEYS_OF_LANE; j++) {
            int key = first + j * LANES + lane;
            if (key > first_query) scores[0][j] = -CUDART_INF_F;
            if (key > first_query + 8) scores[1][j] = -CUDART_INF_F;
        }
        weigh_exactly<SIZE>(state, scores, scale);
        add_values_exactly<SIZE>(state, scores, values + lane * 4);
        __syncthreads();
    }
    store_exactly<SIZE>(p, work, state, first_query);
}

}  // namespace prompt_attention

#define ATTENTION_KERNEL(name, blocks_per_multiprocessor, function, ...)         \
    extern "C" __global__ void __launch_bounds__(128, blocks_per_multiprocessor) \
        name(const __grid_constant__ PromptAttention p) {                        \
        prompt_attention::function<__VA_ARGS__>(p);                              \
    }

ATTENTION_KERNEL(prompt_attention_32_f16, 4, attend_on_tensor_cores, half16, 32, 64)
ATTENTION_KERNEL(prompt_attention_64_f16, 3, attend_on_tensor_cores, half16, 64, 64)
ATTENTION_KERNEL(prompt_attention_96_f16, 2, attend_on_tensor_cores, half16, 96, 64)
ATTENTION_KERNEL(prompt_attention_128_f16, 2, attend_on_tensor_cores, half16, 128, 64)
ATTENTION_KERNEL(prompt_attention_256_f16, 2, attend_on_tensor_cores, half16, 256, 32)
ATTENTION_KERNEL(prompt_attention_32_bf16, 4, attend_on_tensor_cores, bfloat16, 32, 64)
ATTENTION_KERNEL(prompt_attention_64_bf16, 3, attend_on_tensor_cores, bfloat16, 64, 64)
ATTENTION_KERNEL(prompt_attention_96_bf16, 2, attend_on_tensor_cores, bfloat16, 96, 64)
ATTENTION_KERNEL(prompt_attention_128_bf16, 2, attend_on_tensor_cores, bfloat16, 128, 64)
ATTENTION_KERNEL(prompt_attention_256_bf16, 2, attend_on_tensor_cores, bfloat16, 256, 32)
ATTENTION_KERNEL(prompt_attention_64_f32, 4, attend_exactly, 64)
ATTENTION_KERNEL(prompt_attention_128_f32, 3, attend_exactly, 128)
ATTENTION_KERNEL(prompt_attention_256_f32, 1, attend_exactly, 256)

#undef ATTENTION_KERNEL
