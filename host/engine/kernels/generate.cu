// sm_90
// A whole generation in one launch: a cooperative kernel of one block a multiprocessor, for one sequence.
//
// One token at a time leaves a GPU nothing to do but read every weight once, in a chain of products each of which needs
// all of the one before. So each block does two things side by side. One warp streams the block's share of the weights,
// in the order in which they will be needed, through a ring of buffers in shared memory by bulk copies; it never waits
// for results, only for a free buffer, so memory stays busy while blocks exchange activations. The other twelve
// warps multiply. Each block owns whole output rows, so every sum has one fixed order.
//
// Blocks exchange results as packets of a value and a number in one 8-byte store: who reads polls until the number is
// the expected one (the LL protocol of NCCL), so there is no barrier between blocks and no flag apart from the data.
// Numbers only grow, and each kind of exchange has two buffers in turn: every block publishes hidden units in every
// layer and reads all of the others', so no block can be two layers ahead of another.
//
// Needs: every block owns a tile of the hidden units; group = blocks / heads is at least 1; dp is at most 2,304; hs is
// 16, 32, 64 or 128; the blocks are at most 384.
#include "attention.cuh"
#include "barriers.cuh"
#include "choose.cuh"
#include "common.cuh"
#include "embedding.cuh"
#include "generate.h"

namespace {

// Twelve warps that multiply, and one that copies, leave each thread 128 registers.
constexpr int WARPS = 12;
constexpr int THREADS = 32 * WARPS;

constexpr int MOST_STAGES = 24;

// The sizes of a model, known when the kernel is launched or when it is compiled. The chain of dependent steps is what
// takes the time, so index arithmetic counts: the published sizes have kernels of their own, in which it is done
// beforehand.
struct AnyShape {
    static constexpr int MOST_PAIRS = 3;
    template <typename Real>
    static constexpr int ACT_PAIRS = 4;  // of activations that a thread reads at once
    static constexpr int STAGE_BYTES = 16384;
    template <typename Real>
    static constexpr int STAGES = 11;
    const Generate& g;
    __device__ int width() const { return g.width; }
    __device__ int dp() const { return g.dp; }
    __device__ int ap() const { return g.ap; }
    __device__ int fp() const { return g.fp; }
    __device__ int heads() const { return g.heads; }
    __device__ int hs() const { return g.hs; }
    __device__ int sum_stride() const { return g.sum_stride; }
    template <typename Real>
    __device__ Tiling tiling(const Tiling& given, int) const {
        return given;
    }
};

// A buffer holds the whole tiles, or parts of one, that fit best; there are as many as fit beside the activations.
template <int DP, int FP, int HS, int STAGE_BYTES_, int STAGES_16, int STAGES_32>
struct FixedShape {
    static constexpr int MOST_PAIRS = (DP / 2 + THREADS - 1) / THREADS;
    template <typename Real>
    static constexpr int ACT_PAIRS = (FP * static_cast<int>(sizeof(Real)) / 8 + THREADS - 1) / THREADS;
    static constexpr int STAGE_BYTES = STAGE_BYTES_;
    template <typename Real>
    static constexpr int STAGES = sizeof(Real) == 4 ? STAGES_32 : STAGES_16;
    const Generate& g;
    __device__ static constexpr int width() { return DP; }
    __device__ static constexpr int dp() { return DP; }
    __device__ static constexpr int ap() { return DP; }
    __device__ static constexpr int fp() { return FP; }
    __device__ static constexpr int heads() { return DP / HS; }
    __device__ static constexpr int hs() { return HS; }
    __device__ static constexpr int sum_stride() { return WARPS + 1; }
    // As the host has it (Dims::tiling).
    template <typename Real>
    __device__ static Tiling tiling(const Tiling& given, int kp) {
        int row = kp * static_cast<int>(sizeof(Real));
        int rows = sizeof(Real) == 2 ? 8 : 4 * row <= STAGE_BYTES ? 4 : 2 * row <= STAGE_BYTES ? 2 : 1;
        int bytes = rows * row, unit = sizeof(Real) == 2 ? 512 : 256;
        int chunk = bytes / unit / ((bytes + STAGE_BYTES - 1) / STAGE_BYTES) * unit;
        return {rows, given.tiles, bytes, chunk, (bytes + chunk - 1) / chunk, kp};
    }
};

// The exchange memory: for each kind two buffers of packets.
struct Exchange {
    uint64_t* base;
    int qkv, attended, residual, hidden, blocks;

    __device__ uint64_t* qkv_at(int turn) const { return base + turn * qkv; }
    __device__ uint64_t* attended_at(int turn) const { return base + 2 * qkv + turn * attended; }
    __device__ uint64_t* middle_at(int turn) const { return base + 2 * (qkv + attended) + turn * residual; }
    __device__ uint64_t* end_at(int turn) const { return base + 2 * (qkv + attended + residual) + turn * residual; }
    __device__ uint64_t* hidden_at(int turn) const {
        return base + 2 * (qkv + attended + 2 * residual) + turn * hidden;
    }
    __device__ uint64_t* best_at(int turn) const {
        return base + 2 * (qkv + attended + 2 * residual + hidden) + turn * 2 * blocks;
    }
};

// Activations of 16 bits travel as two a packet.
template <typename Real>
constexpr int PER_PACKET = sizeof(Real) == 4 ? 1 : 2;

struct Shared {
    uint8_t* stages;
    uint64_t* full;
    uint64_t* empty;
    float* residual;            // [dp]
    uint8_t* act;               // Real [max(dp, ap, fp)]: the input of the product at hand
    float* sums;                // [rows of this block][sum_stride]
    float* scratch;             // of attention: [3 * hs + WARPS * (hs + 2)]
    float2* statistics;         // [WARPS]
    uint64_t* best;             // [WARPS]: each warp's candidate
    volatile uint32_t* issued;  // chunks whose copy has begun
    volatile uint32_t* stop;    // 1: no more weights are needed
    volatile uint32_t* dead;    // 1: waited too long, so waiting is over
};

// Says something to threads that poll for it.
__device__ __forceinline__ void tell(volatile uint32_t* word, uint32_t value) {
    atomicExch(const_cast<uint32_t*>(word), value);
}

__device__ __forceinline__ void sync_workers() {
    asm volatile("bar.sync 1, %0;" ::"n"(THREADS) : "memory");
}

__device__ __forceinline__ bool try_wait(uint64_t* barrier, uint32_t parity) {
    return ::try_wait(shared_address(barrier), parity);
}

// The same without waiting.
__device__ __forceinline__ bool test(uint64_t* barrier, uint32_t parity) {
    uint32_t done;
    asm volatile("{\n .reg .pred p;\n mbarrier.test_wait.parity.shared.b64 p, [%1], %2;\n selp.u32 %0, 1, 0, p;\n}"
                 : "=r"(done)
                 : "r"(shared_address(barrier)), "r"(parity)
                 : "memory");
    return done != 0;
}

// Counts chunks of the block's stream of weights; the same on the copying and on the multiplying side.
template <typename Real, typename Shape>
struct Chunk {
    static constexpr uint32_t STAGES = Shape::template STAGES<Real>;
    static __device__ __forceinline__ uint32_t stage(uint32_t number) { return number % STAGES; }
    static __device__ __forceinline__ uint32_t parity(uint32_t number) { return number / STAGES & 1; }
};

// The tiles of one product that are this block's: first, first + stride, ... And this warp's part in them: the chunks
// of all tiles are shared by warps in groups of `sharers`, so that each warp waits for as few chunks as possible.
struct Deal {
    int first, stride, count;
    int units;  // chunks
    int sharers, groups, group, member;
    int arrivals;  // of this warp at a buffer's barrier; those of all sharers together are WARPS

    __device__ Deal(int first, int stride, int count, int chunks)
        : first(first), stride(stride), count(count), units(count * chunks) {
        int warp = threadIdx.x / 32;
        sharers = units == 0 || units >= WARPS ? 1 : WARPS / units;
        groups = WARPS / sharers;
        group = warp / sharers;
        member = warp % sharers;
        arrivals = groups + (member < WARPS % sharers);
    }
};

// Of `tiles` tiles, every stride-th from `first` on.
__device__ __forceinline__ Deal every(int tiles, int first, int stride, int chunks) {
    return Deal(first, stride, first < tiles ? (tiles - first + stride - 1) / stride : 0, chunks);
}

template <typename Real, typename Shape>
struct Worker {
    const Generate& g;
    Shape shape;
    Shared s;
    Exchange exchange;
    int block, blocks, head, rank;  // rank within the blocks of a head; head is -1 where there is none
    Deal qkv, proj, up, down, vocabulary;

    __device__ Worker(const Generate& g, Shared s)
        : g(g),
          shape{g},
          s(s),
          block(blockIdx.x),
          blocks(gridDim.x),
          head(block < g.group * g.heads ? block / g.group : -1),
          rank(block % g.group),
          // The block that attends is rank 0: it is dealt to last.
          qkv(every(head < 0 ? 0 : g.qkv.tiles / g.heads, g.group - 1 - rank, g.group, g.qkv.chunks)),
          proj(every(g.proj.tiles, block, blocks, g.proj.chunks)),
          // Chosen by the host so that all blocks have about as many bytes to read.
          up(g.up_starts[block], 1, g.up_starts[block + 1] - g.up_starts[block], g.up.chunks),
          down(every(g.down.tiles, blocks - 1 - block, blocks, g.down.chunks)),
          vocabulary(every(g.head.tiles, block, blocks, g.head.chunks)) {
        exchange = {g.packets, 3 * g.heads * g.hs, g.ap / PER_PACKET<Real>, g.dp, g.fp / PER_PACKET<Real>, blocks};
    }

    __device__ Tiling qkv_tiling() const { return shape.template tiling<Real>(g.qkv, shape.dp()); }
    __device__ Tiling proj_tiling() const { return shape.template tiling<Real>(g.proj, shape.ap()); }
    __device__ Tiling up_tiling() const { return shape.template tiling<Real>(g.up, shape.dp()); }
    __device__ Tiling down_tiling() const { return shape.template tiling<Real>(g.down, shape.fp()); }
    __device__ Tiling head_tiling() const { return shape.template tiling<Real>(g.head, shape.dp()); }

    // Number of the qkv matrix's tile for the i-th of this block's head: the head's queries, then keys, then values.
    __device__ int qkv_tile(int i) const {
        int part_tiles = shape.hs() / qkv_tiling().tile_rows;
        int part = i / part_tiles;
        return (part * shape.heads() + head) * part_tiles + (i - part * part_tiles);
    }

    __device__ const uint8_t* layer(int l) const { return g.layers + l * g.layer_bytes; }
};

// ---------------------------------------------------------------------------------------------------------------------
// The copying warp

template <typename Real, typename Shape>
struct Copier {
    Worker<Real, Shape>& w;
    uint32_t number = 0;
    uint64_t policy;
    bool stopped = false;

    __device__ explicit Copier(Worker<Real, Shape>& w) : w(w), policy(evict_first()) {}

    // What is on its way delays what blocks exchange. So as long as the next chunks are there, they come one at a time;
    // otherwise, as many at once as keep memory busy.
    __device__ void await_earlier() {
        constexpr uint32_t ENOUGH = Chunk<Real, Shape>::STAGES / 2, HURRY = 3;
        if (number < ENOUGH) return;
        uint32_t ahead = number - ENOUGH;
        bool late = test(&w.s.empty[Chunk<Real, Shape>::stage(ahead)], Chunk<Real, Shape>::parity(ahead));
        uint32_t earlier = number - (late ? HURRY : 1);
        while (!try_wait(&w.s.full[Chunk<Real, Shape>::stage(earlier)], Chunk<Real, Shape>::parity(earlier))) {
        }
    }

    __device__ void chunk(const uint8_t* from, int bytes) {
        await_earlier();
        uint32_t stage = Chunk<Real, Shape>::stage(number);
        while (!try_wait(&w.s.empty[stage], Chunk<Real, Shape>::parity(number) ^ 1)) {
            if (*w.s.stop) {
                stopped = true;
                return;
            }
        }
        uint32_t barrier = shared_address(&w.s.full[stage]);
        uint32_t to = shared_address(w.s.stages + stage * Shape::STAGE_BYTES);
        expect(barrier, bytes);
        copy_bulk(to, from, bytes, barrier, policy);
        tell(w.s.issued, ++number);
    }

    __device__ void tile(const uint8_t* from, const Tiling& tiling) {
        for (int at = 0; at < tiling.tile_bytes && !stopped; at += tiling.chunk_bytes) {
            chunk(from + at, min(tiling.chunk_bytes, tiling.tile_bytes - at));
        }
    }

    __device__ void matrix(const uint8_t* from, const Tiling& tiling, const Deal& deal) {
        for (int i = 0; i < deal.count && !stopped; ++i) {
            tile(from + static_cast<int64_t>(deal.first + i * deal.stride) * tiling.tile_bytes, tiling);
        }
    }

    __device__ void run() {
        const Generate& g = w.g;
        Tiling qkv = w.qkv_tiling(), proj = w.proj_tiling(), up = w.up_tiling(), down = w.down_tiling();
        for (int token = 0; token < g.tokens && !stopped; ++token) {
            for (int l = 0; l < g.layer_count && !stopped; ++l) {
                const uint8_t* layer = w.layer(l);
                for (int i = 0; i < w.qkv.count && !stopped; ++i) {
                    int number = w.qkv_tile(w.qkv.first + i * w.qkv.stride);
                    tile(layer + g.at.qkv + static_cast<int64_t>(number) * qkv.tile_bytes, qkv);
                }
                matrix(layer + g.at.proj, proj, w.proj);
                matrix(layer + g.at.up, up, w.up);
                matrix(layer + g.at.down, down, w.down);
            }
            matrix(static_cast<const uint8_t*>(g.head_weight), w.head_tiling(), w.vocabulary);
        }
        // A block must not end while copies into its memory are under way.
        constexpr uint32_t STAGES = Chunk<Real, Shape>::STAGES;
        uint32_t oldest = number > STAGES ? number - STAGES : 0;
        for (uint32_t n = oldest; n < number; ++n) {
            while (!try_wait(&w.s.full[Chunk<Real, Shape>::stage(n)], Chunk<Real, Shape>::parity(n))) {
            }
        }
    }
};

// ---------------------------------------------------------------------------------------------------------------------
// Exchange between blocks

__device__ __forceinline__ void publish(uint64_t* packet, uint32_t value, uint32_t sequence) {
    uint64_t both = static_cast<uint64_t>(sequence) << 32 | value;
    asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" ::"l"(packet), "l"(both) : "memory");
}

__device__ __forceinline__ ulonglong2 read_packets(const uint64_t* packets) {
    ulonglong2 two;
    asm volatile("ld.relaxed.gpu.global.v2.u64 {%0, %1}, [%2];" : "=l"(two.x), "=l"(two.y) : "l"(packets) : "memory");
    return two;
}

// Whether it is worth going on waiting, asked after many polls in vain. `since` is 0 at first.
__device__ __noinline__ bool patient(uint32_t* failed, volatile uint32_t* dead, uint64_t& since) {
    uint64_t now = clock64();
    if (since == 0) since = now;
    volatile uint32_t* gave_up = failed;
    if (now - since > PATIENCE) *gave_up = 1;
    if (*gave_up) tell(dead, 1);
    return !*dead;
}

__device__ __forceinline__ bool numbered(ulonglong2 two, uint32_t sequence) {
    return static_cast<uint32_t>(two.x >> 32) == sequence && static_cast<uint32_t>(two.y >> 32) == sequence;
}

// How long a warp waits before it reads packets for the first time. Reads in vain are not free: with all blocks asking
// for the same lines, they delay the packets and the weights. So a warp learns when it is worth asking: later after a
// read that came too early, a little sooner after one that did not.
struct Lead {
    static constexpr int MOST = 1 << 15, LATER = 32, SOONER = 8;
    int ticks = 800;

    __device__ __forceinline__ void wait() const {
        uint32_t start = clock();
        while (static_cast<int>(clock() - start) < ticks) {
        }
    }

    __device__ __forceinline__ void learn(bool too_early) {
        bool any = __any_sync(0xffffffffu, too_early);
        ticks = any ? min(ticks + LATER, MOST) : max(ticks - SOONER, 0);
    }
};

// Reads `pairs` pairs of packets, pair i by thread i, i + THREADS ...; keep(j, i, first value, second value), where i
// is the thread's j-th pair of at most N that it reads at once. All lanes of a warp call it.
template <int N, typename Keep>
__device__ __forceinline__ void gather(const Generate& g, const Shared& s, const uint64_t* packets, int pairs,
                                       int thread, uint32_t sequence, Lead& lead, Keep keep) {
    bool too_early = false;
    lead.wait();
    for (int base = 0; base < pairs; base += N * THREADS) {
        ulonglong2 two[N];
#pragma unroll
        for (int j = 0; j < N; ++j) {
            int i = base + thread + j * THREADS;
            if (i < pairs) two[j] = read_packets(packets + 2 * i);
        }
#pragma unroll
        for (int j = 0; j < N; ++j) {
            int i = base + thread + j * THREADS;
            if (i >= pairs) break;
            uint64_t since = 0;
            for (uint32_t polls = 1; !numbered(two[j], sequence); ++polls) {
                too_early = true;
                two[j] = read_packets(packets + 2 * i);
                if (polls % POLLS == 0 && !patient(g.failed, s.dead, since)) break;
            }
            keep(j, i, static_cast<uint32_t>(two[j].x), static_cast<uint32_t>(two[j].y));
        }
    }
    lead.learn(too_early);
}

// ---------------------------------------------------------------------------------------------------------------------
// Products

template <typename Real, typename Shape>
struct Products {
    Worker<Real, Shape>& w;
    int thread, warp, lane;
    uint32_t number = 0;  // chunks of the stream so far

    __device__ Products(Worker<Real, Shape>& w) : w(w) {
        thread = threadIdx.x;
        warp = thread / 32;
        lane = thread % 32;
    }

    // Waits for chunk n and gives its place. A barrier tells only odd from even, so it may be asked for a chunk only
    // once the one before in that buffer has come and gone, of which this warp may have seen nothing: as soon as the
    // copy of chunk n has begun.
    __device__ __forceinline__ const uint8_t* await(uint32_t n) const {
        while (static_cast<int>(*w.s.issued - n) <= 0) {
        }
        uint32_t stage = Chunk<Real, Shape>::stage(n);
        while (!try_wait(&w.s.full[stage], Chunk<Real, Shape>::parity(n))) {
        }
        return w.s.stages + stage * Shape::STAGE_BYTES;
    }

    // The part of a 16-bit product that one block of 8 rows by 32 columns gives. The tensor cores take 16 tokens: the
    // first eight are all this one.
    __device__ __forceinline__ void block_product(float (&even)[4], float (&odd)[4], const uint8_t* weights,
                                                  const uint8_t* act) const {
        uint4 b = *reinterpret_cast<const uint4*>(weights + 16 * lane);
        uint4 a = *reinterpret_cast<const uint4*>(act + 16 * (lane % 4));
        mma<Real>(even, a.x, 0, a.y, 0, b.x, b.y);
        mma<Real>(odd, a.z, 0, a.w, 0, b.z, b.w);
    }

    // Sums of a tile as one warp has them so far.
    using Sums = float[4][4];

    // Adds what chunk number `chunk` of a tile, number n of the stream, gives to one warp of `sharers`.
    __device__ __forceinline__ void add_chunk(Sums& sums, const Tiling& tiling, int chunk, uint32_t n, int member,
                                              int sharers, int arrivals) {
        const uint8_t* weights = await(n);
        int at = chunk * tiling.chunk_bytes, bytes = min(tiling.chunk_bytes, tiling.tile_bytes - at);
        if constexpr (sizeof(Real) == 2) {
            const uint8_t* act = w.s.act + at / 8;
            int blocks = bytes / 512;
            int b = member;
#pragma unroll 2
            for (; b + sharers < blocks; b += 2 * sharers) {
                int c = b + sharers;
                block_product(sums[0], sums[1], weights + 512 * b, act + 64 * b);
                block_product(sums[2], sums[3], weights + 512 * c, act + 64 * c);
            }
            if (b < blocks) block_product(sums[0], sums[1], weights + 512 * b, act + 64 * b);
        } else {
            const float* act = reinterpret_cast<const float*>(w.s.act) + (tiling.tile_rows == 1 ? at / 4 : 0);
            const float* rows = reinterpret_cast<const float*>(weights);
            int length = bytes / (4 * tiling.tile_rows);
#pragma unroll 2
            for (int k = 4 * (lane + 32 * member); k < length; k += 128 * sharers) {
                float4 a = *reinterpret_cast<const float4*>(act + k);
#pragma unroll
                for (int row = 0; row < 4; ++row) {
                    if (row >= tiling.tile_rows) break;
                    float4 b = *reinterpret_cast<const float4*>(rows + row * length + k);
                    sums[0][row] += a.x * b.x + a.y * b.y + (a.z * b.z + a.w * b.w);
                }
            }
        }
        __syncwarp();
        arrive_together(&w.s.empty[Chunk<Real, Shape>::stage(n)], lane, arrivals);
    }

    // The sums over a warp: those of rows 2 * lane and 2 * lane + 1 in lanes 0 to 3 for 16 bits, of row `lane` in lanes
    // 0 to 3 for f32.
    __device__ __forceinline__ float2 finish(const Sums& sums, const Tiling& tiling) const {
        if constexpr (sizeof(Real) == 2) {
            return make_float2(sums[0][0] + sums[1][0] + (sums[2][0] + sums[3][0]),
                               sums[0][1] + sums[1][1] + (sums[2][1] + sums[3][1]));
        } else {
            return make_float2(tiling.tile_rows == 1 ? warp_sum(sums[0][0]) : warp_sums(sums[0]), 0.0f);
        }
    }

    // Four sums over a warp at once: that of number i in lane i, for i under 4.
    __device__ __forceinline__ float warp_sums(const float (&x)[4]) const {
        bool second = lane & 1, third = lane & 2;
        float even = (second ? x[1] : x[0]) + __shfl_xor_sync(0xffffffffu, second ? x[0] : x[1], 1);
        float odd = (second ? x[3] : x[2]) + __shfl_xor_sync(0xffffffffu, second ? x[2] : x[3], 1);
        float sum = (third ? odd : even) + __shfl_xor_sync(0xffffffffu, third ? even : odd, 2);
#pragma unroll
        for (int step = 4; step < 32; step *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
        return sum;
    }

    // Multiplies the block's tiles of one matrix with the input in `act`. Afterwards, and after sync_workers(),
    // total(tiling, deal, i) is output number i of this block.
    __device__ __forceinline__ void multiply(const Tiling& tiling, const Deal& deal) {
        int stride = w.shape.sum_stride();
        for (int unit = deal.group; unit < deal.units; unit += deal.groups) {
            int tile = unit / tiling.chunks, chunk = unit - tile * tiling.chunks;
            Sums sums = {};
            add_chunk(sums, tiling, chunk, number + unit, deal.member, deal.sharers, deal.arrivals);
            float2 sum = finish(sums, tiling);
            float* to = w.s.sums + tile * tiling.tile_rows * stride + chunk * deal.sharers + deal.member;
            if constexpr (sizeof(Real) == 2) {
                if (lane < 4) {
                    to[2 * lane * stride] = sum.x;
                    to[(2 * lane + 1) * stride] = sum.y;
                }
            } else {
                if (lane < tiling.tile_rows) to[lane * stride] = sum.x;
            }
        }
        number += deal.units;
    }

    __device__ __forceinline__ float total(const Tiling& tiling, const Deal& deal, int i) const {
        const float* sums = w.s.sums + i * w.shape.sum_stride();
        int parts = tiling.chunks * deal.sharers;
        float sum = 0;
        for (int base = 0; base < parts; base += WARPS) {
#pragma unroll
            for (int part = 0; part < WARPS; ++part) sum += base + part < parts ? sums[base + part] : 0.0f;
        }
        return sum;
    }

    // The head: each warp takes whole tiles, and keeps the best token that it saw.
    __device__ void choose(uint32_t step_of_sequence) {
        Tiling tiling = w.head_tiling();
        uint64_t best = 0;
        for (int tile = warp; tile < w.vocabulary.count; tile += WARPS) {
            int row = (w.vocabulary.first + tile * w.vocabulary.stride) * tiling.tile_rows;
            Sums sums = {};
            for (int chunk = 0; chunk < tiling.chunks; ++chunk) {
                add_chunk(sums, tiling, chunk, number + tile * tiling.chunks + chunk, 0, 1, WARPS);
            }
            float2 sum = finish(sums, tiling);
            if constexpr (sizeof(Real) == 2) {
                if (lane < 4) {
                    consider(row + 2 * lane, sum.x, step_of_sequence, best);
                    consider(row + 2 * lane + 1, sum.y, step_of_sequence, best);
                }
            } else {
                if (lane < tiling.tile_rows) consider(row + lane, sum.x, step_of_sequence, best);
            }
        }
        number += w.vocabulary.units;
        best = warp_best(best);
        if (lane == 0) w.s.best[warp] = best;
    }

    __device__ __forceinline__ void consider(int row, float logit, uint32_t step_of_sequence, uint64_t& best) const {
        if (row >= w.g.vocabulary) return;
        if (w.g.logits) w.g.logits[row] = logit;
        best = better(best, candidate(perturbed(logit, w.g.choice, step_of_sequence, row), row));
    }
};

// ---------------------------------------------------------------------------------------------------------------------
// The layers

template <typename Real, typename Shape>
struct Model {
    static constexpr int PAIRS = Shape::MOST_PAIRS;  // of the residual stream, a thread
    Worker<Real, Shape>& w;
    Products<Real, Shape> products;
    Shape shape;
    const Generate& g;
    const Shared& s;
    int thread, warp, lane;
    uint32_t sequence;
    int turn = 0;
    // Of this thread's output of each product: its row, -1 where it has none.
    int qkv_row, proj_row, up_row, down_row;
    Lead to_qkv, to_attended, to_middle, to_hidden, to_end, to_best;
    float mean = 0;   // of the residual stream when it was last normed
    float2 x[PAIRS];  // this thread's pairs of the residual stream

    __device__ Model(Worker<Real, Shape>& w) : w(w), products(w), shape(w.shape), g(w.g), s(w.s) {
        thread = threadIdx.x;
        warp = thread / 32;
        lane = thread % 32;
        sequence = g.first_sequence;
        qkv_row = -1;
        Tiling qkv = w.qkv_tiling();
        if (thread < w.qkv.count * qkv.tile_rows) {
            int tile = thread / qkv.tile_rows;
            qkv_row = w.qkv_tile(w.qkv.first + tile * w.qkv.stride) * qkv.tile_rows + thread - tile * qkv.tile_rows;
        }
        proj_row = row_of(w.proj, w.proj_tiling());
        up_row = row_of(w.up, w.up_tiling());
        down_row = row_of(w.down, w.down_tiling());
    }

    __device__ int row_of(const Deal& deal, const Tiling& tiling) const {
        if (thread >= deal.count * tiling.tile_rows) return -1;
        int tile = thread / tiling.tile_rows;
        return (deal.first + tile * deal.stride) * tiling.tile_rows + thread - tile * tiling.tile_rows;
    }

    __device__ __forceinline__ const float* vector(const uint8_t* layer, uint32_t offset) const {
        return reinterpret_cast<const float*>(layer + offset);
    }

    __device__ void embed(int token, int position) {
#pragma unroll
        for (int j = 0; j < PAIRS; ++j) {
            int column = 2 * (thread + j * THREADS);
            if (column >= shape.dp()) continue;
            float2 of_token = embedding(g.token_embedding, token, column);
            float2 of_position = embedding(g.position_embedding, position, column);
            keep_residual(j, column, make_float2(of_token.x + of_position.x, of_token.y + of_position.y));
        }
    }

    __device__ __forceinline__ float2 embedding(const void* matrix, int row, int column) const {
        const Real* at = matrix_place<Real>(matrix, shape.dp(), row, column);
        if constexpr (sizeof(Real) == 4) {
            return *reinterpret_cast<const float2*>(at);
        } else {
            return unpack<Real>(*reinterpret_cast<const uint32_t*>(at));
        }
    }

    __device__ __forceinline__ void keep_residual(int j, int column, float2 value) {
        x[j] = value;
        *reinterpret_cast<float2*>(s.residual + column) = value;
    }

    __device__ __forceinline__ void gather_residual(const uint64_t* packets, Lead& lead) {
        gather<PAIRS>(g, s, packets, shape.dp() / 2, thread, sequence, lead,
                      [&](int j, int i, uint32_t first, uint32_t second) {
                          keep_residual(j, 2 * i, make_float2(__uint_as_float(first), __uint_as_float(second)));
                      });
    }

    __device__ __forceinline__ void gather_act(const uint64_t* packets, int count, Lead& lead) {
        gather<Shape::template ACT_PAIRS<Real>>(g, s, packets, count / (2 * PER_PACKET<Real>), thread, sequence, lead,
                                                [&](int, int i, uint32_t first, uint32_t second) {
                                                    reinterpret_cast<uint2*>(s.act)[i] = make_uint2(first, second);
                                                });
    }

    struct NormVectors {
        float2 weight[PAIRS], bias[PAIRS];
    };

    __device__ __forceinline__ NormVectors prefetch(const float* weight, const float* bias) const {
        NormVectors v;
#pragma unroll
        for (int j = 0; j < PAIRS; ++j) {
            int column = 2 * (thread + j * THREADS);
            if (column >= shape.dp()) continue;
            v.weight[j] = *reinterpret_cast<const float2*>(weight + column);
            v.bias[j] = *reinterpret_cast<const float2*>(bias + column);
        }
        return v;
    }

    // Layer norm of the residual stream into `act`. Mean and variance come from sums of differences from the mean of
    // the norm before, near enough to this one's that nothing cancels (the shifted form in Chan, Golub and LeVeque
    // 1983).
    __device__ void norm(const NormVectors& v) {
        float sum = 0, squares = 0;
#pragma unroll
        for (int j = 0; j < PAIRS; ++j) {
            int column = 2 * (thread + j * THREADS);
            float a = column < shape.width() ? x[j].x - mean : 0.0f;
            float b = column + 1 < shape.width() ? x[j].y - mean : 0.0f;
            sum += a + b;
            squares += a * a + b * b;
        }
        sum = warp_sum(sum);
        squares = warp_sum(squares);
        if (lane == 0) s.statistics[warp] = make_float2(sum, squares);
        sync_workers();
        sum = squares = 0;
#pragma unroll
        for (int i = 0; i < WARPS; ++i) {
            sum += s.statistics[i].x;
            squares += s.statistics[i].y;
        }
        float inverse = 1.0f / static_cast<float>(shape.width());
        float shift = sum * inverse;
        float variance = fmaxf(squares * inverse - shift * shift, 0.0f);
        float scale = rsqrtf(variance + g.epsilon);
        mean += shift;
#pragma unroll
        for (int j = 0; j < PAIRS; ++j) {
            int column = 2 * (thread + j * THREADS);
            if (column >= shape.dp()) continue;
            float a = (x[j].x - mean) * scale * v.weight[j].x + v.bias[j].x;
            float b = (x[j].y - mean) * scale * v.weight[j].y + v.bias[j].y;
            store_act(column, a, b);
        }
        sync_workers();
    }

    __device__ __forceinline__ void store_act(int column, float a, float b) {
        if constexpr (sizeof(Real) == 4) {
            reinterpret_cast<float2*>(s.act)[column / 2] = make_float2(a, b);
        } else {
            reinterpret_cast<uint32_t*>(s.act)[column / 2] = pack<Real>(a, b);
        }
    }

    // Publishes activation number n, whose neighbour n ^ 1 the lane beside has. All lanes of the warp call it.
    __device__ __forceinline__ void publish_act(uint64_t* packets, int n, float value, bool valid) {
        if constexpr (sizeof(Real) == 4) {
            if (valid) publish(packets + n, __float_as_uint(value), sequence);
        } else {
            float next = __shfl_down_sync(0xffffffffu, value, 1);
            if (valid && n % 2 == 0) publish(packets + n / 2, pack<Real>(value, next), sequence);
        }
    }

    // A product whose outputs are added to the residual stream. `row` is this thread's, `offset` its bias.
    __device__ void add_product(const Tiling& tiling, const Deal& deal, int row, float offset, uint64_t* packets) {
        products.multiply(tiling, deal);
        // Before the barrier, after which other threads write what comes next there.
        float before = row >= 0 ? s.residual[row] : 0;
        sync_workers();
        if (row >= 0) {
            float value = before + (products.total(tiling, deal, thread) + offset);
            publish(packets + row, __float_as_uint(value), sequence);
        }
    }

    __device__ __forceinline__ float bias_of(const uint8_t* layer, uint32_t offset, int row) const {
        return row >= 0 ? vector(layer, offset)[row] : 0.0f;
    }

    // Positions that a thread reads at once. Each warp takes a run of them, so that few warps have few positions, and
    // what they found is soon put together.
    static constexpr int AHEAD = 2;

    // Keys and values of old positions.
    struct Old {
        uint4 keys[AHEAD], values[AHEAD];
    };

    struct Place {
        int lanes;    // of a position
        int of_warp;  // positions of a warp at once
        int first;    // position of this thread in its warp's run
        int part;     // which 16 bytes of the head
    };

    __device__ __forceinline__ Place place() const {
        int lanes = shape.hs() / WIDE<Real>;
        return {lanes, 32 / lanes, lane / lanes, lane % lanes};
    }

    // The position number i of this thread in the run that starts at `base`.
    __device__ __forceinline__ int position_of(const Place& at, int base, int i) const {
        return base + i * at.of_warp + at.first;
    }

    __device__ __forceinline__ uint4 cached(const uint8_t* cache, int l, int position, int part) const {
        const uint8_t* of_head = cache + l * g.cache_layer_bytes +
                                 (static_cast<int64_t>(w.head) * g.room + position) * shape.hs() * sizeof(Real);
        return __ldcg(reinterpret_cast<const uint4*>(of_head) + part);
    }

    __device__ __forceinline__ Old read_cache(const Place& at, int l, int base, int position) const {
        Old old;
#pragma unroll
        for (int i = 0; i < AHEAD; ++i) {
            int p = position_of(at, base, i);
            bool there = p < position;
            old.keys[i] = there ? cached(g.keys, l, p, at.part) : make_uint4(0, 0, 0, 0);
            old.values[i] = there ? cached(g.values, l, p, at.part) : make_uint4(0, 0, 0, 0);
        }
        return old;
    }

    // Attention of one head, by the block of rank 0. Scratch: the head's query, key and value, then of each warp
    // its greatest score, its sum of weights and its weighted values.
    __device__ void attend(int l, int position, Old& old) {
        constexpr int W = WIDE<Real>;
        int hs = shape.hs();
        float* query = s.scratch;
        Real* key = reinterpret_cast<Real*>(query + hs);  // as the cache has them
        Real* value = key + hs;
        float* partial = query + 3 * hs;
        const uint64_t* packets = w.exchange.qkv_at(turn);
        float scale = g.scale_by_layer ? g.scale / static_cast<float>(l + 1) : g.scale;
        scale *= 1.4426950408889634f;  // so that weights are powers of 2
        // Three runs of hs packets each.
        int half = hs / 2;
        int part = thread / half, within = thread - part * half;
        const uint64_t* run = packets + (part * shape.heads() + w.head) * hs + 2 * within;
        // The pointer is this thread's own, so that it reads its pair as the pair number `thread`.
        gather<1>(g, s, run - 2 * thread, 3 * half, thread, sequence, to_qkv,
                  [&](int, int, uint32_t first, uint32_t second) {
                      float a = __uint_as_float(first), b = __uint_as_float(second);
                      if (part == 0) {
                          query[2 * within] = a * scale;
                          query[2 * within + 1] = b * scale;
                      } else {
                          Real* to = (part == 1 ? key : value) + 2 * within;
                          to[0] = from_float<Real>(a);
                          to[1] = from_float<Real>(b);
                      }
                  });
        sync_workers();

        Place at = place();
        int length = AHEAD * at.of_warp;  // of a run
        int warps = min(WARPS, (position + length) / length);
        if (warp < warps) {
            float q[W], numbers[W], sum[W] = {}, most = -INFINITY, weight = 0;
#pragma unroll
            for (int i = 0; i < W; ++i) q[i] = query[at.part * W + i];
            for (int base = warp * length; base <= position; base += WARPS * length) {
                if (base != warp * length) old = read_cache(at, l, base, position);
                float scores[AHEAD], top = most;
#pragma unroll
                for (int i = 0; i < AHEAD; ++i) {
                    int p = position_of(at, base, i);
                    if (p == position) {
                        old.keys[i] = reinterpret_cast<const uint4*>(key)[at.part];
                        old.values[i] = reinterpret_cast<const uint4*>(value)[at.part];
                    }
                    widen<Real>(old.keys[i], numbers);
                    float score = 0;
#pragma unroll
                    for (int j = 0; j < W; ++j) score += q[j] * numbers[j];
                    for (int d = at.lanes / 2; d > 0; d /= 2) score += __shfl_xor_sync(0xffffffffu, score, d);
                    scores[i] = p <= position ? score : -INFINITY;
                    top = fmaxf(top, scores[i]);
                }
                if (top == -INFINITY) continue;
                float rescale = exp2f(most - top);
                weight *= rescale;
#pragma unroll
                for (int j = 0; j < W; ++j) sum[j] *= rescale;
                most = top;
#pragma unroll
                for (int i = 0; i < AHEAD; ++i) {
                    float share = exp2f(scores[i] - top);
                    weight += share;
                    widen<Real>(old.values[i], numbers);
#pragma unroll
                    for (int j = 0; j < W; ++j) sum[j] += share * numbers[j];
                }
            }
            // The positions of a warp together.
            float top = most;
            for (int d = at.lanes; d < 32; d *= 2) top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, d));
            float rescale = most == -INFINITY ? 0.0f : exp2f(most - top);
            weight *= rescale;
#pragma unroll
            for (int i = 0; i < W; ++i) sum[i] *= rescale;
            for (int d = at.lanes; d < 32; d *= 2) {
                weight += __shfl_xor_sync(0xffffffffu, weight, d);
#pragma unroll
                for (int i = 0; i < W; ++i) sum[i] += __shfl_xor_sync(0xffffffffu, sum[i], d);
            }
            float* mine = partial + warp * (hs + 2);
            if (lane < at.lanes) {
#pragma unroll
                for (int i = 0; i < W; ++i) mine[lane * W + i] = sum[i];
                if (lane == 0) {
                    mine[hs] = top;
                    mine[hs + 1] = weight;
                }
            }
        }
        sync_workers();
        if (thread < hs) {
            float most_of_all = -INFINITY, total = 0, result = 0;
#pragma unroll 4
            for (int i = 0; i < warps; ++i) most_of_all = fmaxf(most_of_all, partial[i * (hs + 2) + hs]);
#pragma unroll 4
            for (int i = 0; i < warps; ++i) {
                const float* of_warp = partial + i * (hs + 2);
                float factor = exp2f(of_warp[hs] - most_of_all);
                total += of_warp[hs + 1] * factor;
                result += of_warp[thread] * factor;
            }
            publish_attended(w.head * shape.hs() + thread, __fdividef(result, total));
        } else if (thread >= THREADS - 64) {
            // Only this block reads them again, so nothing has to be published.
            append(l, position, key, value);
        }
    }

    // By the first hs threads, so by half a warp at least. The exchange is the one after that of queries, keys and
    // values.
    __device__ __forceinline__ void publish_attended(int n, float value) {
        uint64_t* packets = w.exchange.attended_at(turn);
        if constexpr (sizeof(Real) == 4) {
            publish(packets + n, __float_as_uint(value), sequence + 1);
        } else {
            float next = __shfl_down_sync(shape.hs() == 16 ? 0xffffu : 0xffffffffu, value, 1);
            if (n % 2 == 0) publish(packets + n / 2, pack<Real>(value, next), sequence + 1);
        }
    }

    __device__ void append(int l, int position, const Real* key, const Real* value) {
        int parts = shape.hs() / WIDE<Real>;
        int64_t at =
            l * g.cache_layer_bytes + (static_cast<int64_t>(w.head) * g.room + position) * shape.hs() * sizeof(Real);
        int i = thread - (THREADS - 64);
        for (int part = i; part < 2 * parts; part += 64) {
            bool of_key = part < parts;
            int p = of_key ? part : part - parts;
            uint4 numbers = reinterpret_cast<const uint4*>(of_key ? key : value)[p];
            reinterpret_cast<uint4*>((of_key ? g.keys : g.values) + at)[p] = numbers;
        }
    }

    __device__ void run_layer(int l, int position) {
        const uint8_t* layer = w.layer(l);
        bool attends = w.head >= 0 && w.rank == 0;
        // Whatever does not depend on other blocks is on its way before they are waited for.
        NormVectors first = prefetch(vector(layer, g.at.norm_1_weight), vector(layer, g.at.norm_1_bias));
        float qkv_bias = bias_of(layer, g.at.qkv_bias, qkv_row);
        float proj_bias = bias_of(layer, g.at.proj_bias, proj_row);
        float up_bias = bias_of(layer, g.at.up_bias, up_row);
        float down_bias = bias_of(layer, g.at.down_bias, down_row);
        Old old;
        if (attends) old = read_cache(place(), l, warp * AHEAD * place().of_warp, position);
        if (l > 0) {
            gather_residual(w.exchange.end_at(turn ^ 1), to_end);
            ++sequence;
        }
        norm(first);
        products.multiply(w.qkv_tiling(), w.qkv);
        sync_workers();
        if (qkv_row >= 0) {
            float value = products.total(w.qkv_tiling(), w.qkv, thread) + qkv_bias;
            publish(w.exchange.qkv_at(turn) + qkv_row, __float_as_uint(value), sequence);
        }
        if (attends) attend(l, position, old);
        ++sequence;
        NormVectors second = prefetch(vector(layer, g.at.norm_2_weight), vector(layer, g.at.norm_2_bias));
        gather_act(w.exchange.attended_at(turn), shape.heads() * shape.hs(), to_attended);
        for (int i = shape.heads() * shape.hs() + thread; i < shape.ap(); i += THREADS) {
            reinterpret_cast<Real*>(s.act)[i] = from_float<Real>(0.0f);
        }
        ++sequence;
        sync_workers();
        add_product(w.proj_tiling(), w.proj, proj_row, proj_bias, w.exchange.middle_at(turn));
        gather_residual(w.exchange.middle_at(turn), to_middle);
        ++sequence;
        norm(second);
        products.multiply(w.up_tiling(), w.up);
        sync_workers();
        // Whole warps, in which neighbours pair their outputs.
        if (warp * 32 < w.up.count * w.up_tiling().tile_rows) {
            float value = up_row >= 0 ? gelu(products.total(w.up_tiling(), w.up, thread) + up_bias, g.gelu_erf) : 0.0f;
            publish_act(w.exchange.hidden_at(turn), up_row, value, up_row >= 0);
        }
        gather_act(w.exchange.hidden_at(turn), shape.fp(), to_hidden);
        ++sequence;
        sync_workers();
        add_product(w.down_tiling(), w.down, down_row, down_bias, w.exchange.end_at(turn));
        turn ^= 1;
    }

    // NO_NUMBER where no token can be chosen.
    __device__ uint32_t choose(uint32_t step_of_sequence, int best_turn) {
        products.choose(step_of_sequence);
        sync_workers();
        if (warp == 0) {
            uint64_t best = warp_best(lane < WARPS ? s.best[lane] : 0);
            uint32_t half = static_cast<uint32_t>(lane == 0 ? best : best >> 32);
            if (lane < 2) publish(w.exchange.best_at(best_turn) + 2 * w.block + lane, half, sequence);
        }
        uint64_t best = 0;
        gather<1>(g, s, w.exchange.best_at(best_turn), w.blocks, thread, sequence, to_best,
                  [&](int, int, uint32_t low, uint32_t high) { best = static_cast<uint64_t>(high) << 32 | low; });
        ++sequence;
        best = warp_best(best);
        // The scratch of the first half is read until every warp is here.
        sync_workers();
        if (lane == 0) s.best[warp] = best;
        sync_workers();
        best = 0;
#pragma unroll
        for (int i = 0; i < WARPS; ++i) best = better(best, s.best[i]);
        if (!is_choice(best, g.choice)) return NO_NUMBER;
        // Only a block that gave up waiting has a token that there is not.
        return min(token_of(best), static_cast<uint32_t>(g.vocabulary - 1));
    }

    __device__ bool ends_text(int token) const {
        for (int i = 0; i < g.stop_count; ++i) {
            if (static_cast<uint32_t>(token) == g.stop_tokens[i]) return true;
        }
        return false;
    }

    __device__ void run() {
        int token = *g.token;
        int position = g.row->position;
        uint32_t step = *g.step;
        int chosen = 0;
        while (chosen < g.tokens) {
            mean = 0;
            embed(token, position);
            for (int l = 0; l < g.layer_count; ++l) run_layer(l, position);
            NormVectors last = prefetch(g.norm_weight, g.norm_bias);
            gather_residual(w.exchange.end_at(turn ^ 1), to_end);
            ++sequence;
            norm(last);
            uint32_t next = choose(step, chosen & 1);
            if (*s.dead) break;
            if (w.block == 0 && thread == 0) {
                asm volatile("st.relaxed.sys.global.u32 [%0], %1;" ::"l"(g.ring + chosen), "r"(next) : "memory");
            }
            token = next == NO_NUMBER ? 0 : static_cast<int>(next);
            ++chosen;
            ++step;
            ++position;
            if (next == NO_NUMBER || ends_text(token)) break;
        }
        if (thread == 0) tell(s.stop, 1);
        if (w.block == 0 && thread == 0) {
            *g.token = token;
            g.row->position = position;
            *g.step = step;
        }
    }
};

template <typename Real, typename Shape>
__device__ void generate(const Generate& g) {
    extern __shared__ __align__(128) uint8_t memory[];
    Shared s;
    uint8_t* at = memory;
    s.stages = at;
    constexpr int STAGES = Shape::template STAGES<Real>;
    at += STAGES * Shape::STAGE_BYTES;
    s.full = reinterpret_cast<uint64_t*>(at);
    s.empty = s.full + MOST_STAGES;
    at += 2 * 8 * MOST_STAGES;
    s.statistics = reinterpret_cast<float2*>(at);
    at += WARPS * 8;
    s.best = reinterpret_cast<uint64_t*>(at);
    at += WARPS * 8;
    s.stop = reinterpret_cast<uint32_t*>(at);
    s.dead = s.stop + 1;
    s.issued = s.stop + 2;
    at += 64;
    s.residual = reinterpret_cast<float*>(at);
    at += g.dp * 4;
    s.act = at;
    at += max(max(g.dp, g.ap), g.fp) * sizeof(Real);
    s.scratch = reinterpret_cast<float*>(at);
    s.sums = s.scratch + 3 * g.hs + WARPS * (g.hs + 2);

    if (threadIdx.x == 0) {
        if (g.stages != STAGES || g.stage_bytes != Shape::STAGE_BYTES) __trap();
        for (int i = 0; i < STAGES; ++i) {
            init_barrier(shared_address(&s.full[i]), 1);
            init_barrier(shared_address(&s.empty[i]), WARPS * arrivals_of(32));
        }
        *s.issued = 0;
        *s.stop = 0;
        *s.dead = 0;
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    __syncthreads();
    Worker<Real, Shape> worker(g, s);
    if (threadIdx.x >= THREADS) {
        if (threadIdx.x == THREADS) {
            Copier<Real, Shape> copier(worker);
            copier.run();
        }
    } else {
        Model<Real, Shape> model(worker);
        model.run();
    }
}

}  // namespace

#define GENERATE(name, Real, ...)                                                                            \
    extern "C" __global__ void __launch_bounds__(THREADS + 32, 1) name(const __grid_constant__ Generate g) { \
        generate<Real, __VA_ARGS__>(g);                                                                      \
    }

// The name of a kernel for one shape has its dp, fp and hs.
#define GENERATE_OF(type, Real)                                                               \
    GENERATE(generate_##type, Real, AnyShape)                                                 \
    GENERATE(generate_##type##_768_3072_64, Real, FixedShape<768, 3072, 64, 12288, 17, 16>)   \
    GENERATE(generate_##type##_1024_4096_64, Real, FixedShape<1024, 4096, 64, 16384, 12, 12>) \
    GENERATE(generate_##type##_1280_5120_64, Real, FixedShape<1280, 5120, 64, 10240, 19, 18>) \
    GENERATE(generate_##type##_1600_6400_64, Real, FixedShape<1600, 6400, 64, 12800, 15, 14>)

GENERATE_OF(f32, float)
GENERATE_OF(f16, half16)
GENERATE_OF(bf16, bfloat16)
