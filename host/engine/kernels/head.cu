// sm_90
// The head of up to 64 sequences in f16 and bf16, and the choice of their next tokens, where any token may be chosen:
// so that logits, which are read nowhere else then, need not be written. Parameter: Head. Grid: blocks that run at
// once.
//
// kernel              rows at most  threads  dynamic shared bytes
// head_<real>_<rows>  16, 32 or 64  288      2 * rows * (kp + 32) + 16384 * stages
//
// A block has all rows in shared memory and takes every gridDim.x-th unit of 64 outputs, whose weights one warp has
// copied through a ring of stages. Every sum is one chain over ascending k, and the best of candidates does not depend
// on their order.
#include "barriers.cuh"
#include "choose.cuh"
#include "common.cuh"

namespace {

constexpr int WARPS = 8, WORKERS = 32 * WARPS, THREADS = WORKERS + 32;
constexpr int TILES = 8;   // of eight outputs, of a unit
constexpr int BLOCKS = 4;  // of 32 columns, of a stage
constexpr int STAGE_BYTES = TILES * BLOCKS * 512;
constexpr int MOST_STAGES = 8;
// So that eight lanes of two rows read all banks.
constexpr int PADDING = 32;

template <int ROWS>
struct Fixed {
    uint64_t full[MOST_STAGES], empty[MOST_STAGES];
    Choice choices[ROWS];
    uint32_t steps[ROWS];
    uint64_t best[WARPS][ROWS];
};

// The stage that comes next, of those that are taken in turn.
struct Turn {
    int stage = 0;
    uint32_t parity = 0;

    __device__ __forceinline__ void next(int stages) {
        if (++stage < stages) return;
        stage = 0;
        parity ^= 1;
    }
};

template <typename Real, int ROW_TILES>
struct Work {
    static constexpr int ROWS = 16 * ROW_TILES;
    // Row tiles and output tiles of a warp.
    static constexpr int OWN_ROWS = ROW_TILES == 1 ? 1 : 2;
    static constexpr int OUTPUT_WARPS = WARPS * OWN_ROWS / ROW_TILES;
    static constexpr int OWN_OUTPUTS = TILES / OUTPUT_WARPS;

    const Head& p;
    Fixed<ROWS>& s;
    uint8_t* ring;
    Real* rows;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int tiles, k_blocks, stride;

    __device__ Work(const Head& p, uint8_t* memory, Fixed<ROWS>& s)
        : p(p),
          s(s),
          ring(memory),
          rows(reinterpret_cast<Real*>(memory + p.stages * STAGE_BYTES)),
          tiles(p.choose.vp / 8),
          k_blocks(p.kp / 32),
          stride(p.kp + PADDING) {}

    __device__ __forceinline__ void load() {
        Turn turn;
        bool first = true;
        for (int unit = blockIdx.x; unit * TILES < tiles; unit += gridDim.x) {
            int count = min(TILES, tiles - unit * TILES);
            const uint8_t* from = static_cast<const uint8_t*>(p.w);
            from += (static_cast<int64_t>(unit) * TILES + lane) * k_blocks * 512;
#pragma unroll 1
            for (int block = 0; block < k_blocks; block += BLOCKS) {
                int bytes = 512 * min(BLOCKS, k_blocks - block);
                if (!first) await_phase(&s.empty[turn.stage], turn.parity ^ 1);
                uint32_t full = shared_address(&s.full[turn.stage]);
                if (lane == 0) expect(full, count * bytes);
                __syncwarp();
                if (lane < count) {
                    uint32_t to = shared_address(ring + turn.stage * STAGE_BYTES + lane * (BLOCKS * 512));
                    copy_bulk(to, from + block * 512, bytes, full, evict_first());
                }
                turn.next(p.stages);
                if (turn.stage == 0) first = false;
            }
        }
    }

    // The rows of the input, and zeros for those that are not there.
    __device__ __forceinline__ void read_rows() {
        int chunks = p.kp / 8;
        const uint8_t* from = static_cast<const uint8_t*>(p.a);
        for (int i = threadIdx.x; i < ROWS * chunks; i += WORKERS) {
            int row = i / chunks, chunk = i - row * chunks;
            bool there = row < p.choose.m;
            copy_16_bytes(shared_address(rows + row * stride + 8 * chunk),
                          from + (there ? (static_cast<int64_t>(row) * chunks + chunk) * 16 : 0), there);
        }
        end_copy_group();
        for (int row = threadIdx.x; row < p.choose.m; row += WORKERS) {
            s.choices[row] = p.choose.choices[row];
            s.steps[row] = p.choose.steps[row];
        }
        wait_for_copy_groups<0>();
        sync_first<WORKERS>();
    }

    __device__ __forceinline__ void multiply(Turn& turn, int first_row, int first_tile,
                                             float (&sums)[OWN_ROWS][OWN_OUTPUTS][4]) {
        const Real* a = rows + (first_row + lane / 4) * stride + 8 * (lane % 4);
#pragma unroll 1
        for (int block = 0; block < k_blocks; block += BLOCKS) {
            await_phase(&s.full[turn.stage], turn.parity);
            const uint8_t* b = ring + turn.stage * STAGE_BYTES + first_tile * (BLOCKS * 512) + 16 * lane;
#pragma unroll
            for (int k = 0; k < BLOCKS; ++k) {
                if (block + k >= k_blocks) break;
                uint4 low[OWN_ROWS], high[OWN_ROWS];
#pragma unroll
                for (int i = 0; i < OWN_ROWS; ++i) {
                    const Real* from = a + 16 * i * stride + 32 * (block + k);
                    low[i] = *reinterpret_cast<const uint4*>(from);
                    high[i] = *reinterpret_cast<const uint4*>(from + 8 * stride);
                }
#pragma unroll
                for (int j = 0; j < OWN_OUTPUTS; ++j) {
                    uint4 w = *reinterpret_cast<const uint4*>(b + (j * BLOCKS + k) * 512);
#pragma unroll
                    for (int i = 0; i < OWN_ROWS; ++i) {
                        mma<Real>(sums[i][j], low[i].x, high[i].x, low[i].y, high[i].y, w.x, w.y);
                        mma<Real>(sums[i][j], low[i].z, high[i].z, low[i].w, high[i].w, w.z, w.w);
                    }
                }
            }
            __syncwarp();
            arrive_together(&s.empty[turn.stage], lane);
            turn.next(p.stages);
        }
    }

    // Enters two neighbouring outputs of a row.
    __device__ __forceinline__ uint64_t enter(uint64_t best, int row, int n, float first, float second) {
        if (row >= p.choose.m || n >= p.choose.vocabulary) return best;
        if (p.logits) {
            float2* to = reinterpret_cast<float2*>(p.logits + static_cast<int64_t>(row) * p.choose.vp + n);
            *to = make_float2(first, second);
        }
        if (s.choices[row].temperature != 0.0f) perturb(s.choices[row], s.steps[row], n, first, second);
        best = better(best, candidate(first, n));
        return n + 1 < p.choose.vocabulary ? better(best, candidate(second, n + 1)) : best;
    }

    // Apart, so that greedy choices do without its code.
    __device__ __noinline__ static void perturb(const Choice& choice, uint32_t step, int n, float& first,
                                                float& second) {
        first = perturbed(first, choice, step, n);
        second = perturbed(second, choice, step, n + 1);
    }

    __device__ __forceinline__ void choose() {
        int first_row = 16 * OWN_ROWS * (warp / OUTPUT_WARPS), output_warp = warp % OUTPUT_WARPS;
        uint64_t best[OWN_ROWS][2] = {};
        Turn turn;
        for (int unit = blockIdx.x; unit * TILES < tiles; unit += gridDim.x) {
            float sums[OWN_ROWS][OWN_OUTPUTS][4] = {};
            multiply(turn, first_row, output_warp * OWN_OUTPUTS, sums);
            int n = 8 * (unit * TILES + output_warp * OWN_OUTPUTS) + 2 * (lane % 4);
#pragma unroll
            for (int i = 0; i < OWN_ROWS; ++i) {
                int row = first_row + 16 * i + lane / 4;
#pragma unroll
                for (int j = 0; j < OWN_OUTPUTS; ++j) {
                    const float(&d)[4] = sums[i][j];
                    best[i][0] = enter(best[i][0], row, n + 8 * j, d[0], d[1]);
                    best[i][1] = enter(best[i][1], row + 8, n + 8 * j, d[2], d[3]);
                }
            }
        }
#pragma unroll
        for (int i = 0; i < OWN_ROWS; ++i) {
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                uint64_t of_row = best[i][half];
                of_row = better(of_row, __shfl_xor_sync(0xffffffffu, of_row, 1));
                of_row = better(of_row, __shfl_xor_sync(0xffffffffu, of_row, 2));
                if (lane % 4 == 0) s.best[output_warp][first_row + 16 * i + 8 * half + lane / 4] = of_row;
            }
        }
        sync_first<WORKERS>();
        int row = threadIdx.x;
        if (row >= p.choose.m) return;
        uint64_t of_block = 0;
#pragma unroll
        for (int i = 0; i < OUTPUT_WARPS; ++i) of_block = better(of_block, s.best[i][row]);
        uint64_t of_all = compete(p.choose.contests[row], of_block);
        if (of_all > 0) record(p.choose, row, s.steps[row], of_all);
    }

    __device__ __forceinline__ void run() {
        if (threadIdx.x == 0) {
            for (int i = 0; i < p.stages; ++i) {
                init_barrier(shared_address(&s.full[i]), 1);
                init_barrier(shared_address(&s.empty[i]), WARPS * arrivals_of(32));
            }
            asm volatile("fence.proxy.async;" ::: "memory");
        }
        __syncthreads();
        let_successor_start();
        if (warp == WARPS) {
            load();
            return;
        }
        wait_for_predecessor();
        read_rows();
        choose();
    }
};

}  // namespace

#define HEAD(name, Real, ROW_TILES)                                                                 \
    extern "C" __global__ void __launch_bounds__(THREADS, 1) name(const __grid_constant__ Head p) { \
        extern __shared__ __align__(128) uint8_t memory[];                                          \
        __shared__ Fixed<16 * ROW_TILES> fixed;                                                     \
        Work<Real, ROW_TILES>(p, memory, fixed).run();                                              \
    }

HEAD(head_f16_16, half16, 1)
HEAD(head_f16_32, half16, 2)
HEAD(head_f16_64, half16, 4)
HEAD(head_bf16_16, bfloat16, 1)
HEAD(head_bf16_32, bfloat16, 2)
HEAD(head_bf16_64, bfloat16, 4)
