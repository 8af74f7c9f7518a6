// Products of some rows (17 to 64) in f16 and bf16, for latency. Parameter: Product, with any epilogue.
// Grid: x = blocks of outputs, y = splits of k (1 unless EPILOGUE_PARTIAL). Every pointer is aligned to 16 bytes.
//
// kernel              rows at most  outputs a block  threads  dynamic shared bytes
// some_<real>_32      32            16               256      0; 20,672 static   f16 and bf16
// some_<real>_64      64            16               256      0; 41,152 static
//
// The warps of a block split k, so that each number of both factors is used by one warp only, straight from registers.
// With one split, sums are added in the order of few.cu, so that a row's results do not depend on how many rows come
// with it.
#include "common.cuh"

namespace {

constexpr int WARPS = 8;
constexpr int TILES = 2;  // of 8 outputs
constexpr int OUTPUTS = 8 * TILES;
constexpr int PAIRS = OUTPUTS / 2;
constexpr int TURN_ROWS = 32;  // rows that are added up at once
constexpr int ROW_TILES = TURN_ROWS / 8;
constexpr int SUMS_STRIDE = OUTPUTS + 4;  // so that 8 sums each of 4 rows, every second one, lie in different banks
constexpr int DEPTH = 3;                  // blocks of 32 numbers of k that a warp has in registers
constexpr int SPLIT_UNIT = 2;             // blocks of k

static_assert(TURN_ROWS * PAIRS == 32 * WARPS, "in each turn a thread finishes two outputs of one row");

// What finishing two neighbouring outputs takes that does not depend on the row. It is had before the sums are: at the
// end nothing would hide the wait for it.
template <typename Real>
struct Ending {
    float2 bias;
    Real* first;  // of EPILOGUE_QKV: the place in the queries of row 0, or in the cache of its first position
    bool queries;
};

// Reads only what no kernel writes.
template <typename Real>
__device__ __forceinline__ Ending<Real> ending_of(const Product& p, int n) {
    Ending<Real> ending = {make_float2(0, 0), nullptr, false};
    if (n >= p.np || p.epilogue == EPILOGUE_PARTIAL || p.epilogue == EPILOGUE_LOGITS) return ending;
    ending.bias = *reinterpret_cast<const float2*>(p.bias + n);
    if (p.epilogue == EPILOGUE_QKV) {
        ending.first = qkv_place<Real>(p, 0, Row{0, 0}, n);
        ending.queries = n < p.cache.heads * p.cache.hs;
    }
    return ending;
}

__device__ __forceinline__ float2* place_of_floats(const Product& p, int row, int n) {
    int64_t at = static_cast<int64_t>(blockIdx.y * p.m + row) * p.np + n;
    return reinterpret_cast<float2*>(static_cast<float*>(p.out) + at);
}

// What two outputs of a row need that the kernels before wrote: its Row, or what the sums are added to.
__device__ __forceinline__ uint2 read_before_sums(const Product& p, int row, int n) {
    if (row < p.m && n < p.np) {
        if (p.epilogue == EPILOGUE_QKV) return *reinterpret_cast<const uint2*>(p.rows + row);
        if (p.epilogue == EPILOGUE_RESIDUAL) return *reinterpret_cast<const uint2*>(place_of_floats(p, row, n));
    }
    return make_uint2(0, 0);
}

template <typename Real>
__device__ __forceinline__ void finish(const Product& p, const Ending<Real>& ending, uint2 before, int row, int n,
                                       float a, float b) {
    if (row >= p.m || n >= p.np) return;
    a += ending.bias.x;
    b += ending.bias.y;
    Real* to;
    if (p.epilogue == EPILOGUE_QKV) {
        int sequence = static_cast<int>(before.x), position = static_cast<int>(before.y);
        int64_t step = p.ap, steps = row;
        if (!ending.queries) {
            if (!ending.first || sequence < 0) return;
            step = p.cache.hs;
            steps = static_cast<int64_t>(sequence) * p.cache.heads * p.cache.room + position;
        }
        to = ending.first + steps * step;
    } else if (p.epilogue == EPILOGUE_GELU) {
        a = gelu(a, p.gelu_erf);
        b = gelu(b, p.gelu_erf);
        to = static_cast<Real*>(p.out) + static_cast<int64_t>(row) * p.np + n;
    } else {
        // `before` is 0 unless it is the residual stream.
        *place_of_floats(p, row, n) = make_float2(__uint_as_float(before.x) + a, __uint_as_float(before.y) + b);
        return;
    }
    *reinterpret_cast<uint32_t*>(to) = pack<Real>(a, b);
}

// For up to TURNS * TURN_ROWS rows. A turn's activations are read while the turn before is added up and finished.
// To the tensor cores weights are the factor of 16 rows, because its registers are of two rows by turns and so must be
// moved: weights are moved once a block of k, activations are used where they were read.
template <typename Real, int TURNS>
__device__ __forceinline__ void product(const Product& p) {
    __shared__ Ending<Real> endings[PAIRS];
    __shared__ __align__(16) float sums[TURNS][WARPS][TURN_ROWS * SUMS_STRIDE];
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int group = lane / 4, t = lane % 4;
    int k_blocks = p.kp / 32;
    int units = k_blocks / SPLIT_UNIT, splits = gridDim.y, split = blockIdx.y;
    int begin = units * split / splits * SPLIT_UNIT;
    int blocks = units * (split + 1) / splits * SPLIT_UNIT - begin;
    int chunks = (blocks + DEPTH * WARPS - 1) / (DEPTH * WARPS);
    int first_tile = blockIdx.x * TILES;
    const uint4 zero = make_uint4(0, 0, 0, 0);

    int of_tile = weight_blocks<Real>(p);
    const uint8_t* weights =
        static_cast<const uint8_t*>(p.w) + 16 * lane + static_cast<int64_t>(first_tile) * of_tile * 512;
    int tiles = p.np / 8 - first_tile;
    uint4 w[DEPTH][TILES];
    auto read_weights = [&](int i, int chunk) {
        int k_block = (chunk * DEPTH + i) * WARPS;
#pragma unroll
        for (int tile = 0; tile < TILES; ++tile) {
            bool there = k_block + warp < blocks && tile < tiles;
            int block = tile * of_tile + weight_block<Real>(p, begin + warp + k_block);
            w[i][tile] = there ? load_once(weights + block * 512) : zero;
        }
    };
#pragma unroll
    for (int i = 0; i < DEPTH; ++i) read_weights(i, 0);
    int n = threadIdx.x % PAIRS * 2;
    Ending<Real> ending = ending_of<Real>(p, threadIdx.x < PAIRS ? first_tile * 8 + n : p.np);
    let_successor_start();
    wait_for_predecessor();

    const Real* activations = static_cast<const Real*>(p.a) + group * p.kp + 32 * (begin + warp) + 8 * t;
    uint4 x[DEPTH][ROW_TILES];
    auto read_activations = [&](int i, int turn, int chunk) {
        int k_block = (chunk * DEPTH + i) * WARPS;
#pragma unroll
        for (int j = 0; j < ROW_TILES; ++j) {
            int row = turn * TURN_ROWS + 8 * j;
            bool there = k_block + warp < blocks && row + group < p.m;
            const Real* from = activations + row * p.kp + 32 * k_block;
            x[i][j] = there ? *reinterpret_cast<const uint4*>(from) : zero;
        }
    };
#pragma unroll
    for (int i = 0; i < DEPTH; ++i) read_activations(i, 0, 0);
    if (threadIdx.x < PAIRS) endings[threadIdx.x] = ending;
    int finished_row = threadIdx.x / PAIRS;
#pragma unroll 1
    for (int turn = 0; turn < TURNS && turn * TURN_ROWS < p.m; ++turn) {
        uint2 before = read_before_sums(p, turn * TURN_ROWS + finished_row, first_tile * 8 + n);
        int row_tiles = (p.m - turn * TURN_ROWS + 7) / 8;
        // The even and the odd steps of 16 numbers of k are added up apart.
        float even[ROW_TILES][4] = {}, odd[ROW_TILES][4] = {};
#pragma unroll 1
        for (int chunk = 0; chunk < chunks; ++chunk) {
            bool last = chunk + 1 == chunks;
            int next_turn = last ? turn + 1 : turn, next_chunk = last ? 0 : chunk + 1;
#pragma unroll
            for (int i = 0; i < DEPTH; ++i) {
                if (turn == 0 || chunks > 1) {  // freshly read
                    uint4 b = w[i][0], c = w[i][1];
                    w[i][0] = make_uint4(b.x, c.x, b.y, c.y);
                    w[i][1] = make_uint4(b.z, c.z, b.w, c.w);
                }
                uint4 b = w[i][0], c = w[i][1];
#pragma unroll
                for (int j = 0; j < ROW_TILES; ++j) {
                    if (j >= row_tiles) continue;
                    mma<Real>(even[j], b.x, b.y, b.z, b.w, x[i][j].x, x[i][j].y);
                    mma<Real>(odd[j], c.x, c.y, c.z, c.w, x[i][j].z, x[i][j].w);
                }
                read_activations(i, next_turn, next_chunk);
                if (chunks > 1) read_weights(i, next_chunk);
            }
        }
        float* place = sums[turn][warp] + 2 * t * SUMS_STRIDE + group;
#pragma unroll
        for (int j = 0; j < ROW_TILES; ++j) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                place[(8 * j + i % 2) * SUMS_STRIDE + i / 2 * 8] = even[j][i] + odd[j][i];
            }
        }
        __syncthreads();
        const float* pair = sums[turn][0] + finished_row * SUMS_STRIDE + n;
        float first = 0, second = 0;
#pragma unroll
        for (int part = 0; part < WARPS; ++part) {
            float2 sum = *reinterpret_cast<const float2*>(pair + part * TURN_ROWS * SUMS_STRIDE);
            first += sum.x;
            second += sum.y;
        }
        const Ending<Real>& ending = endings[threadIdx.x % PAIRS];
        finish(p, ending, before, turn * TURN_ROWS + finished_row, first_tile * 8 + n, first, second);
    }
}

}  // namespace

#define SOME(name, ...)                                                                                   \
    extern "C" __global__ void __launch_bounds__(32 * WARPS, 2) name(const __grid_constant__ Product p) { \
        product<__VA_ARGS__>(p);                                                                          \
    }

SOME(some_f16_32, half16, 1)
SOME(some_f16_64, half16, 2)
SOME(some_bf16_32, bfloat16, 1)
SOME(some_bf16_64, bfloat16, 2)
