// sm_90
// The heads of one layer for one new token of each of at most 16 sequences: layer norm, queries, keys and values, their
// place in the cache, and attention, in one kernel where few_<real>_norm and step_attention would be two. A head has a
// cluster of eight blocks, which divide its outputs among themselves, by tiles of eight, and then the rows: row s is
// attended by block s % 8, to which every block sends what it has of that row.
//
// kernel               threads  grid               dynamic shared bytes
// step_heads_<real>    256      (8 * heads, 1, 1)  2 * m * (kp + 32)      f16 and bf16
//
// Heads are of size up to 128, m is up to 16, kp up to 1,024. With 14,160 static bytes that is less than 48 KiB.
#include "attention.cuh"
#include "barriers.cuh"
#include "norm_rows.cuh"
#include "step_heads.h"

namespace {

constexpr int CLUSTER = 8;
constexpr int WARPS = 8;
constexpr int THREADS = 32 * WARPS;
constexpr int MOST_ROWS = 16;
constexpr int MOST_SIZE = 128;
constexpr int MOST_WIDTH = 1024;
constexpr int SLOTS = MOST_ROWS / CLUSTER;  // rows that a block attends for
constexpr int TILES = 3;                    // of eight outputs, which a block has at once
constexpr int MOST_TILES = 3 * MOST_SIZE / 8 / CLUSTER;
constexpr int DEPTH = 3;  // reads of each tile under way at once
constexpr int PAIRS = 4 * TILES;
constexpr int QUADS = MOST_WIDTH / 128;
constexpr int AHEAD = 4;  // positions that a thread reads at once
constexpr int W = 8;      // numbers in 16 bytes

// What is needed one after the other.
union Scratch {
    float4 norm[2 * MOST_WIDTH / 4];       // weights, then biases
    float2 sums[WARPS][MOST_ROWS][PAIRS];  // by pairs of outputs: so, what a warp writes or reads is in all banks
    struct {
        float values[WARPS][MOST_SIZE];
        float highest[WARPS], weights[WARPS];
    } seen;
};

// Writes to another block and counts the bytes on its barrier. Nothing is waited for but these bytes: a barrier of the
// cluster after plain writes would first have them seen by the whole GPU.
__device__ __forceinline__ void send(uint32_t to, uint32_t barrier, uint32_t value) {
    asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.b32 [%0], %1, [%2];" ::"r"(to), "r"(value),
                 "r"(barrier)
                 : "memory");
}

__device__ __forceinline__ void copy_word(int* shared, const int* source) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(shared_address(shared)), "l"(source) : "memory");
}

__device__ __forceinline__ void prefetch(const void* address) {
    asm volatile("prefetch.global.L2 [%0];" ::"l"(address));
}

struct Ahead {
    uint4 keys[AHEAD], values[AHEAD][1];
};

// Who attends for two rows does it with half of the warps each.
__device__ __forceinline__ int team_warps(int own_rows) {
    return own_rows > 1 ? WARPS / SLOTS : WARPS;
}

__device__ __forceinline__ int slot_of(int thread, int own_rows) {
    return own_rows > 1 ? thread / (THREADS / SLOTS) : 0;
}

// What a thread attends to. A position is shared by `lanes` lanes, a power of 2, of which each has a part of 16 bytes.
struct Share {
    int old;  // positions before the new one; -1: a row of padding, which has not even that
    int parts, lanes, part, stride, first;
    uint32_t start;  // in 16 bytes, of which a cache has less than 2^32

    __device__ __forceinline__ Share(const Product& q, int hs, int head, int own_rows, Row where) {
        old = where.sequence < 0 ? -1 : where.position;
        parts = hs / W;
        int shift = 32 - __clz(parts - 1), team = 32 * team_warps(own_rows);
        lanes = 1 << shift;
        part = threadIdx.x & (lanes - 1);
        stride = team >> shift;
        first = (threadIdx.x & (team - 1)) >> shift;
        start = (static_cast<uint32_t>(where.sequence) * q.cache.heads + head) * q.cache.room * parts + part;
    }

    __device__ __forceinline__ void request(const Product& q, int base, Ahead& ahead) const {
#pragma unroll
        for (int u = 0; u < AHEAD; ++u) {
            int position = base + u * stride + first;
            bool there = position < old && part < parts;
            uint32_t at = start + position * parts;
            ahead.keys[u] = there ? static_cast<const uint4*>(q.cache.keys)[at] : make_uint4(0, 0, 0, 0);
            ahead.values[u][0] = there ? static_cast<const uint4*>(q.cache.values)[at] : make_uint4(0, 0, 0, 0);
        }
    }
};

template <typename Real>
__device__ void step_heads(const StepHeads& p) {
    extern __shared__ uint4 memory[];
    __shared__ __align__(16) Scratch scratch;
    __shared__ uint4 received[SLOTS][3 * MOST_SIZE / W];  // query, key and value of each row to attend for
    __shared__ float biases[8 * MOST_TILES];
    __shared__ Row rows[MOST_ROWS];
    __shared__ uint64_t barrier;
    const Product& q = p.qkv;
    const StepAttention& a = p.attention;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int group = lane / 4, t = lane % 4;
    int block = blockIdx.x % CLUSTER, head = blockIdx.x / CLUSTER;
    int m = q.m, heads = q.cache.heads, hs = q.cache.hs, parts = hs / W;
    int k_blocks = q.kp / 32, tiles = 3 * parts;
    const uint4 zero = make_uint4(0, 0, 0, 0);

    // Tile i of the block: which of the head's, of queries, keys or values, and of the whole matrix.
    auto part_of = [&](int tile) { return (tile >= parts) + (tile >= 2 * parts); };
    auto in_matrix = [&](int tile) { return (part_of(tile) * (heads - 1) + head) * parts + tile; };
    const uint8_t* weights = static_cast<const uint8_t*>(q.w) + 16 * lane;
    uint4 w[DEPTH][TILES];
    auto place = [&](int tile, int k_block) { return weights + (in_matrix(tile) * k_blocks + k_block) * int64_t{512}; };
    auto read = [&](int first, int base) {
#pragma unroll
        for (int j = 0; j < TILES; ++j) {
            int tile = block + (first + j) * CLUSTER;
            const uint8_t* from = place(tile, warp + base * WARPS);
#pragma unroll
            for (int i = 0; i < DEPTH; ++i) {
                bool there = warp + (base + i) * WARPS < k_blocks && tile < tiles;
                w[i][j] = there ? load_once(from + i * WARPS * 512) : zero;
            }
        }
    };
    read(0, 0);

    int own_rows = (m - block + CLUSTER - 1) / CLUSTER;
    if (threadIdx.x == 0) {
        uint32_t address = shared_address(&barrier);
        init_barrier(address, 1);
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
        expect(address, own_rows * 3 * hs * static_cast<int>(sizeof(Real)));
    }
    __syncwarp();
    // What is sent to a block must find it started, and its barrier initialized.
    asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
    float4* norm_weights = scratch.norm;
    float4* norm_biases = scratch.norm + q.kp / 4;
    if (threadIdx.x < q.kp / 4) {
        norm_weights[threadIdx.x] = reinterpret_cast<const float4*>(q.norm_weight)[threadIdx.x];
        norm_biases[threadIdx.x] = reinterpret_cast<const float4*>(q.norm_bias)[threadIdx.x];
    }
    if (threadIdx.x < 8 * MOST_TILES) {
        int tile = block + threadIdx.x / 8 * CLUSTER;
        if (tile < tiles) biases[threadIdx.x] = q.bias[in_matrix(tile) * 8 + threadIdx.x % 8];
    }
    // The weights that have no room in registers yet.
#pragma unroll 1
    for (int i = 0; block + i * CLUSTER < tiles; ++i) {
#pragma unroll 1
        for (int k_block = i < TILES ? warp + DEPTH * WARPS : warp; k_block < k_blocks; k_block += WARPS) {
            prefetch(place(block + i * CLUSTER, k_block));
        }
    }
    __syncthreads();
    let_successor_start();
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
    wait_for_predecessor();

    Row where = {-1, -1};
    int row = block + slot_of(threadIdx.x, own_rows) * CLUSTER;
    if (row < m) where = a.rows[row];
    // By words, which is all that they are aligned to, and without a register to wait for.
    if (threadIdx.x < 2 * m) {
        copy_word(reinterpret_cast<int*>(rows) + threadIdx.x, reinterpret_cast<const int*>(q.rows) + threadIdx.x);
    }
    float4 x[QUADS];
    if (warp < m) read_row<QUADS>(q, warp, x);

    Ahead now, next;
    Share(q, hs, head, own_rows, where).request(q, 0, now);

    Real* normed = reinterpret_cast<Real*>(memory);
    for (int i = warp; i < m; i += WARPS) {
        norm_row<Real, QUADS>(q, i, x, norm_weights, norm_biases, normed);
        if (i + WARPS < m) read_row<QUADS>(q, i + WARPS, x);
    }
    asm volatile("cp.async.wait_all;" ::: "memory");
    __syncthreads();

    int to_send = shared_address(received), to_count = shared_address(&barrier);
#pragma unroll 1
    for (int first_tile = 0; block + first_tile * CLUSTER < tiles; first_tile += TILES) {
        float d[TILES][2][4] = {};
#pragma unroll 1
        for (int base = 0; base * WARPS < k_blocks; base += DEPTH) {
#pragma unroll
            for (int i = 0; i < DEPTH; ++i) {
                int k_block = warp + (base + i) * WARPS;
                const Real* from = normed + group * (q.kp + 32) + 32 * k_block + 8 * t;
                bool there = k_block < k_blocks;
                uint4 low = there && group < m ? *reinterpret_cast<const uint4*>(from) : zero;
                uint4 high = there && group + 8 < m ? *reinterpret_cast<const uint4*>(from + 8 * (q.kp + 32)) : zero;
#pragma unroll
                for (int tile = 0; tile < TILES; ++tile) {
                    uint4 b = w[i][tile];
                    mma<Real>(d[tile][0], low.x, high.x, low.y, high.y, b.x, b.y);
                    mma<Real>(d[tile][1], low.z, high.z, low.w, high.w, b.z, b.w);
                }
            }
            // What is read next: more of these tiles, or the next ones.
            bool last = (base + DEPTH) * WARPS >= k_blocks;
            int next_tile = last ? first_tile + TILES : first_tile;
            if (block + next_tile * CLUSTER < tiles) read(next_tile, last ? 0 : base + DEPTH);
        }
        if (first_tile > 0) __syncthreads();
#pragma unroll
        for (int tile = 0; tile < TILES; ++tile) {
            int pair = 4 * tile + t;
            float(*from)[4] = d[tile];
            scratch.sums[warp][group][pair] = make_float2(from[0][0] + from[1][0], from[0][1] + from[1][1]);
            scratch.sums[warp][group + 8][pair] = make_float2(from[0][2] + from[1][2], from[0][3] + from[1][3]);
        }
        __syncthreads();
        // There are no more pairs than threads.
        int i = threadIdx.x / PAIRS, pair = threadIdx.x % PAIRS;
        int local = first_tile + pair / 4, tile = block + local * CLUSTER;
        if (i < m && tile < tiles) {
            float2 sum = make_float2(0, 0);
#pragma unroll
            for (int of = 0; of < WARPS; ++of) {
                float2 more = scratch.sums[of][i][pair];
                sum.x += more.x;
                sum.y += more.y;
            }
            int n = pair % 4 * 2;
            sum.x += biases[8 * local + n];
            sum.y += biases[8 * local + n + 1];
            uint32_t both = pack<Real>(sum.x, sum.y);
            uint32_t offset = i / CLUSTER * sizeof(received[0]) + (8 * tile + n) * sizeof(Real);
            send(place_in(to_send + offset, i % CLUSTER), place_in(to_count, i % CLUSTER), both);
            Row at = rows[i];
            int kind = part_of(tile);
            if (kind > 0 && at.sequence >= 0) {
                int64_t to = (static_cast<int64_t>(at.sequence) * heads + head) * q.cache.room + at.position;
                Real* base = static_cast<Real*>(kind == 1 ? q.cache.keys : q.cache.values);
                *reinterpret_cast<uint32_t*>(base + to * hs + 8 * (tile - kind * parts) + n) = both;
            }
        }
    }
    // A block may end when nobody sends to it any more: one without rows now, others after they have waited for it all.
    if (own_rows <= 0) return;
    // Found again: until here registers are short.
    asm volatile("" : "+r"(own_rows), "+r"(hs));
    int slot = slot_of(threadIdx.x, own_rows);
    row = block + slot * CLUSTER;
    where = {-1, -1};
    if (row < m) where = rows[row];
    Share s(q, hs, head, own_rows, where);
    s.request(q, AHEAD * s.stride, next);
    // Warps that have come here are done with the sums.
    __syncthreads();
    while (!try_wait(to_count, 0)) {
    }

    // From here on as in step_attention.cu, but for the new position.
    const uint4* mine = received[slot];
    float query[W], numbers[W];
    // So that weights are powers of 2.
    float scale = a.scale * 1.4426950408889634f;
    widen<Real>(s.part < s.parts ? mine[s.part] : zero, query);
#pragma unroll
    for (int i = 0; i < W; ++i) query[i] *= scale;
    Seen<Real, 1> seen;
    auto attend = [&](int base, Ahead& ahead) {
        float scores[AHEAD], top = seen.highest;
#pragma unroll
        for (int u = 0; u < AHEAD; ++u) {
            int position = base + u * s.stride + s.first;
            if (position == s.old && s.part < s.parts) {
                ahead.keys[u] = mine[s.parts + s.part];
                ahead.values[u][0] = mine[2 * s.parts + s.part];
            }
            widen<Real>(ahead.keys[u], numbers);
            float score = 0;
#pragma unroll
            for (int i = 0; i < W; ++i) score += query[i] * numbers[i];
            // Without a branch, so that the sums of several positions overlap.
#pragma unroll
            for (int d = MOST_SIZE / W / 2; d > 0; d /= 2) {
                float other = __shfl_xor_sync(0xffffffffu, score, d);
                if (d < s.lanes) score += other;
            }
            scores[u] = position <= s.old ? score : -INFINITY;
            top = fmaxf(top, scores[u]);
        }
        if (top == -INFINITY) return;
        seen.take(scores, ahead.values, top);
    };
    // All lanes of a warp go round equally often: scores are summed across them.
    int round = AHEAD * s.stride;
#pragma unroll 1
    for (int base = 0; base <= s.old; base += 2 * round) {
        attend(base, now);
        if (base + round > s.old) break;
        s.request(q, base + 2 * round, now);
        attend(base + round, next);
        s.request(q, base + 3 * round, next);
    }
    // The positions of a warp together, then those of the warps.
    seen.join(s.lanes);
    auto& shared = scratch.seen;
    if (lane < s.lanes && s.part < s.parts) {
#pragma unroll
        for (int i = 0; i < W; ++i) shared.values[warp][s.part * W + i] = seen.values[0][i];
    }
    if (lane == 0) {
        shared.highest[warp] = seen.highest;
        shared.weights[warp] = seen.weight;
    }
    __syncthreads();
    if (s.old < 0) return;
    float highest[WARPS], total = 0, sum = 0;
    float top = -INFINITY;
#pragma unroll
    for (int i = 0; i < WARPS; ++i) {
        highest[i] = slot_of(32 * i, own_rows) == slot ? shared.highest[i] : -INFINITY;
        top = fmaxf(top, highest[i]);
    }
    int d = threadIdx.x & (32 * team_warps(own_rows) - 1);
    if (d >= hs) return;
#pragma unroll
    for (int i = 0; i < WARPS; ++i) {
        float factor = exp2f(highest[i] - top);
        // What another row's warps have must not count, even if it isn't finite.
        bool counts = highest[i] > -INFINITY;
        total += counts ? shared.weights[i] * factor : 0.0f;
        sum += counts ? shared.values[i][d] * factor : 0.0f;
    }
    Real* out = static_cast<Real*>(a.out) + static_cast<int64_t>(row) * a.ap + head * hs;
    out[d] = from_float<Real>(__fdividef(sum, total));
}

}  // namespace

#define STEP_HEADS(name, Real)                                                               \
    extern "C" __global__ void __cluster_dims__(CLUSTER, 1, 1) __launch_bounds__(THREADS, 2) \
        name(const __grid_constant__ StepHeads p) {                                          \
        step_heads<Real>(p);                                                                 \
    }

STEP_HEADS(step_heads_f16, half16)
STEP_HEADS(step_heads_bf16, bfloat16)
