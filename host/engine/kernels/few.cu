// Products of few rows (at most 16), which are as fast as the weights can be read. Each warp reads its share of them
// before it waits for the kernel before, straight into registers.
//
// kernel                    rows at most  outputs a block  threads  dynamic shared bytes
// few_<real>_<rows>         8 or 16       8                256      0           f16 and bf16
// few_<real>_wide_<rows>    8 or 16       16               256      0
// few_<real>_norm_<rows>    8 or 16       24               256      8 * kp + 2 * m * (kp + 32); kp is at most 1,024
// few_<real>_long_<rows>    8 or 16       8, in turn       256      0; kp is at most 1,792; any number of blocks
// few_f32_1                 1             8                128      0
// few_f32_8                 16            8                128      0
#include "norm_rows.cuh"

namespace {

constexpr int WARPS = 8;
constexpr int MOST_ROWS = 16;

// Two neighbouring outputs of one row, n of them even, and what has to be read to finish them: the bias at any time,
// the rest once the predecessor is done. Read early, it does not keep the sums waiting.
template <typename Real>
struct Outputs {
    int row, n;
    float2 bias = {}, before = {};
    Real* to = nullptr;

    __device__ __forceinline__ Outputs(const Product& p, int row, int n) : row(row), n(n) {
        if (p.epilogue != EPILOGUE_LOGITS) bias = *reinterpret_cast<const float2*>(p.bias + n);
    }

    __device__ __forceinline__ float2* floats(const Product& p) const {
        return reinterpret_cast<float2*>(static_cast<float*>(p.out) + static_cast<int64_t>(row) * p.np + n);
    }

    __device__ __forceinline__ void read_late(const Product& p) {
        if (p.epilogue == EPILOGUE_RESIDUAL) before = *floats(p);
        if (p.epilogue == EPILOGUE_QKV) to = qkv_place<Real>(p, row, p.rows[row], n);
        if (p.epilogue == EPILOGUE_GELU) to = static_cast<Real*>(p.out) + static_cast<int64_t>(row) * p.np + n;
    }

    __device__ __forceinline__ void finish(const Product& p, float first, float second) const {
        first += bias.x;
        second += bias.y;
        if (p.epilogue == EPILOGUE_LOGITS || p.epilogue == EPILOGUE_RESIDUAL) {
            *floats(p) = make_float2(before.x + first, before.y + second);
            return;
        }
        if (!to) return;
        if (p.epilogue == EPILOGUE_GELU) {
            first = gelu(first, p.gelu_erf);
            second = gelu(second, p.gelu_erf);
        }
        if constexpr (sizeof(Real) == 4) {
            *reinterpret_cast<float2*>(to) = make_float2(first, second);
        } else {
            *reinterpret_cast<uint32_t*>(to) = pack<Real>(first, second);
        }
    }
};

// `TILES` times 8 outputs a block, for up to 8 * HALVES rows; DEPTH reads of each tile under way at once. QUADS: of
// norm_rows; 0 where nothing is normed.
template <typename Real, int TILES, int HALVES, int DEPTH, int QUADS>
__device__ void product(const Product& p) {
    extern __shared__ uint4 memory[];
    __shared__ float sums[WARPS][MOST_ROWS][8 * TILES + 2];
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int group = lane / 4, t = lane % 4;
    int k_blocks = p.kp / 32;
    int first_tile = blockIdx.x * TILES;
    const uint8_t* weights = static_cast<const uint8_t*>(p.w) + 16 * lane;
    const uint4 zero = make_uint4(0, 0, 0, 0);
    uint4 w[DEPTH][TILES];
    auto read = [&](int slot, int k_block) {
#pragma unroll
        for (int tile = 0; tile < TILES; ++tile) {
            bool there = k_block < k_blocks && (first_tile + tile) * 8 < p.np;
            int64_t of_tile = static_cast<int64_t>(first_tile + tile) * weight_blocks<Real>(p);
            int64_t block = of_tile + weight_block<Real>(p, k_block);
            w[slot][tile] = there ? load_once(weights + block * 512) : zero;
        }
    };
#pragma unroll
    for (int i = 0; i < DEPTH; ++i) read(i, warp + i * WARPS);
    constexpr int PAIRS = 4 * TILES;
    static_assert(MOST_ROWS * PAIRS <= 32 * WARPS, "a thread finishes one pair");
    int pair_row = threadIdx.x / PAIRS, pair_n = first_tile * 8 + threadIdx.x % PAIRS * 2;
    bool finishes = pair_row < p.m && pair_n < p.np;
    Outputs<Real> outputs(p, pair_row, finishes ? pair_n : 0);
    float4* norm_weights = reinterpret_cast<float4*>(memory);
    float4* norm_biases = norm_weights + p.kp / 4;
    if constexpr (QUADS > 0) {
        for (int i = threadIdx.x; i < p.kp / 4; i += 32 * WARPS) {
            norm_weights[i] = reinterpret_cast<const float4*>(p.norm_weight)[i];
            norm_biases[i] = reinterpret_cast<const float4*>(p.norm_bias)[i];
        }
        __syncthreads();
    }
    let_successor_start();
    wait_for_predecessor();
    if (finishes) outputs.read_late(p);

    const Real* a = static_cast<const Real*>(p.a);
    int stride = p.kp;
    if constexpr (QUADS > 0) {
        Real* normed = reinterpret_cast<Real*>(norm_biases + p.kp / 4);
        norm_rows<Real, QUADS, WARPS>(p, norm_weights, norm_biases, normed);
        __syncthreads();
        a = normed;
        stride = p.kp + 32;
    }
    const Real* from[HALVES];
    bool there[HALVES];
#pragma unroll
    for (int half = 0; half < HALVES; ++half) {
        int row = group + 8 * half;
        there[half] = row < p.m;
        from[half] = a + static_cast<int64_t>(there[half] ? row : 0) * stride + 8 * t;
    }
    float d[TILES][2][4] = {};
    for (int base = 0; base * WARPS < k_blocks; base += DEPTH) {
        // All reads before the first use, so that they wait together.
        uint4 x[DEPTH][HALVES];
#pragma unroll
        for (int i = 0; i < DEPTH; ++i) {
            int k_block = warp + (base + i) * WARPS;
#pragma unroll
            for (int half = 0; half < HALVES; ++half) {
                bool read = there[half] && k_block < k_blocks;
                x[i][half] = read ? *reinterpret_cast<const uint4*>(from[half] + 32 * k_block) : zero;
            }
        }
#pragma unroll
        for (int i = 0; i < DEPTH; ++i) {
            uint4 low = x[i][0], high = HALVES == 2 ? x[i][HALVES - 1] : zero;
#pragma unroll
            for (int tile = 0; tile < TILES; ++tile) {
                uint4 b = w[i][tile];
                mma<Real>(d[tile][0], low.x, high.x, low.y, high.y, b.x, b.y);
                mma<Real>(d[tile][1], low.z, high.z, low.w, high.w, b.z, b.w);
            }
            read(i, warp + (base + i + DEPTH) * WARPS);
        }
    }
#pragma unroll
    for (int tile = 0; tile < TILES; ++tile) {
        int n = 8 * tile + 2 * t;
        sums[warp][group][n] = d[tile][0][0] + d[tile][1][0];
        sums[warp][group][n + 1] = d[tile][0][1] + d[tile][1][1];
        sums[warp][group + 8][n] = d[tile][0][2] + d[tile][1][2];
        sums[warp][group + 8][n + 1] = d[tile][0][3] + d[tile][1][3];
    }
    __syncthreads();
    if (!finishes) return;
    int n = threadIdx.x % PAIRS * 2;
    float first = 0, second = 0;
#pragma unroll
    for (int part = 0; part < WARPS; ++part) {
        first += sums[part][pair_row][n];
        second += sums[part][pair_row][n + 1];
    }
    outputs.finish(p, first, second);
}

// Products with many outputs, of rows short enough to be kept in registers: a block takes tiles in turn, and reads the
// next one's weights while it adds up the present one's.
template <typename Real, int HALVES, int DEPTH>
__device__ void long_product(const Product& p) {
    __shared__ float sums[2][WARPS][MOST_ROWS][8 + 2];
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int group = lane / 4, t = lane % 4;
    int k_blocks = p.kp / 32, tiles = p.np / 8;
    const uint8_t* weights = static_cast<const uint8_t*>(p.w) + 16 * lane;
    const uint4 zero = make_uint4(0, 0, 0, 0);
    uint4 w[DEPTH];
    auto read = [&](int tile) {
#pragma unroll
        for (int i = 0; i < DEPTH; ++i) {
            int k_block = warp + i * WARPS;
            bool there = k_block < k_blocks && tile < tiles;
            w[i] = there ? load_once(weights + (static_cast<int64_t>(tile) * k_blocks + k_block) * 512) : zero;
        }
    };
    int tile = blockIdx.x;
    read(tile);
    let_successor_start();
    wait_for_predecessor();
    uint4 x[DEPTH][HALVES];
#pragma unroll
    for (int i = 0; i < DEPTH; ++i) {
        int k_block = warp + i * WARPS;
#pragma unroll
        for (int half = 0; half < HALVES; ++half) {
            int row = group + 8 * half;
            bool there = row < p.m && k_block < k_blocks;
            const Real* from = static_cast<const Real*>(p.a) + static_cast<int64_t>(row) * p.kp + 32 * k_block + 8 * t;
            x[i][half] = there ? *reinterpret_cast<const uint4*>(from) : zero;
        }
    }
    for (int turn = 0; tile < tiles; tile += gridDim.x, turn ^= 1) {
        float d[2][4] = {};
#pragma unroll
        for (int i = 0; i < DEPTH; ++i) {
            uint4 low = x[i][0], high = HALVES == 2 ? x[i][HALVES - 1] : zero;
            mma<Real>(d[0], low.x, high.x, low.y, high.y, w[i].x, w[i].y);
            mma<Real>(d[1], low.z, high.z, low.w, high.w, w[i].z, w[i].w);
        }
        read(tile + gridDim.x);
        float(*mine)[8 + 2] = sums[turn][warp];
        mine[group][2 * t] = d[0][0] + d[1][0];
        mine[group][2 * t + 1] = d[0][1] + d[1][1];
        if (HALVES == 2) {
            mine[group + 8][2 * t] = d[0][2] + d[1][2];
            mine[group + 8][2 * t + 1] = d[0][3] + d[1][3];
        }
        // The other half of the sums is read until the barrier of the next turn.
        __syncthreads();
        for (int i = threadIdx.x; i < p.m * 4; i += 32 * WARPS) {
            int row = i / 4, n = i % 4 * 2;
            float first = 0, second = 0;
#pragma unroll
            for (int part = 0; part < WARPS; ++part) {
                first += sums[turn][part][row][n];
                second += sums[turn][part][row][n + 1];
            }
            Outputs<Real>(p, row, tile * 8 + n).finish(p, first, second);
        }
    }
}

// In f32: two outputs a warp, for up to ROWS rows at once.
constexpr int F32_WARPS = 4;

struct Pair {
    float4 first, second;
};

__device__ __forceinline__ float4 load_four(const float* address) {
    uint4 raw = load_once(address);
    return make_float4(__uint_as_float(raw.x), __uint_as_float(raw.y), __uint_as_float(raw.z), __uint_as_float(raw.w));
}

template <int ROWS>
__device__ void product_f32(const Product& p) {
    constexpr int DEPTH = 4;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int n = (blockIdx.x * F32_WARPS + warp) * 2;
    const float* first = static_cast<const float*>(p.w) + static_cast<int64_t>(n) * p.kp;
    const float4 zero = make_float4(0, 0, 0, 0);
    auto read = [&](int k) {
        return k < p.kp ? Pair{load_four(first + k), load_four(first + p.kp + k)} : Pair{zero, zero};
    };
    Pair w[DEPTH];
#pragma unroll
    for (int i = 0; i < DEPTH; ++i) w[i] = read(4 * lane + 128 * i);
    let_successor_start();
    wait_for_predecessor();
    for (int base_row = 0; base_row < p.m; base_row += ROWS) {
        if (base_row > 0) {
#pragma unroll
            for (int i = 0; i < DEPTH; ++i) w[i] = read(4 * lane + 128 * i);
        }
        const float* a = static_cast<const float*>(p.a) + static_cast<int64_t>(base_row) * p.kp;
        int rows = min(ROWS, p.m - base_row);
        // Rows that there are not are read as the first one, and forgotten.
        auto read_rows = [&](int k, float4(&x)[ROWS]) {
#pragma unroll
            for (int row = 0; row < ROWS; ++row) {
                const float* from = a + static_cast<int64_t>(row < rows ? row : 0) * p.kp + k;
                x[row] = k < p.kp ? *reinterpret_cast<const float4*>(from) : zero;
            }
        };
        float d[ROWS][2] = {};
        float4 x[2][ROWS];
        read_rows(4 * lane, x[0]);
        for (int base = 0; base < p.kp; base += 128 * DEPTH) {
#pragma unroll
            for (int i = 0; i < DEPTH; ++i) {
                int k = base + 128 * i + 4 * lane;
                read_rows(k + 128, x[(i + 1) % 2]);
#pragma unroll
                for (int row = 0; row < ROWS; ++row) {
                    float4 v = x[i % 2][row];
                    d[row][0] += v.x * w[i].first.x + v.y * w[i].first.y + v.z * w[i].first.z + v.w * w[i].first.w;
                    d[row][1] += v.x * w[i].second.x + v.y * w[i].second.y + v.z * w[i].second.z + v.w * w[i].second.w;
                }
                w[i] = read(k + 128 * DEPTH);
            }
        }
#pragma unroll
        for (int row = 0; row < ROWS; ++row) {
            float x_sum = warp_sum(d[row][0]), y_sum = warp_sum(d[row][1]);
            if (lane == row && row < rows) {
                Outputs<float> outputs(p, base_row + row, n);
                outputs.read_late(p);
                outputs.finish(p, x_sum, y_sum);
            }
        }
    }
}

}  // namespace

#define FEW(name, ...)                                                                                    \
    extern "C" __global__ void __launch_bounds__(32 * WARPS, 2) name(const __grid_constant__ Product p) { \
        product<__VA_ARGS__>(p);                                                                          \
    }

#define FEW_LONG(name, ...)                                                                               \
    extern "C" __global__ void __launch_bounds__(32 * WARPS, 2) name(const __grid_constant__ Product p) { \
        long_product<__VA_ARGS__>(p);                                                                     \
    }

#define FEW_OF(name, Real)                      \
    FEW(few_##name##_8, Real, 1, 1, 12, 0)      \
    FEW(few_##name##_16, Real, 1, 2, 6, 0)      \
    FEW(few_##name##_wide_8, Real, 2, 1, 6, 0)  \
    FEW(few_##name##_wide_16, Real, 2, 2, 3, 0) \
    FEW(few_##name##_norm_8, Real, 3, 1, 3, 8)  \
    FEW(few_##name##_norm_16, Real, 3, 2, 3, 8) \
    FEW_LONG(few_##name##_long_8, Real, 1, 7)   \
    FEW_LONG(few_##name##_long_16, Real, 2, 7)

FEW_OF(f16, half16)
FEW_OF(bf16, bfloat16)

extern "C" __global__ void __launch_bounds__(32 * F32_WARPS) few_f32_8(const __grid_constant__ Product p) {
    product_f32<8>(p);
}

extern "C" __global__ void __launch_bounds__(32 * F32_WARPS) few_f32_1(const __grid_constant__ Product p) {
    product_f32<1>(p);
}
