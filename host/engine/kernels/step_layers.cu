// sm_90
// All layers for one new token of each of up to 64 sequences, in one launch, for the smallest published model: what
// would be five kernels a layer are phases between barriers of the whole grid, which take half as long as launches do,
// and weights come while blocks wait for each other. Only for one width, so that every index is known when it is
// compiled: a phase lasts a few thousand ticks, of which index arithmetic took more than the products.
//
// kernel                     rows at most  threads  grid  dynamic shared bytes
// step_layers_<real>_<rows>  16, 32 or 64  384      96    at the end of this file
//
// A cluster of four blocks owns outputs of each product; its blocks divide k, of which each reads its quarter of the
// activations only, and send their sums to the one of them that finishes the row. So a number of the activations is
// read by as many blocks as there are clusters, and a weight by one:
//
//   heads       norm, queries, keys and values of one head for half of the rows, their place in the cache, attention
//   projection  32 columns of the residual stream
//   up          norm, 128 hidden units
//   down        the same columns as the projection
//
// Who finishes a row's columns of the residual stream has them in shared memory through all layers, and publishes with
// them their mean and their squared distances from it, of which the next norm makes the row's (Chan, Golub and LeVeque
// 1983). Row r is finished by block r % 4 of a cluster; a head has two clusters, one for even and one for odd rows.
// After the last layer a block norms one row. Each sum has one order.
//
// All blocks must run at once. They do without a cooperative launch, which could not start while the kernel before
// ends: that one never waits for this one, and no kernel after it starts before all blocks of this one have.
#include "attention.cuh"
#include "barriers.cuh"
#include "embedding.cuh"
#include "step_layers.h"

namespace {

constexpr int HEAD_COUNT = 12, HS = 64, WIDTH = HEAD_COUNT * HS, HIDDEN = 4 * WIDTH;
constexpr int CLUSTER = 4, GROUPS = 2, CLUSTERS = GROUPS * HEAD_COUNT, BLOCKS = CLUSTER * CLUSTERS;
static_assert(CLUSTERS == STEP_CLUSTERS, "the host launches so many");
constexpr int WARPS = 8, WORKERS = 32 * WARPS, THREADS = WORKERS + 128;

// Positions that a thread reads at once.
__host__ __device__ constexpr int ahead(int row_tiles) {
    return row_tiles == 4 ? 4 : 2;
}
constexpr int PARTS = HS / 8;  // of 16 bytes, of a head

enum Phase { HEADS, PROJECTION, UP, DOWN };
constexpr int PHASES = 4;

// Of a cluster: tiles of eight outputs. Of a block: blocks of 32 columns of k.
__host__ __device__ constexpr int tiles(int phase) {
    return phase == HEADS ? 3 * HS / 8 : phase == UP ? HIDDEN / 8 / CLUSTERS : WIDTH / 8 / CLUSTERS;
}
__host__ __device__ constexpr int columns(int phase) {
    return phase == DOWN ? HIDDEN / 32 : WIDTH / 32;
}
__host__ __device__ constexpr int slice(int phase) {
    return columns(phase) / CLUSTER;
}
constexpr int OWN_COLUMNS = 8 * tiles(PROJECTION);
constexpr int OWN_HIDDEN = 8 * tiles(UP);

__host__ __device__ constexpr int weight_bytes(int phase) {
    return 512 * tiles(phase) * slice(phase);
}

// Weights come in groups of so many bytes.
constexpr int LOAD_BYTES = 12288;

__host__ __device__ constexpr int loads(int phase) {
    return weight_bytes(phase) / LOAD_BYTES;
}
__host__ __device__ constexpr int first_load(int phase) {
    return phase == 0 ? 0 : first_load(phase - 1) + loads(phase - 1);
}
static_assert(weight_bytes(HEADS) % LOAD_BYTES == 0 && weight_bytes(PROJECTION) % LOAD_BYTES == 0 &&
                  weight_bytes(UP) % LOAD_BYTES == 0 && weight_bytes(DOWN) % LOAD_BYTES == 0,
              "groups are whole");
constexpr int LOADS = first_load(PHASES);

__host__ __device__ constexpr int larger(int a, int b) {
    return a > b ? a : b;
}

// What lies where in a block's shared memory.
template <typename Real, int ROW_TILES>
struct Memory {
    static constexpr int ROWS = 16 * ROW_TILES;
    // A group's rows, and tiles of them.
    static constexpr int GROUP_ROWS = ROWS / GROUPS;
    static constexpr int GROUP_TILES = (GROUP_ROWS + 15) / 16;
    // Whether all weights of a layer have buffers of their own. With many rows those of `heads` and `up` share one.
    static constexpr bool ROOMY = ROW_TILES == 1;
    __host__ __device__ static constexpr int weights(int phase) {
        int of_up = ROOMY ? weight_bytes(HEADS) : 0;
        int others = of_up + larger(weight_bytes(HEADS) - of_up, weight_bytes(UP));
        return phase == HEADS        ? 0
               : phase == UP         ? of_up
               : phase == PROJECTION ? others
                                     : others + weight_bytes(PROJECTION);
    }
    // Parts that the warps of a block divide its k into: for products of rows in global memory.
    static constexpr int READ_PARTS = WARPS / ROW_TILES;
    // [part of k in the cluster][row of the share][output]
    static constexpr int RECEIVED = weights(DOWN) + weight_bytes(DOWN);
    // Rows that were normed, or the sums of the warps that share a product's outputs.
    static constexpr int SCRATCH = RECEIVED + larger(4 * GROUP_ROWS * 3 * HS, 4 * ROWS * OWN_HIDDEN);
    // So that eight lanes of two rows read all banks.
    static constexpr int NORMED_STRIDE = 32 * (slice(UP) | 1);
    // So that 4 rows' pairs of sums lie in different banks.
    static constexpr int SUMS_STRIDE = OWN_COLUMNS + 8;
    // The same for the sums of four rows that go to different blocks.
    static constexpr int OWNER_PADDING = 8;
    __host__ __device__ static constexpr int owner_stride(int rows, int outputs) {
        return rows / CLUSTER * outputs + OWNER_PADDING;
    }
    static constexpr int sent_bytes(int rows, int outputs) {
        return ROW_TILES == 1 ? 0 : 4 * CLUSTER * owner_stride(rows, outputs);
    }
    static constexpr int NORMED = 2 * larger(ROWS, 16 * GROUP_TILES) * NORMED_STRIDE;
    static constexpr int SUMS = 4 * READ_PARTS * ROWS * SUMS_STRIDE;
    static constexpr int SENT = larger(sent_bytes(GROUP_ROWS, 3 * HS), sent_bytes(ROWS, OWN_HIDDEN));
    static constexpr int BYTES = SCRATCH + larger(larger(NORMED, SUMS), SENT);
};

// What does not depend on what a launch is given.
template <int ROWS>
struct Fixed {
    uint64_t full[LOADS];   // a group of weights is there
    uint64_t used[PHASES];  // a phase's weights were multiplied
    uint64_t come;          // what the cluster's blocks sent is there
    __align__(16) float own[ROWS / CLUSTER][OWN_COLUMNS];
    float2 scales[ROWS];  // of a norm: mean and factor
    Row rows[ROWS];
    uint4 qkv[ROWS / GROUPS / CLUSTER][3 * PARTS];
    __align__(16) float values[WARPS][HS];
    float highest[WARPS], weights[WARPS];
};

// Writes to another block and counts the bytes on its barrier.
__device__ __forceinline__ void send(uint32_t to, uint32_t barrier, float4 x) {
    asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [%0], {%1, %2, %3, %4}, [%5];" ::"r"(to),
                 "f"(x.x), "f"(x.y), "f"(x.z), "f"(x.w), "r"(barrier)
                 : "memory");
}

__device__ __forceinline__ float4 add(float4 a, float4 b) {
    return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

template <typename Real, int ROW_TILES>
struct Step {
    using M = Memory<Real, ROW_TILES>;
    static constexpr int AHEAD = ahead(ROW_TILES);

    struct Ahead {
        uint4 keys[AHEAD], values[AHEAD][1];
    };

    const StepLayers& p;
    uint8_t* memory;
    Fixed<M::ROWS>& s;
    int warp, lane, cluster, rank;
    int head, group;
    // Rows of the group, and of these and of all those that this block finishes.
    int group_rows, group_share, share;
    const uint8_t* layer;
    int number = 0;  // of the layer
    uint32_t target = 0, exchanges = 0;
    bool dead = false;

    __device__ Step(const StepLayers& p, uint8_t* memory, Fixed<M::ROWS>& s)
        : p(p),
          memory(memory),
          s(s),
          warp(threadIdx.x / 32),
          lane(threadIdx.x % 32),
          cluster(blockIdx.x / CLUSTER),
          rank(blockIdx.x % CLUSTER),
          head(cluster % HEAD_COUNT),
          group(cluster / HEAD_COUNT),
          group_rows((p.m - group + GROUPS - 1) / GROUPS),
          group_share((group_rows - rank + CLUSTER - 1) / CLUSTER),
          share((p.m - rank + CLUSTER - 1) / CLUSTER),
          layer(p.layers) {}

    __device__ __forceinline__ const float* vector(uint32_t offset) const {
        return reinterpret_cast<const float*>(layer + offset);
    }

    __device__ __forceinline__ int row_of_group(int i) const { return GROUPS * i + group; }
    __device__ __forceinline__ int row_of_share(int i) const { return CLUSTER * i + rank; }

    // -----------------------------------------------------------------------------------------------------------------
    // Weights

    // Asks for one tile's share of a phase's weights.
    template <int PHASE>
    __device__ __forceinline__ void load_tile(const uint8_t* of_layer, int i, uint64_t* full) {
        constexpr int BYTES = 512 * slice(PHASE), TO = M::weights(PHASE);
        constexpr int ALL = columns(PHASE), MINE = slice(PHASE);
        uint32_t offset = PHASE == HEADS        ? p.at.qkv
                          : PHASE == PROJECTION ? p.at.proj
                          : PHASE == UP         ? p.at.up
                                                : p.at.down;
        int tile = PHASE == HEADS ? (i / PARTS * HEAD_COUNT + head) * PARTS + i % PARTS : cluster * tiles(PHASE) + i;
        copy_bulk(shared_address(memory + TO) + i * BYTES, of_layer + offset + (tile * ALL + rank * MINE) * 512, BYTES,
                  shared_address(full), evict_first());
    }

    // A phase's weights, two groups under way at a time: what is under way delays whatever else comes from the
    // second-level cache or from the cluster, and fences wait for it.
    template <int PHASE>
    __device__ __forceinline__ void load(const uint8_t* of_layer, int number) {
        constexpr int AT_ONCE = tiles(PHASE) / loads(PHASE);
#pragma unroll 1
        for (int group = 0; group < loads(PHASE); ++group) {
            uint64_t* full = &s.full[first_load(PHASE) + group];
            if (lane == 0) expect(shared_address(full), LOAD_BYTES);
            __syncwarp();
            if (lane < AT_ONCE) load_tile<PHASE>(of_layer, group * AT_ONCE + lane, full);
            __syncwarp();
            if (group > 0) await_phase(full - 1, number & 1);
        }
    }

    template <int PHASE>
    __device__ __forceinline__ void load_of_next_layer() {
        if (number + 1 < p.layer_count) load<PHASE>(layer + p.layer_bytes, number + 1);
    }

    // Has the second-level cache read the keys and values that the block's heads attend to, of one layer.
    __device__ __forceinline__ void prefetch_cache(int of_layer) {
        int i = lane / 2;
        if (of_layer >= p.layer_count || i >= group_share) return;
        Row where = p.rows[row_of_group(CLUSTER * i + rank)];
        if (where.sequence < 0 || where.position == 0) return;
        int64_t of_head = static_cast<int64_t>(where.sequence) * HEAD_COUNT + head;
        const uint8_t* cache = (lane % 2 ? p.values : p.keys) + of_layer * p.cache_layer_bytes;
        asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(cache + of_head * p.room * (2 * HS)),
                     "r"(where.position * 2 * HS)
                     : "memory");
    }

    // The same of a share of the head's weights, so that the memory has less to do when nothing but they is read.
    __device__ __forceinline__ void prefetch_head() const {
        int each = (p.head_tiles + BLOCKS * p.layer_count - 1) / (BLOCKS * p.layer_count);
        for (int i = lane; i < each; i += 32) {
            int tile = (number * BLOCKS + static_cast<int>(blockIdx.x)) * each + i;
            if (tile >= p.head_tiles || p.head_ahead == 0) return;
            asm volatile("cp.async.bulk.prefetch.L2.global.L2::cache_hint [%0], %1, %2;" ::"l"(
                             p.head + static_cast<int64_t>(tile) * (8 * 2 * WIDTH)),
                         "r"(p.head_ahead), "l"(evict_last())
                         : "memory");
        }
    }

    template <int PHASE>
    __device__ __forceinline__ void await_use() const {
        await_phase(&s.used[PHASE], number & 1);
    }

    // What comes before the first layer; weights while the kernel before still runs.
    __device__ __forceinline__ void load_first() {
        load<HEADS>(layer, 0);
        load<PROJECTION>(layer, 0);
        if constexpr (M::ROOMY) {
            load<UP>(layer, 0);
            load<DOWN>(layer, 0);
        }
        wait_for_predecessor();
        prefetch_cache(0);
    }

    // What comes after a phase's weights were used: as soon as there is room, but with many rows when little else is
    // read, which is while heads attend, and in the last phase.
    template <int PHASE>
    __device__ __forceinline__ void load_after() {
        if constexpr (M::ROOMY) {
            load_of_next_layer<PHASE>();
            if constexpr (PHASE == PROJECTION) prefetch_cache(number + 1);
        } else if constexpr (PHASE == HEADS) {
            load<UP>(layer, number);
            load<DOWN>(layer, number);
        } else if constexpr (PHASE == UP) {
            load_of_next_layer<HEADS>();
            load_of_next_layer<PROJECTION>();
            prefetch_cache(number + 1);
        }
    }

    // What the warp beside the workers does.
    __device__ __forceinline__ void load_all() {
        load_first();
#pragma unroll 1
        for (; number < p.layer_count; ++number, layer += p.layer_bytes) {
            await_use<HEADS>();
            load_after<HEADS>();
            await_use<PROJECTION>();
            load_after<PROJECTION>();
            await_use<UP>();
            load_after<UP>();
            await_use<DOWN>();
            load_after<DOWN>();
            prefetch_head();
        }
    }

    // Each phase's weights come once a layer.
    template <int PHASE>
    __device__ __forceinline__ const uint8_t* await_weights() {
        constexpr int AT = M::weights(PHASE);
        for (int i = 0; i < loads(PHASE); ++i) await_phase(&s.full[first_load(PHASE) + i], number & 1);
        return memory + AT + 16 * lane;
    }

    // -----------------------------------------------------------------------------------------------------------------
    // Between blocks

    // Whether a phase's sums are sent by copies, which leave those for the block itself where they are.
    __host__ __device__ static constexpr bool copied(int phase) {
        return ROW_TILES > 1 && (phase == HEADS || phase == UP);
    }

    // Says how many bytes the cluster will send in the next phase; before anyone can.
    template <int PHASE>
    __device__ __forceinline__ void expect_exchange() {
        int rows = PHASE == HEADS ? group_share : share;
        constexpr int OF_ROW = 4 * 8 * tiles(PHASE) * (copied(PHASE) ? CLUSTER - 1 : CLUSTER);
        if (threadIdx.x == 0 && rows > 0) expect(shared_address(&s.come), rows * OF_ROW);
    }

    __device__ __forceinline__ void await_exchange(int rows) {
        if (rows > 0) await_phase(&s.come, exchanges++ & 1);
    }

    __device__ __forceinline__ void arrive() {
        sync_first<WORKERS>();
        target += BLOCKS;
        if (threadIdx.x == 0) asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(p.arrived) : "memory");
    }

    // The weights of a phase are no longer needed, which all workers have come to.
    template <int PHASE>
    __device__ __forceinline__ void release_weights() {
        arrive_together(&s.used[PHASE], threadIdx.x);
    }

    // The last block of all makes everything ready for the next launch.
    __device__ __forceinline__ void leave() {
        sync_first<WORKERS>();
        if (threadIdx.x == 0 && atomicAdd(p.arrived, 1) == target + BLOCKS - 1) atomicExch(p.arrived, 0);
    }

    __device__ __forceinline__ void await() {
        if (threadIdx.x == 0 && !dead) {
            uint64_t start = clock64();
            for (uint32_t polls = 1;; ++polls) {
                uint32_t arrived;
                asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(arrived) : "l"(p.arrived) : "memory");
                if (arrived >= target) break;
                if (polls % POLLS == 0 && clock64() - start > PATIENCE) {
                    dead = true;
                    *reinterpret_cast<volatile uint32_t*>(p.failed) = 1;
                    __threadfence_system();
                    break;
                }
            }
        }
        sync_first<WORKERS>();
    }

    // -----------------------------------------------------------------------------------------------------------------
    // Norm

    static constexpr int QUADS = slice(UP) * 8 / 16;  // of a row's columns in a block, of each of 16 threads
    static_assert(slice(UP) * 8 % 16 == 0, "half a warp has a row's columns");

    // A thread's columns of the weights and biases of a norm.
    struct NormVectors {
        float4 weight[QUADS], bias[QUADS];
    };

    __device__ __forceinline__ NormVectors norm_vectors(uint32_t weight, uint32_t bias) const {
        int first = rank * slice(UP) * 8 + lane % 16;
        NormVectors v;
#pragma unroll
        for (int j = 0; j < QUADS; ++j) {
            v.weight[j] = reinterpret_cast<const float4*>(vector(weight))[first + 16 * j];
            v.bias[j] = reinterpret_cast<const float4*>(vector(bias))[first + 16 * j];
        }
        return v;
    }

    // The block's columns of `count` rows of the residual stream, `step` apart, normed, into shared memory.
    template <int MOST>
    __device__ __forceinline__ void norm(const NormVectors& v, int first, int step, int count) {
        constexpr int OWN = (MOST + WORKERS / 16 - 1) / (WORKERS / 16);
        float4 x[OWN][QUADS];
        int half = threadIdx.x / 16;
        const float4* from = reinterpret_cast<const float4*>(p.x) + rank * slice(UP) * 8 + lane % 16;
#pragma unroll
        for (int i = 0; i < OWN; ++i) {
            int row = half + WORKERS / 16 * i;
            if (row >= count) break;
            const float4* of_row = from + (first + row * step) * (WIDTH / 4);
#pragma unroll
            for (int j = 0; j < QUADS; ++j) x[i][j] = __ldcg(of_row + 16 * j);
        }
        scale_rows(first, step, count);
        sync_first<WORKERS>();
        Real* normed = reinterpret_cast<Real*>(memory + M::SCRATCH) + 4 * (lane % 16);
#pragma unroll
        for (int i = 0; i < OWN; ++i) {
            int row = half + WORKERS / 16 * i;
            if (row >= count) break;
            float2 scale = s.scales[row];
#pragma unroll
            for (int j = 0; j < QUADS; ++j) {
                float4 y = x[i][j], weight = v.weight[j], bias = v.bias[j];
                uint32_t low = pack<Real>((y.x - scale.x) * scale.y * weight.x + bias.x,
                                          (y.y - scale.x) * scale.y * weight.y + bias.y);
                uint32_t high = pack<Real>((y.z - scale.x) * scale.y * weight.z + bias.z,
                                           (y.w - scale.x) * scale.y * weight.w + bias.w);
                *reinterpret_cast<uint2*>(normed + row * M::NORMED_STRIDE + 64 * j) = make_uint2(low, high);
            }
        }
        sync_first<WORKERS>();
    }

    // Mean and factor of each row, from those of the clusters' columns. Four threads a row.
    __device__ __forceinline__ void scale_rows(int first, int step, int count) {
        constexpr int OWN = CLUSTERS / 4;
        static_assert(CLUSTERS % 8 == 0, "a thread reads two at once");
        int row = threadIdx.x / 4;
        if (row / 8 * 8 >= count) return;  // Whole warps.
        const float2* of_row = p.statistics + (first + row * step) * CLUSTERS + threadIdx.x % 4 * OWN;
        float2 part[OWN];
#pragma unroll
        for (int i = 0; i < OWN / 2; ++i) {
            float4 two = row < count ? __ldcg(reinterpret_cast<const float4*>(of_row) + i) : make_float4(0, 0, 0, 0);
            part[2 * i] = make_float2(two.x, two.y);
            part[2 * i + 1] = make_float2(two.z, two.w);
        }
        float sum = 0, squares = 0;
#pragma unroll
        for (int i = 0; i < OWN; ++i) sum += part[i].x;
        sum += __shfl_xor_sync(0xffffffffu, sum, 1);
        sum += __shfl_xor_sync(0xffffffffu, sum, 2);
        float mean = sum * (1.0f / CLUSTERS);
#pragma unroll
        for (int i = 0; i < OWN; ++i) {
            float distance = part[i].x - mean;
            squares += part[i].y + OWN_COLUMNS * (distance * distance);
        }
        squares += __shfl_xor_sync(0xffffffffu, squares, 1);
        squares += __shfl_xor_sync(0xffffffffu, squares, 2);
        if (threadIdx.x % 4 == 0 && row < count) {
            s.scales[row] = make_float2(mean, rsqrtf(squares * (1.0f / WIDTH) + p.epsilon));
        }
    }

    // -----------------------------------------------------------------------------------------------------------------
    // Products

    // Rows that were normed: of a warp, ROWS_ row tiles from row_tile on and OUT tiles of outputs from `first` on. The
    // sums go where the rows are finished: to received[rank][row / 4][output] of block row % 4.
    template <int PHASE, int ROWS_, int OUT, int MOST>
    __device__ __forceinline__ void multiply_normed(int row_tile, int first, int count) {
        const Real* a = reinterpret_cast<const Real*>(memory + M::SCRATCH) +
                        (16 * row_tile + lane / 4) * M::NORMED_STRIDE + 8 * (lane % 4);
        const uint8_t* weights = await_weights<PHASE>() + first * slice(PHASE) * 512;
        float sums[ROWS_][OUT][4] = {};
#pragma unroll
        for (int block = 0; block < slice(PHASE); ++block) {
            uint4 low[ROWS_], high[ROWS_];
#pragma unroll
            for (int i = 0; i < ROWS_; ++i) {
                low[i] = *reinterpret_cast<const uint4*>(a + 16 * i * M::NORMED_STRIDE + 32 * block);
                high[i] = *reinterpret_cast<const uint4*>(a + (16 * i + 8) * M::NORMED_STRIDE + 32 * block);
            }
#pragma unroll
            for (int j = 0; j < OUT; ++j) {
                uint4 b = *reinterpret_cast<const uint4*>(weights + (j * slice(PHASE) + block) * 512);
#pragma unroll
                for (int i = 0; i < ROWS_; ++i) {
                    mma<Real>(sums[i][j], low[i].x, high[i].x, low[i].y, high[i].y, b.x, b.y);
                    mma<Real>(sums[i][j], low[i].z, high[i].z, low[i].w, high[i].w, b.z, b.w);
                }
            }
        }
        constexpr int OUTPUTS = 8 * tiles(PHASE), OF_BLOCK = MOST / CLUSTER * OUTPUTS;
        int row = 16 * row_tile + lane / 4, owner = lane / 4 % CLUSTER;
        if constexpr (!copied(PHASE)) {
            // Few: four numbers at a time from registers, of which two lanes have two each of two rows.
            bool odd = lane % 2;
            int mine = row + (odd ? 8 : 0);
            uint32_t to = shared_address(memory + M::RECEIVED) +
                          4 * (rank * OF_BLOCK + mine / CLUSTER * OUTPUTS + 8 * first + lane % 4 / 2 * 4);
            to = place_in(to, owner);
            uint32_t barrier = place_in(shared_address(&s.come), owner);
#pragma unroll
            for (int j = 0; j < OUT; ++j) {
                const float(&d)[4] = sums[0][j];
                float x = __shfl_xor_sync(0xffffffffu, odd ? d[0] : d[2], 1);
                float y = __shfl_xor_sync(0xffffffffu, odd ? d[1] : d[3], 1);
                float4 four = odd ? make_float4(x, y, d[2], d[3]) : make_float4(d[0], d[1], x, y);
                if (mine < count) send(to + 4 * 8 * j, barrier, four);
            }
        } else {
            // Many: by copies of all that a block is sent, because each number that is sent alone takes a tick.
            sync_first<WORKERS>();
            release_weights<PHASE>();
            float* scratch = reinterpret_cast<float*>(memory + M::SCRATCH);
            constexpr int STRIDE = M::owner_stride(MOST, OUTPUTS);
            float* to = scratch + owner * STRIDE + row / CLUSTER * OUTPUTS + 8 * first + lane % 4 * 2;
#pragma unroll
            for (int i = 0; i < ROWS_; ++i) {
#pragma unroll
                for (int j = 0; j < OUT; ++j) {
                    const float(&d)[4] = sums[i][j];
                    *reinterpret_cast<float2*>(to + 4 * i * OUTPUTS + 8 * j) = make_float2(d[0], d[1]);
                    *reinterpret_cast<float2*>(to + (4 * i + 2) * OUTPUTS + 8 * j) = make_float2(d[2], d[3]);
                }
            }
            asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
            sync_first<WORKERS>();
            if (threadIdx.x < CLUSTER && threadIdx.x != rank) {
                int rows = (count - static_cast<int>(threadIdx.x) + CLUSTER - 1) / CLUSTER;
                if (rows > 0) {
                    copy_to(memory + M::RECEIVED + 4 * rank * OF_BLOCK, threadIdx.x, scratch + threadIdx.x * STRIDE,
                            4 * rows * OUTPUTS);
                }
            }
        }
    }

    // To the same place in another block of the cluster, counting the bytes there.
    __device__ __forceinline__ void copy_to(const void* place, int block, const void* from, int bytes) {
        uint32_t to = place_in(shared_address(place), block), barrier = place_in(shared_address(&s.come), block);
        asm volatile(
            "cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
            "r"(shared_address(from)), "r"(bytes), "r"(barrier)
            : "memory");
    }

    // Rows in global memory: of a warp, one row tile, and of the block's k every READ_PARTS-th block.
    template <int PHASE>
    __device__ __forceinline__ void multiply_read(const void* activations) {
        constexpr int PARTS_ = M::READ_PARTS, EACH = (slice(PHASE) + PARTS_ - 1) / PARTS_;
        constexpr int OUT = tiles(PHASE);
        constexpr int K = 32 * columns(PHASE);
        int row_tile = warp % ROW_TILES, part = warp / ROW_TILES;
        int row = 16 * row_tile + lane / 4;
        const Real* a =
            static_cast<const Real*>(activations) + row * K + 32 * (rank * slice(PHASE) + part) + 8 * (lane % 4);
        const uint4 zero = make_uint4(0, 0, 0, 0);
        uint4 low[EACH], high[EACH];
#pragma unroll
        for (int i = 0; i < EACH; ++i) {
            bool there = part + i * PARTS_ < slice(PHASE);
            const Real* from = a + 32 * i * PARTS_;
            low[i] = there && row < p.m ? __ldcg(reinterpret_cast<const uint4*>(from)) : zero;
            high[i] = there && row + 8 < p.m ? __ldcg(reinterpret_cast<const uint4*>(from + 8 * K)) : zero;
        }
        const uint8_t* weights = await_weights<PHASE>() + part * 512;
        float sums[OUT][4] = {};
#pragma unroll
        for (int i = 0; i < EACH; ++i) {
            if (part + i * PARTS_ >= slice(PHASE)) break;
#pragma unroll
            for (int j = 0; j < OUT; ++j) {
                const uint8_t* from = weights + (j * slice(PHASE) + i * PARTS_) * 512;
                uint4 b = *reinterpret_cast<const uint4*>(from);
                mma<Real>(sums[j], low[i].x, high[i].x, low[i].y, high[i].y, b.x, b.y);
                mma<Real>(sums[j], low[i].z, high[i].z, low[i].w, high[i].w, b.z, b.w);
            }
        }
        // The sums of the warps that share outputs together, four of a row at a time, go to who finishes the row.
        constexpr int STRIDE = M::SUMS_STRIDE, OF_ROW = OWN_COLUMNS / 4;
        float* scratch = reinterpret_cast<float*>(memory + M::SCRATCH);
        float* mine = scratch + (part * M::ROWS + row) * STRIDE + lane % 4 * 2;
#pragma unroll
        for (int j = 0; j < OUT; ++j) {
            *reinterpret_cast<float2*>(mine + 8 * j) = make_float2(sums[j][0], sums[j][1]);
            *reinterpret_cast<float2*>(mine + 8 * STRIDE + 8 * j) = make_float2(sums[j][2], sums[j][3]);
        }
        sync_first<WORKERS>();
        if constexpr (!M::ROOMY) release_weights<PHASE>();
        int quad = threadIdx.x % OF_ROW, first = threadIdx.x / OF_ROW, owner = first % CLUSTER;
        uint32_t to = shared_address(memory + M::RECEIVED);
        to = place_in(to + 4 * (rank * (M::ROWS / CLUSTER) * OWN_COLUMNS + 4 * quad), owner);
        uint32_t barrier = place_in(shared_address(&s.come), owner);
#pragma unroll
        for (int r = first; r < M::ROWS; r += WORKERS / OF_ROW) {
            if (r >= p.m) break;
            const float* from = scratch + r * STRIDE + 4 * quad;
            float4 sum = *reinterpret_cast<const float4*>(from);
#pragma unroll
            for (int k = 1; k < PARTS_; ++k) {
                sum = add(sum, *reinterpret_cast<const float4*>(from + k * M::ROWS * STRIDE));
            }
            send(to + 4 * (r / CLUSTER * OWN_COLUMNS), barrier, sum);
        }
    }

    // Four outputs of a row of the share, from all blocks of the cluster.
    template <int PHASE, int MOST>
    __device__ __forceinline__ float4 received(int row, int quad) const {
        constexpr int OUTPUTS = 8 * tiles(PHASE), OF_BLOCK = MOST / CLUSTER * OUTPUTS;
        const float* from = reinterpret_cast<const float*>(memory + M::RECEIVED);
        const float* own = from + rank * OF_BLOCK;
        if constexpr (copied(PHASE)) {
            own = reinterpret_cast<const float*>(memory + M::SCRATCH) + rank * M::owner_stride(MOST, OUTPUTS);
        }
        int at = row * OUTPUTS + 4 * quad;
        float4 sum = make_float4(0, 0, 0, 0);
#pragma unroll
        for (int i = 0; i < CLUSTER; ++i) {
            float4 part = *reinterpret_cast<const float4*>((i == rank ? own : from + i * OF_BLOCK) + at);
            sum = i == 0 ? part : add(sum, part);
        }
        return sum;
    }

    // -----------------------------------------------------------------------------------------------------------------
    // The residual stream, of which eight threads have a row's columns in the cluster, four each

    // Keeps and publishes four columns of a row. Whole warps call it.
    __device__ __forceinline__ void keep(int row, float4 x) {
        float sum = x.x + x.y + (x.z + x.w);
#pragma unroll
        for (int d = 1; d < 8; d *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, d);
        float mean = sum * (1.0f / OWN_COLUMNS);
        float4 y = make_float4(x.x - mean, x.y - mean, x.z - mean, x.w - mean);
        float squares = y.x * y.x + y.y * y.y + (y.z * y.z + y.w * y.w);
#pragma unroll
        for (int d = 1; d < 8; d *= 2) squares += __shfl_xor_sync(0xffffffffu, squares, d);
        if (row >= share) return;
        int quad = threadIdx.x % 8, global = row_of_share(row);
        reinterpret_cast<float4*>(s.own[row])[quad] = x;
        reinterpret_cast<float4*>(p.x)[global * (WIDTH / 4) + cluster * 8 + quad] = x;
        if (quad == 0) p.statistics[global * CLUSTERS + cluster] = make_float2(mean, squares);
    }

    __device__ __forceinline__ bool keeps() const { return threadIdx.x / 32 * 4 < share; }

    __device__ __forceinline__ void embed() {
        if (!keeps()) return;
        int row = threadIdx.x / 8, c = cluster * OWN_COLUMNS + threadIdx.x % 8 * 4;
        float4 x = make_float4(0, 0, 0, 0);
        if (row < share) {
            int global = row_of_share(row);
            float4 token = embedding<Real>(p.token_embedding, WIDTH, p.tokens[global], c);
            x = add(token, embedding<Real>(p.position_embedding, WIDTH, p.rows[global].position, c));
        }
        keep(row, x);
    }

    // A product whose outputs are added to the residual stream.
    template <int PHASE>
    __device__ __forceinline__ void add_product(uint32_t bias_at, const void* activations) {
        int row = threadIdx.x / 8, quad = threadIdx.x % 8;
        float4 bias = reinterpret_cast<const float4*>(vector(bias_at))[cluster * 8 + quad];
        await();
        multiply_read<PHASE>(activations);
        await_exchange(share);
        if (keeps()) {
            float4 x = make_float4(0, 0, 0, 0);
            if (row < share) {
                float4 sum = add(received<PHASE, M::ROWS>(row, quad), bias);
                x = add(reinterpret_cast<const float4*>(s.own[row])[quad], sum);
            }
            keep(row, x);
        }
        expect_exchange<PHASE == PROJECTION ? UP : HEADS>();
        arrive();
        if constexpr (M::ROOMY) release_weights<PHASE>();
    }

    // -----------------------------------------------------------------------------------------------------------------
    // Hidden units

    // The two forms apart, so that the cache of instructions has what is executed only.
    __device__ __forceinline__ float4 gelu(float4 x) const {
        if (p.gelu_erf) return exact_gelu(x);
        return make_float4(::gelu(x.x, 0), ::gelu(x.y, 0), ::gelu(x.z, 0), ::gelu(x.w, 0));
    }

    __device__ __noinline__ static float4 exact_gelu(float4 x) {
        return make_float4(::gelu(x.x, 1), ::gelu(x.y, 1), ::gelu(x.z, 1), ::gelu(x.w, 1));
    }

    __device__ __forceinline__ void up() {
        constexpr int ROWS_ = ROW_TILES == 1 ? 1 : 2, OUTPUT_WARPS = WARPS * ROWS_ / ROW_TILES;
        constexpr int OUT = tiles(UP) / OUTPUT_WARPS;
        static_assert(OWN_HIDDEN == 4 * 32, "a warp finishes a row");
        NormVectors v = norm_vectors(p.at.norm_2_weight, p.at.norm_2_bias);
        float4 bias = reinterpret_cast<const float4*>(vector(p.at.up_bias))[cluster * 32 + lane];
        await();
        norm<M::ROWS>(v, 0, 1, p.m);
        multiply_normed<UP, ROWS_, OUT, M::ROWS>(warp / OUTPUT_WARPS * ROWS_, warp % OUTPUT_WARPS * OUT, p.m);
        await_exchange(share);
        for (int row = warp; row < share; row += WARPS) {
            float4 sum = add(received<UP, M::ROWS>(row, lane), bias);
            sum = gelu(sum);
            uint32_t low = pack<Real>(sum.x, sum.y), high = pack<Real>(sum.z, sum.w);
            uint2* to = static_cast<uint2*>(p.hidden) + row_of_share(row) * (HIDDEN / 4) + cluster * 32 + lane;
            *to = make_uint2(low, high);
        }
        expect_exchange<DOWN>();
        arrive();
        if constexpr (M::ROOMY) release_weights<UP>();
    }

    // -----------------------------------------------------------------------------------------------------------------
    // Heads

    // The row that a warp attends for, with `team - 1` others if a block has few rows.
    struct Seat {
        int team, row, member, old;
        int64_t start;  // of its keys, in 16 bytes, with the lane's part

        __device__ __forceinline__ int stride() const { return team * 4; }
        __device__ __forceinline__ int position(int base, int u) const {
            return base + u * stride() + member * 4 + threadIdx.x % 32 / PARTS;
        }
    };

    __device__ __forceinline__ Seat take_seat() const {
        Seat seat;
        int most = (group_rows + CLUSTER - 1) / CLUSTER;
        seat.team = most <= 1 ? WARPS : most == 2 ? WARPS / 2 : most <= 4 ? WARPS / 4 : WARPS / 8;
        seat.row = warp / seat.team;
        seat.member = warp % seat.team;
        Row where = {-1, -1};
        if (seat.row < group_share) where = s.rows[row_of_group(CLUSTER * seat.row + rank)];
        seat.old = where.sequence < 0 ? -1 : where.position;
        int64_t of_head = static_cast<int64_t>(max(0, where.sequence)) * HEAD_COUNT + head;
        seat.start = of_head * p.room * PARTS + lane % PARTS;
        return seat;
    }

    // Positions before the new one.
    __device__ __forceinline__ void request(const Seat& seat, const uint8_t* keys, const uint8_t* values, int base,
                                            Ahead& ahead) const {
#pragma unroll
        for (int u = 0; u < AHEAD; ++u) {
            int position = seat.position(base, u);
            bool there = position < seat.old;
            int64_t at = seat.start + position * PARTS;
            ahead.keys[u] = there ? reinterpret_cast<const uint4*>(keys)[at] : make_uint4(0, 0, 0, 0);
            ahead.values[u][0] = there ? reinterpret_cast<const uint4*>(values)[at] : make_uint4(0, 0, 0, 0);
        }
    }

    __device__ __forceinline__ void heads(const Seat& seat, uint8_t* keys, uint8_t* values) {
        constexpr int OF_ROW = 3 * HS / 4;  // fours of queries, keys and values
        NormVectors v = norm_vectors(p.at.norm_1_weight, p.at.norm_1_bias);
        int quad = threadIdx.x % OF_ROW, kind = quad / (HS / 4), within = quad % (HS / 4);
        float4 bias =
            reinterpret_cast<const float4*>(vector(p.at.qkv_bias))[(kind * HEAD_COUNT + head) * (HS / 4) + within];
        Ahead now, next;
        request(seat, keys, values, 0, now);
        await();
        norm<M::GROUP_ROWS>(v, group, GROUPS, group_rows);
        constexpr int OUT = tiles(HEADS) / WARPS;
        multiply_normed<HEADS, M::GROUP_TILES, OUT, M::GROUP_ROWS>(0, warp * OUT, group_rows);
        request(seat, keys, values, AHEAD * seat.stride(), next);
        await_exchange(group_share);
        if (threadIdx.x < WORKERS / OF_ROW * OF_ROW) {
            for (int row = threadIdx.x / OF_ROW; row < group_share; row += WORKERS / OF_ROW) {
                float4 sum = add(received<HEADS, M::GROUP_ROWS>(row, quad), bias);
                uint2 both = make_uint2(pack<Real>(sum.x, sum.y), pack<Real>(sum.z, sum.w));
                reinterpret_cast<uint2*>(s.qkv[row])[quad] = both;
                Row where = s.rows[row_of_group(CLUSTER * row + rank)];
                if (kind == 0 || where.sequence < 0) continue;
                int64_t of_head = static_cast<int64_t>(where.sequence) * HEAD_COUNT + head;
                int64_t at = (of_head * p.room + where.position) * (HS / 4) + within;
                reinterpret_cast<uint2*>(kind == 1 ? keys : values)[at] = both;
            }
        }
        sync_first<WORKERS>();
        attend(seat, keys, values, now, next);
        expect_exchange<PROJECTION>();
        arrive();
        if constexpr (M::ROOMY) release_weights<HEADS>();
    }

    // As in step_attention.cu, but that the new position is in shared memory.
    __device__ __forceinline__ void attend(const Seat& seat, const uint8_t* keys, const uint8_t* values, Ahead& now,
                                           Ahead& next) {
        int part = lane % PARTS, old = seat.old;
        const uint4* mine = s.qkv[seat.row < group_share ? seat.row : 0];
        float query[8], numbers[8];
        // So that weights are powers of 2.
        float scale = (p.scale_by_layer ? p.scale / (number + 1) : p.scale) * 1.4426950408889634f;
        widen<Real>(mine[part], query);
#pragma unroll
        for (int i = 0; i < 8; ++i) query[i] *= scale;
        Seen<Real, 1> seen;
        auto visit = [&](int base, Ahead& ahead) {
            float scores[AHEAD], top = seen.highest;
#pragma unroll
            for (int u = 0; u < AHEAD; ++u) {
                int position = seat.position(base, u);
                if (position == old) {
                    ahead.keys[u] = mine[PARTS + part];
                    ahead.values[u][0] = mine[2 * PARTS + part];
                }
                widen<Real>(ahead.keys[u], numbers);
                float score = 0;
#pragma unroll
                for (int i = 0; i < 8; ++i) score += query[i] * numbers[i];
#pragma unroll
                for (int d = PARTS / 2; d > 0; d /= 2) score += __shfl_xor_sync(0xffffffffu, score, d);
                scores[u] = position <= old ? score : -INFINITY;
                top = fmaxf(top, scores[u]);
            }
            if (top == -INFINITY) return;
            seen.take(scores, ahead.values, top);
        };
        int round = AHEAD * seat.stride();
        // All lanes of a warp go round equally often: scores are summed across them.
#pragma unroll 1
        for (int base = 0; base <= old; base += round) {
            visit(base, now);
            now = next;
            if (base + 2 * round <= old) request(seat, keys, values, base + 2 * round, next);
        }
        // The positions of a warp together, then those of the team.
        seen.join(PARTS);
        if (lane < PARTS) {
            float4* to = reinterpret_cast<float4*>(s.values[warp]) + 2 * part;
            const float(&sums)[8] = seen.values[0];
            to[0] = make_float4(sums[0], sums[1], sums[2], sums[3]);
            to[1] = make_float4(sums[4], sums[5], sums[6], sums[7]);
        }
        if (lane == 0) {
            s.highest[warp] = seen.highest;
            s.weights[warp] = seen.weight;
        }
        sync_first<WORKERS>();
        if (old < 0 || seat.member > 0) return;
        float total = 0;
        float2 sums = make_float2(0, 0);
        float top = -INFINITY;
        for (int i = 0; i < seat.team; ++i) top = fmaxf(top, s.highest[warp + i]);
        for (int i = 0; i < seat.team; ++i) {
            float highest = s.highest[warp + i];
            // A warp without positions has nothing but zeros.
            float factor = highest > -INFINITY ? exp2f(highest - top) : 0.0f;
            float2 two = reinterpret_cast<const float2*>(s.values[warp + i])[lane];
            total += s.weights[warp + i] * factor;
            sums.x += two.x * factor;
            sums.y += two.y * factor;
        }
        uint32_t* out = static_cast<uint32_t*>(p.attended) +
                        (row_of_group(CLUSTER * seat.row + rank) * HEAD_COUNT + head) * (HS / 2) + lane;
        *out = pack<Real>(__fdividef(sums.x, total), __fdividef(sums.y, total));
    }

    // -----------------------------------------------------------------------------------------------------------------

    __device__ void run() {
        if (threadIdx.x == 0) {
            for (uint64_t* barrier = s.full; barrier <= &s.come; ++barrier) {
                bool is_used = barrier >= s.used && barrier < s.used + PHASES;
                init_barrier(shared_address(barrier), is_used ? arrivals_of(WORKERS) : 1);
            }
            asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
            asm volatile("fence.proxy.async;" ::: "memory");
        }
        __syncthreads();
        // Four warps, because registers are handed over by fours.
        if (warp >= WARPS) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
            asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
#endif
            if (warp == WARPS) load_all();
            return;
        }
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
#endif
        wait_for_predecessor();
        if (threadIdx.x < p.m) s.rows[threadIdx.x] = p.rows[threadIdx.x];
        sync_first<WORKERS>();
        // Nobody sends before the barrier of the grid, so that what is sent finds its block ready.
        expect_exchange<HEADS>();
        embed();
        arrive();
        Seat seat = take_seat();
        uint8_t *keys = p.keys, *values = p.values;
#pragma unroll 1
        while (true) {
            heads(seat, keys, values);
            add_product<PROJECTION>(p.at.proj_bias, p.attended);
            up();
            if (number + 1 == p.layer_count) let_successor_start();
            add_product<DOWN>(p.at.down_bias, p.hidden);
            if (++number == p.layer_count) break;
            layer += p.layer_bytes;
            keys += p.cache_layer_bytes;
            values += p.cache_layer_bytes;
        }
        if (blockIdx.x < p.m) last_norm();
        leave();
    }

    // Of the row that is the block's number, by one warp.
    __device__ __forceinline__ void last_norm() {
        static_assert(M::ROWS <= BLOCKS, "each row has a block");
        constexpr int EACH = WIDTH / 4 / 32;
        static_assert(CLUSTERS <= 32 && WIDTH % 128 == 0, "a warp reads a row and what is known of it");
        float4 x[EACH], weight[EACH], bias[EACH];
        if (warp == 0) {
#pragma unroll
            for (int i = 0; i < EACH; ++i) {
                weight[i] = reinterpret_cast<const float4*>(p.norm_weight)[lane + 32 * i];
                bias[i] = reinterpret_cast<const float4*>(p.norm_bias)[lane + 32 * i];
            }
        }
        await();
        if (warp > 0) return;
#pragma unroll
        for (int i = 0; i < EACH; ++i) {
            x[i] = __ldcg(reinterpret_cast<const float4*>(p.x) + blockIdx.x * (WIDTH / 4) + lane + 32 * i);
        }
        float2 part = lane < CLUSTERS ? __ldcg(p.statistics + blockIdx.x * CLUSTERS + lane) : make_float2(0, 0);
        float mean = warp_sum(part.x) * (1.0f / CLUSTERS), distance = part.x - mean;
        float squares = warp_sum(lane < CLUSTERS ? part.y + OWN_COLUMNS * (distance * distance) : 0.0f);
        float scale = rsqrtf(squares * (1.0f / WIDTH) + p.epsilon);
#pragma unroll
        for (int i = 0; i < EACH; ++i) {
            uint32_t low = pack<Real>((x[i].x - mean) * scale * weight[i].x + bias[i].x,
                                      (x[i].y - mean) * scale * weight[i].y + bias[i].y);
            uint32_t high = pack<Real>((x[i].z - mean) * scale * weight[i].z + bias[i].z,
                                       (x[i].w - mean) * scale * weight[i].w + bias[i].w);
            static_cast<uint2*>(p.normed)[blockIdx.x * (WIDTH / 4) + lane + 32 * i] = make_uint2(low, high);
        }
    }
};

}  // namespace

#define STEP_LAYERS(name, Real, ROW_TILES, SHARED)                                           \
    static_assert(Memory<Real, ROW_TILES>::BYTES == SHARED, "the host gives so much");       \
    extern "C" __global__ void __cluster_dims__(CLUSTER, 1, 1) __launch_bounds__(THREADS, 1) \
        name(const __grid_constant__ StepLayers p) {                                         \
        extern __shared__ __align__(128) uint8_t memory[];                                   \
        __shared__ __align__(16) Fixed<16 * ROW_TILES> fixed;                                \
        Step<Real, ROW_TILES>(p, memory, fixed).run();                                       \
    }

STEP_LAYERS(step_layers_f16_16, half16, 1, 212992)
STEP_LAYERS(step_layers_f16_32, half16, 2, 172032)
STEP_LAYERS(step_layers_f16_64, half16, 4, 200832)
STEP_LAYERS(step_layers_bf16_16, bfloat16, 1, 212992)
STEP_LAYERS(step_layers_bf16_32, bfloat16, 2, 172032)
STEP_LAYERS(step_layers_bf16_64, bfloat16, 4, 200832)
