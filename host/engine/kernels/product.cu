// Products of many rows (m > 16). Parameter: Product, with any epilogue but EPILOGUE_RESIDUAL. Threads: 128.
// Grid: x = tiles of outputs, y = tiles of rows, z = splits of k (1 unless EPILOGUE_PARTIAL). Every pointer is aligned
// to 16 bytes.
//
// kernel                 rows x outputs  dynamic shared bytes
// product_128x128_f16    128 x 128        98304
// product_64x128_f16      64 x 128        98304
// product_64x64_f16       64 x 64         65536
// product_64x32_f16       64 x 32         98304
// product_32x32_f16       32 x 32         65536
// product_128x128_bf16   128 x 128        98304
// product_64x128_bf16     64 x 128        98304
// product_64x64_bf16      64 x 64         65536
// product_64x32_bf16      64 x 32         98304
// product_32x32_bf16      32 x 32         65536
// product_128x64_tf32    128 x 64         98304
// product_64x32_tf32      64 x 32         98304
// product_64x64_f32       64 x 64         65536
// product_64x32_f32       64 x 32         73728
//
// Both operands lie in shared memory as blocks of 8 rows by 64 bytes of k, like blocked weights, but with the 16-byte
// chunks of a row swizzled. To the tensor cores a block is two steps of two chunks. (One read of 16 bytes of a row for
// two steps would do without ldmatrix, but then the registers of a factor are not neighbours, and the compiler moves
// them for every product.) Where there are warpgroups, tiles of 64 rows and more in 16 bits are multiplied by them.
// Every sum of one split is one chain over ascending k whatever the tile, so that a row's results do not depend on m;
// but the tensor cores' two ways need not round alike, so that 32 x 32 is no choice where the others are by warpgroups.
#include "common.cuh"
#include "shared_memory.cuh"
#include "warpgroup.cuh"

namespace product {

constexpr int SPLIT_UNIT = 64;  // numbers of k

// Row tiles that run together: about as many as make a wave of blocks square, which then reads the least.
constexpr int BAND = 16;

// Aligned for shared_factor.
extern __shared__ __align__(1024) char shared_memory[];

template <typename Real_, int ROWS_, int OUTPUTS_, int WARP_ROWS_, int WARP_OUTPUTS_, int BLOCKS_, int STAGES_>
struct Tile {
    using Real = Real_;
    static constexpr int ROWS = ROWS_;
    static constexpr int OUTPUTS = OUTPUTS_;
    static constexpr int WARP_ROWS = WARP_ROWS_;
    static constexpr int WARP_OUTPUTS = WARP_OUTPUTS_;
    static constexpr int BLOCKS = BLOCKS_;  // along k, in one stage
    static constexpr int STAGES = STAGES_;
    static constexpr int WARPS = ROWS / WARP_ROWS * (OUTPUTS / WARP_OUTPUTS);
    static constexpr int WARPS_ALONG_ROWS = ROWS / WARP_ROWS;
    static constexpr int WEIGHTS_AT = ROWS * BLOCKS * BLOCK_WIDTH;
    static constexpr int STAGE_BYTES = (ROWS + OUTPUTS) * BLOCKS * BLOCK_WIDTH;
    static constexpr int M = WARP_ROWS / 16;
    static constexpr int N = WARP_OUTPUTS / 8;
    static constexpr int SUMS_STRIDE = OUTPUTS + 8;  // so that 4 rows' pairs of sums lie in different banks
    static constexpr int PLACES_AT = ROWS * SUMS_STRIDE * 4;
    static_assert(WARPS == 4, "the kernels are launched with 128 threads");
    static_assert(ROWS <= WARPS * 32, "every row has a thread");
    static_assert(WEIGHTS_AT % BLOCK_BYTES == 0 && STAGE_BYTES % BLOCK_BYTES == 0, "blocks are aligned to themselves");
    static_assert(BLOCKS == 1 || BLOCKS == 2, "the loop over k takes two blocks at a time");
    static_assert(STAGES >= 3, "one stage is multiplied, one is awaited, one is refilled");
    static_assert(PLACES_AT + ROWS * sizeof(Row) <= STAGES * STAGE_BYTES,
                  "sums and places take the place of the stages");
};

// Whether the tile's threads multiply together, from shared memory.
template <typename T>
__host__ __device__ constexpr bool by_warpgroup() {
    return HAS_WARPGROUPS && sizeof(typename T::Real) == 2 && T::ROWS % 64 == 0;
}

// A factor of the tensor cores' float product, rounded to the 19 bits that they read.
__device__ __forceinline__ uint32_t round_to_tf32(uint32_t x) {
    uint32_t rounded;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(__uint_as_float(x)));
    return rounded;
}

template <typename Real>
__device__ __forceinline__ void multiply_accumulate(float (&d)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3,
                                                    uint32_t b0, uint32_t b1) {
    mma<Real>(d, a0, a1, a2, a3, b0, b1);
}
template <>
__device__ __forceinline__ void multiply_accumulate<float>(float (&d)[4], uint32_t a0, uint32_t a1, uint32_t a2,
                                                           uint32_t a3, uint32_t b0, uint32_t b1) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// Matrices as factors of a product.
template <typename Real>
__device__ __forceinline__ uint4 load_factors(uint32_t shared) {
    uint4 x = load_matrices(shared);
    if constexpr (sizeof(Real) == 4) {
        x = make_uint4(round_to_tf32(x.x), round_to_tf32(x.y), round_to_tf32(x.z), round_to_tf32(x.w));
    }
    return x;
}

// One operand of the tile, in either layout, as a thread copies it: 16 bytes of every block that is its warp's turn.
template <typename T, int ROWS, bool BLOCKED>
struct Side {
    static constexpr int COPIES = ROWS / BLOCK_ROWS * T::BLOCKS / T::WARPS;
    static constexpr int ROW_STEP = BLOCK_ROWS * T::WARPS / T::BLOCKS;
    static constexpr int SOURCE_BLOCK_BYTES = BLOCKED ? BLOCK_BYTES : BLOCK_WIDTH;

    const char* source;
    uint32_t target;
    int row_bytes;
    int rows_left;

    __device__ __forceinline__ Side(const void* matrix, int first_row, int rows, int row_bytes, int first_block,
                                    uint32_t shared)
        : row_bytes(row_bytes) {
        int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
        int row = first_row + warp / T::BLOCKS * BLOCK_ROWS;
        int within_block = BLOCKED ? lane * 16 : lane / 4 * row_bytes + lane % 4 * 16;
        source = static_cast<const char*>(matrix) + static_cast<int64_t>(row) * row_bytes + within_block +
                 static_cast<int64_t>(first_block + warp % T::BLOCKS) * SOURCE_BLOCK_BYTES;
        target = shared + warp * BLOCK_BYTES + place_in_block(lane / 4, lane % 4);
        rows_left = rows - row - lane / 4;
    }

    __device__ __forceinline__ void copy(int stage, uint32_t buffer) const {
        const char* from = source + static_cast<int64_t>(stage) * (T::BLOCKS * SOURCE_BLOCK_BYTES);
#pragma unroll
        for (int i = 0; i < COPIES; i++) {
            copy_16_bytes(target + buffer + i * (T::WARPS * BLOCK_BYTES),
                          from + static_cast<int64_t>(i * ROW_STEP) * row_bytes, i * ROW_STEP < rows_left);
        }
    }
};

// Copies a tile's operands to a ring of stages in shared memory.
template <typename T>
struct Pipeline {
    static constexpr bool BLOCKED = sizeof(typename T::Real) == 2;

    Side<T, T::ROWS, false> activations;
    Side<T, T::OUTPUTS, BLOCKED> weights;
    int stages;
    int weight_stages;  // after which weights start again

    __device__ __forceinline__ Pipeline(const Product& p, int row, int output, int first_block, int stages,
                                        uint32_t shared)
        : activations(p.a, row, p.m, p.kp * static_cast<int>(sizeof(typename T::Real)), first_block, shared),
          weights(
              p.w, output, p.np,
              (BLOCKED ? 32 * weight_blocks<typename T::Real>(p) : p.kp) * static_cast<int>(sizeof(typename T::Real)),
              first_block, shared + T::WEIGHTS_AT),
          stages(stages),
          weight_stages(from_parts<typename T::Real>() ? p.kw / 32 / T::BLOCKS : stages) {}

    static __device__ __forceinline__ int buffer(int stage) { return stage % T::STAGES * T::STAGE_BYTES; }

    __device__ __forceinline__ void copy_weights(int stage) const {
        bool again = from_parts<typename T::Real>() && stage >= weight_stages;
        weights.copy(again ? stage - weight_stages : stage, buffer(stage));
    }

    // After this the first stage is there.
    __device__ __forceinline__ void start() const {
#pragma unroll
        for (int stage = 0; stage < T::STAGES - 1; stage++) {
            if (stage < stages) copy_weights(stage);
        }
        wait_for_predecessor();
#pragma unroll
        for (int stage = 0; stage < T::STAGES - 1; stage++) {
            if (stage < stages) activations.copy(stage, buffer(stage));
            end_copy_group();
        }
        wait_for_copy_groups<T::STAGES - 2>();
        meet();
    }

    // After this the stage after `stage` is there, and the one before it is refilled: every thread comes here when what
    // reads that one is done.
    __device__ __forceinline__ void advance(int stage) const {
        wait_for_copy_groups<T::STAGES - 3>();
        meet();
        int refill = stage + T::STAGES - 1;
        if (refill < stages) {
            copy_weights(refill);
            activations.copy(refill, buffer(refill));
        }
        end_copy_group();
    }

    static __device__ __forceinline__ void meet() {
        if constexpr (by_warpgroup<T>()) show_to_tensor_cores();
        __syncthreads();
    }
};

template <typename Real>
__device__ __forceinline__ void store_four(Real* place, float4 x) {
    *reinterpret_cast<uint2*>(place) = make_uint2(pack<Real>(x.x, x.y), pack<Real>(x.z, x.w));
}
template <>
__device__ __forceinline__ void store_four<float>(float* place, float4 x) {
    *reinterpret_cast<float4*>(place) = x;
}

// Where a thread's outputs, which begin with n, go row by row. What qkv_place divides is divided once: the rest of it
// is linear in the row or in the row's place in the cache. (A head's size is a multiple of 16: what holds of two
// neighbours holds of four.)
template <typename Real, Epilogue EPILOGUE>
struct Places {
    Real* first;
    bool queries;

    __device__ __forceinline__ Places(const Product& p, int n) {
        if constexpr (EPILOGUE == EPILOGUE_QKV) {
            first = qkv_place<Real>(p, 0, Row{0, 0}, n);
            queries = n < p.cache.heads * p.cache.hs;
        } else {
            first = static_cast<Real*>(p.out) + static_cast<int64_t>(blockIdx.z) * p.m * p.np + n;
            queries = false;
        }
    }

    // nullptr for what is not kept.
    __device__ __forceinline__ Real* of_row(const Product& p, int row, Row where) const {
        if constexpr (EPILOGUE == EPILOGUE_QKV) {
            if (queries) return first + static_cast<int64_t>(row) * p.ap;
            if (!first || where.sequence < 0) return nullptr;
            int64_t sequence = static_cast<int64_t>(where.sequence) * p.cache.heads * p.cache.room;
            return first + (sequence + where.position) * p.cache.hs;
        }
        return first + static_cast<int64_t>(row) * p.np;
    }
};

// Where the row of the tile that has the thread's number lies. It is read before the product, which hides how long that
// takes.
template <typename T>
__device__ __forceinline__ Row place_of_row(const Product& p, int first_row) {
    int row = first_row + threadIdx.x;
    bool wanted = p.epilogue == EPILOGUE_QKV && threadIdx.x < T::ROWS && row < p.m;
    return wanted ? p.rows[row] : Row{-1, 0};
}

// A thread has of the tile the outputs n + 8j and n + 8j + 1 of the rows row + STEP i and row + STEP i + 8.
template <typename T, int STEP, int M, int N>
__device__ __forceinline__ void share_sums(const float (&sums)[M][N][4], int row, int n, Row place_of_row) {
    float* place = reinterpret_cast<float*>(shared_memory) + row * T::SUMS_STRIDE + n;
    __syncthreads();
    if (threadIdx.x < T::ROWS) reinterpret_cast<Row*>(shared_memory + T::PLACES_AT)[threadIdx.x] = place_of_row;
#pragma unroll
    for (int i = 0; i < 2 * M; i++) {
        float* of_row = place + (i / 2 * STEP + i % 2 * 8) * T::SUMS_STRIDE;
#pragma unroll
        for (int j = 0; j < N; j++) {
            const float* pair = &sums[i / 2][j][i % 2 * 2];
            *reinterpret_cast<float2*>(of_row + 8 * j) = make_float2(pair[0], pair[1]);
        }
    }
    __syncthreads();
}

// A thread takes the same four outputs of every row that is its turn.
template <typename T, typename Out, Epilogue EPILOGUE, bool GELU_ERF = false>
__device__ __forceinline__ void store_tile(const Product& p, int first_row, int first_output) {
    constexpr int THREADS_OF_ROW = T::OUTPUTS / 4, ROWS_AT_ONCE = T::WARPS * 32 / THREADS_OF_ROW;
    int column = threadIdx.x % THREADS_OF_ROW * 4, n = first_output + column;
    if (n >= p.np) return;
    float4 bias = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    if constexpr (EPILOGUE != EPILOGUE_PARTIAL) bias = *reinterpret_cast<const float4*>(p.bias + n);
    const float* sums = reinterpret_cast<const float*>(shared_memory) + column;
    const Row* of_rows = reinterpret_cast<const Row*>(shared_memory + T::PLACES_AT);
    Places<Out, EPILOGUE> places(p, n);
    int rows = min(T::ROWS, p.m - first_row);
#pragma unroll 4
    for (int row = threadIdx.x / THREADS_OF_ROW; row < rows; row += ROWS_AT_ONCE) {
        float4 x = *reinterpret_cast<const float4*>(sums + row * T::SUMS_STRIDE);
        x = make_float4(x.x + bias.x, x.y + bias.y, x.z + bias.z, x.w + bias.w);
        if constexpr (EPILOGUE == EPILOGUE_GELU) {
            x = make_float4(gelu(x.x, GELU_ERF), gelu(x.y, GELU_ERF), gelu(x.z, GELU_ERF), gelu(x.w, GELU_ERF));
        }
        Out* place = places.of_row(p, first_row + row, of_rows[row]);
        if (place) store_four<Out>(place, x);
    }
}

// The sums go through shared memory to be finished by a short loop: registers would want it unrolled, which with all
// that an output takes is more code than the instruction cache holds.
template <typename T>
__device__ __forceinline__ void finish(const Product& p, int first_row, int first_output) {
    if (p.epilogue == EPILOGUE_QKV) {
        store_tile<T, typename T::Real, EPILOGUE_QKV>(p, first_row, first_output);
    } else if (p.epilogue == EPILOGUE_GELU && p.gelu_erf) {
        store_tile<T, typename T::Real, EPILOGUE_GELU, true>(p, first_row, first_output);
    } else if (p.epilogue == EPILOGUE_GELU) {
        // By itself, so that several are computed at once.
        store_tile<T, typename T::Real, EPILOGUE_GELU, false>(p, first_row, first_output);
    } else {
        // Logits are the partial sums of one split.
        store_tile<T, float, EPILOGUE_PARTIAL>(p, first_row, first_output);
    }
}

struct TileIndex {
    int row;
    int output;
};

// Down a band of row tiles first, so that blocks which share weights run together.
__device__ __forceinline__ TileIndex tile_of_block() {
    int rows = gridDim.y, outputs = gridDim.x;
    int block = blockIdx.y * outputs + blockIdx.x;
    int first_row = block / (BAND * outputs) * BAND;
    int height = min(BAND, rows - first_row);
    int within = block - first_row * outputs;
    return {first_row + within % height, within / height};
}

// What a block of threads works at, and where a warp's part of it begins.
template <typename T>
struct Work {
    int row, output;
    int warp_row, warp_output;
    int first_block, stages;

    __device__ __forceinline__ explicit Work(const Product& p) {
        TileIndex tile = tile_of_block();
        row = tile.row * T::ROWS;
        output = tile.output * T::OUTPUTS;
        int warp = threadIdx.x / 32;
        warp_row = warp % T::WARPS_ALONG_ROWS * T::WARP_ROWS;
        warp_output = warp / T::WARPS_ALONG_ROWS * T::WARP_OUTPUTS;
        int units = p.kp / SPLIT_UNIT, splits = gridDim.z, split = blockIdx.z;
        int first = units * split / splits, end = units * (split + 1) / splits;
        constexpr int BLOCKS_OF_UNIT = SPLIT_UNIT * sizeof(typename T::Real) / BLOCK_WIDTH;
        first_block = first * BLOCKS_OF_UNIT;
        stages = (end - first) * BLOCKS_OF_UNIT / T::BLOCKS;
    }
};

template <typename Real>
__device__ __forceinline__ void load_row_factors(uint4 (&a)[2], uint32_t first_step, uint32_t second_step, int at) {
    a[0] = load_factors<Real>(first_step + at);
    a[1] = load_factors<Real>(second_step + at);
}

template <typename Real, int N>
__device__ __forceinline__ void load_output_factors(uint4 (&b)[N], uint32_t shared, int group_bytes) {
#pragma unroll
    for (int j = 0; j < N; j++) b[j] = load_factors<Real>(shared + j * group_bytes);
}

template <typename Real, int N>
__device__ __forceinline__ void multiply_rows(float (&sums)[N][4], const uint4 (&a)[2], const uint4 (&b)[N]) {
#pragma unroll
    for (int j = 0; j < N; j++) multiply_accumulate<Real>(sums[j], a[0].x, a[0].y, a[0].z, a[0].w, b[j].x, b[j].y);
#pragma unroll
    for (int j = 0; j < N; j++) multiply_accumulate<Real>(sums[j], a[1].x, a[1].y, a[1].z, a[1].w, b[j].z, b[j].w);
}

// Factors are read a step ahead, across stages, because a tile may be alone on its multiprocessor with one warp a
// scheduler: of b those of the next block, of a those of the next 16 rows. What that reads after the last block is
// unused.
template <typename T>
__device__ __forceinline__ void multiply_on_tensor_cores(const Pipeline<T>& pipeline, const Work<T>& work,
                                                         uint32_t shared, float (&sums)[T::M][T::N][4]) {
    using Real = typename T::Real;
    constexpr int GROUP_BYTES = T::BLOCKS * BLOCK_BYTES;
    int row = threadIdx.x % 8, matrix = threadIdx.x % 32 / 8;
    uint32_t rows = shared + (work.warp_row / BLOCK_ROWS + matrix % 2) * GROUP_BYTES;
    uint32_t first_step = rows + place_in_block(row, matrix / 2);
    uint32_t second_step = rows + place_in_block(row, 2 + matrix / 2);
    uint32_t outputs = shared + T::WEIGHTS_AT + work.warp_output / BLOCK_ROWS * GROUP_BYTES;
    outputs += place_in_block(row, matrix);
    uint4 a[2][2], b[2][T::N];
    load_row_factors<Real>(a[0], first_step, second_step, 0);
    load_output_factors<Real>(b[0], outputs, GROUP_BYTES);
    int stage = 0;
    while (stage < work.stages) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            bool last_of_stage = (half + 1) % T::BLOCKS == 0;
            if (last_of_stage) pipeline.advance(stage);
            int block = pipeline.buffer(stage) + half % T::BLOCKS * BLOCK_BYTES;
            int next_block = last_of_stage ? pipeline.buffer(stage + 1) : block + BLOCK_BYTES;
            load_output_factors<Real>(b[(half + 1) % 2], outputs + next_block, GROUP_BYTES);
#pragma unroll
            for (int i = 0; i < T::M; i++) {
                int turn = half * T::M + i;
                int next = i + 1 < T::M ? block + (i + 1) * 2 * GROUP_BYTES : next_block;
                load_row_factors<Real>(a[(turn + 1) % 2], first_step, second_step, next);
                multiply_rows<Real>(sums[i], a[turn % 2], b[half]);
            }
            if (last_of_stage) stage++;
        }
    }
}

// The products of a stage run while the next one's copies are started and waited for.
template <typename T>
__device__ __forceinline__ void multiply_by_warpgroup(const Pipeline<T>& pipeline, int stages, uint32_t shared,
                                                      float (&sums)[T::ROWS / 64][T::OUTPUTS / 8][4]) {
    constexpr int GROUP_BYTES = T::BLOCKS * BLOCK_BYTES;
    constexpr int STEP_BYTES = 32;  // of k, of a product
    for (int stage = 0; stage < stages; stage++) {
        uint32_t rows = shared + pipeline.buffer(stage), outputs = rows + T::WEIGHTS_AT;
        begin_products();
#pragma unroll
        for (int step = 0; step < T::BLOCKS * BLOCK_WIDTH / STEP_BYTES; step++) {
            int at = step * STEP_BYTES / BLOCK_WIDTH * BLOCK_BYTES + step * STEP_BYTES % BLOCK_WIDTH;
            uint64_t b = shared_factor(outputs + at, GROUP_BYTES);
#pragma unroll
            for (int i = 0; i < T::ROWS / 64; i++) {
                uint64_t a = shared_factor(rows + at + i * (64 / BLOCK_ROWS) * GROUP_BYTES, GROUP_BYTES);
                WarpgroupProduct<typename T::Real, T::OUTPUTS>::add(sums[i], a, b);
            }
        }
        end_product_group();
        wait_for_product_groups<1>();
        pipeline.advance(stage);
    }
    wait_for_product_groups<0>();
}

__device__ __forceinline__ float add_products(float4 a, float4 b, float sum) {
    return fmaf(a.w, b.w, fmaf(a.z, b.z, fmaf(a.y, b.y, fmaf(a.x, b.x, sum))));
}

// `rows` and `outputs` are where the chunk of this thread's first row and of the first of its two outputs lies. The two
// outputs share a place in the swizzle.
template <typename T>
__device__ __forceinline__ void multiply_chunk(float (&sums)[T::M][T::N][4], const char* rows, const char* outputs) {
    constexpr int GROUP_BYTES = T::BLOCKS * BLOCK_BYTES;
    float4 a[2 * T::M], b[T::N][2];
#pragma unroll
    for (int i = 0; i < 2 * T::M; i++) a[i] = *reinterpret_cast<const float4*>(rows + i * GROUP_BYTES);
#pragma unroll
    for (int j = 0; j < T::N; j++) {
        b[j][0] = *reinterpret_cast<const float4*>(outputs + j * GROUP_BYTES);
        b[j][1] = *reinterpret_cast<const float4*>(outputs + j * GROUP_BYTES + BLOCK_WIDTH);
    }
#pragma unroll
    for (int i = 0; i < 2 * T::M; i++) {
#pragma unroll
        for (int j = 0; j < T::N; j++) {
            float* pair = &sums[i / 2][j][i % 2 * 2];
            pair[0] = add_products(a[i], b[j][0], pair[0]);
            pair[1] = add_products(a[i], b[j][1], pair[1]);
        }
    }
}

template <typename T>
__device__ __forceinline__ void multiply_exactly(const Pipeline<T>& pipeline, const Work<T>& work,
                                                 float (&sums)[T::M][T::N][4]) {
    constexpr int GROUP_BYTES = T::BLOCKS * BLOCK_BYTES;
    int row = threadIdx.x % 8, pair = threadIdx.x % 32 / 8;
    const char* rows = shared_memory + work.warp_row / BLOCK_ROWS * GROUP_BYTES;
    const char* outputs = shared_memory + T::WEIGHTS_AT + work.warp_output / BLOCK_ROWS * GROUP_BYTES;
    for (int stage = 0; stage < work.stages; stage++) {
        pipeline.advance(stage);
#pragma unroll 1
        for (int block = 0; block < T::BLOCKS; block++) {
            int at = pipeline.buffer(stage) + block * BLOCK_BYTES;
#pragma unroll
            for (int chunk = 0; chunk < BLOCK_WIDTH / 16; chunk++) {
                multiply_chunk<T>(sums, rows + at + place_in_block(row, chunk),
                                  outputs + at + place_in_block(2 * pair, chunk));
            }
        }
    }
}

// By the first block that takes these outputs: it is for all.
template <typename T>
__device__ __forceinline__ void prefetch_bias(const Product& p, const Work<T>& work) {
    int n = work.output + threadIdx.x * FLOATS_OF_LINE;
    bool is_first = work.row == 0 && work.first_block == 0;
    if (is_first && p.bias && threadIdx.x < T::OUTPUTS / FLOATS_OF_LINE && n < p.np) prefetch(p.bias + n);
}

// EXACT: in float, without the tensor cores.
template <typename T, bool EXACT>
__device__ __forceinline__ void multiply(const Product& p) {
    let_successor_start();
    Work<T> work(p);
    uint32_t shared = shared_address(shared_memory);
    Pipeline<T> pipeline(p, work.row, work.output, work.first_block, work.stages, shared);
    prefetch_bias<T>(p, work);
    pipeline.start();
    Row place = place_of_row<T>(p, work.row);
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    if constexpr (by_warpgroup<T>()) {
        float sums[T::ROWS / 64][T::OUTPUTS / 8][4] = {};
        multiply_by_warpgroup<T>(pipeline, work.stages, shared, sums);
        share_sums<T, 64>(sums, warp * 16 + lane / 4, lane % 4 * 2, place);
    } else {
        float sums[T::M][T::N][4] = {};
        if constexpr (EXACT) {
            multiply_exactly<T>(pipeline, work, sums);
            share_sums<T, 16>(sums, work.warp_row + lane % 8, work.warp_output + lane / 8 * 2, place);
        } else {
            multiply_on_tensor_cores<T>(pipeline, work, shared, sums);
            share_sums<T, 16>(sums, work.warp_row + lane / 4, work.warp_output + lane % 4 * 2, place);
        }
    }
    finish<T>(p, work.row, work.output);
}

// Warps of 64 x 64 because narrower ones are bound by reads of shared memory.
template <typename Real>
using Large = Tile<Real, 128, 128, 64, 64, 1, 6>;
template <typename Real>
using Wide = Tile<Real, 64, 128, 32, 64, 2, 4>;
template <typename Real>
using Medium = Tile<Real, 64, 64, 32, 32, 2, 4>;
// Many stages because few rows are bound by reads of weights, of which there must be many under way.
template <typename Real>
using Small = Tile<Real, 64, 32, 32, 16, 2, 8>;
template <typename Real>
using Tiny = Tile<Real, 32, 32, 16, 16, 2, 8>;
using LargeTf32 = Tile<float, 128, 64, 64, 32, 2, 4>;
using MediumExact = Tile<float, 64, 64, 64, 16, 2, 4>;
using SmallExact = Tile<float, 64, 32, 32, 16, 2, 6>;

}  // namespace product

#define PRODUCT_KERNEL(name, blocks_per_multiprocessor, EXACT, ...)              \
    extern "C" __global__ void __launch_bounds__(128, blocks_per_multiprocessor) \
        name(const __grid_constant__ Product p) {                                \
        product::multiply<product::__VA_ARGS__, EXACT>(p);                       \
    }

PRODUCT_KERNEL(product_128x128_f16, 2, false, Large<half16>)
PRODUCT_KERNEL(product_64x128_f16, 2, false, Wide<half16>)
PRODUCT_KERNEL(product_64x64_f16, 3, false, Medium<half16>)
PRODUCT_KERNEL(product_64x32_f16, 2, false, Small<half16>)
PRODUCT_KERNEL(product_32x32_f16, 3, false, Tiny<half16>)
PRODUCT_KERNEL(product_128x128_bf16, 2, false, Large<bfloat16>)
PRODUCT_KERNEL(product_64x128_bf16, 2, false, Wide<bfloat16>)
PRODUCT_KERNEL(product_64x64_bf16, 3, false, Medium<bfloat16>)
PRODUCT_KERNEL(product_64x32_bf16, 2, false, Small<bfloat16>)
PRODUCT_KERNEL(product_32x32_bf16, 3, false, Tiny<bfloat16>)
PRODUCT_KERNEL(product_128x64_tf32, 2, false, LargeTf32)
PRODUCT_KERNEL(product_64x32_tf32, 2, false, Small<float>)
PRODUCT_KERNEL(product_64x64_f32, 3, true, MediumExact)
PRODUCT_KERNEL(product_64x32_f32, 3, true, SmallExact)

#undef PRODUCT_KERNEL
